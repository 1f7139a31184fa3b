import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/error-codes.ts";
import type { ClusterId, GroupId } from "../../base/ids.ts";
import type { Day } from "../../base/units.ts";
import type { Damage } from "../damage.ts";
import { type Disk, DiskFault, fileName, type FileName } from "../disk.ts";
import { fileHeaderBytes, idBytes } from "../file-header.ts";
import { formatAbove, NewerFormat } from "../newer-format.ts";
import { quarantine } from "../quarantine.ts";
import type { ChunkImage } from "./build-chunk.ts";
import { type ChunkCheck, checkChunk } from "./check-chunk.ts";
import { ChunkDamage } from "./chunk-damage.ts";
import { ChunkFile } from "./chunk-file.ts";
import { type ChunkFooter, chunkFileFormat, chunkMagic, type ChunkNumber, type RoomRow } from "./chunk-layout.ts";
import { ChunkPieces, type ChunkStoreSettings, defaultChunkStoreSettings } from "./chunk-pieces.ts";
import { type ChunkName, dayText, historyFolder, parseChunkFileName } from "./chunk-name.ts";
import {
  type ChunkPage,
  findRecord,
  findRoom,
  type MessageId,
  type PageRange,
  readPage,
  roomRows,
} from "./chunk-reader.ts";
import { type IdKey, idKey } from "./id-hash.ts";
import { type Keep, rewriteChunk } from "./rewrite-chunk.ts";

/** A chunk as its name tells. */
export interface ChunkListing {
  readonly chunk: ChunkNumber;
  readonly generation: number;
  readonly day: Day;
  readonly file: FileName;
}

/**
 * The sealed history of one group on this disk.
 *
 * Opening looks at names only, so it costs the same after a year as after a day. What is read is checked piece by piece,
 * when it is read; what does not hold is thrown as `ChunkDamage`, and nothing here deletes or moves a file because of
 * what another file says or does not say.
 *
 * 1. of the generations of a chunk only the newest is read
 * 2. a record is served only from a block that is the one its footer names, under the room and seq asked for
 * 3. files not named as chunks are left as they are
 */
export class ChunkStore {
  readonly #disk: Disk;
  readonly #cluster: ClusterId;
  readonly #group: GroupId;
  readonly #key: IdKey;
  readonly #pieces: ChunkPieces;
  readonly #chunks = new Map<ChunkNumber, ChunkFile>();
  readonly #superseded = new Map<ChunkNumber, FileName[]>();
  readonly #unknown: FileName[] = [];

  constructor(options: { disk: Disk; cluster: ClusterId; group: GroupId; settings: ChunkStoreSettings }) {
    this.#disk = options.disk;
    this.#cluster = options.cluster;
    this.#group = options.group;
    this.#key = idKey(idBytes(options.cluster));
    this.#pieces = new ChunkPieces(options.settings);
  }

  /** Takes note of a file found under history/. */
  #note(file: FileName): void {
    const name = parseChunkFileName(file);
    if (name === null) {
      this.#unknown.push(file);
    } else if (name.group === this.#group) {
      this.#enter(name, file);
    }
  }

  #enter(name: ChunkName, file: FileName): void {
    const known = this.#chunks.get(name.chunk);
    if (known?.file === file) return;
    if (known !== undefined && known.name.generation === name.generation) {
      // The same chunk under two days: one of them was put there by hand. Which, its content says, when it is read.
      this.#unknown.push(file);
      return;
    }
    const chunk = new ChunkFile(this.#disk, this.#cluster, name, file);
    if (known === undefined) {
      this.#chunks.set(name.chunk, chunk);
      return;
    }
    const newer = known.name.generation < name.generation ? chunk : known;
    const older = newer === chunk ? known : chunk;
    this.#chunks.set(name.chunk, newer);
    this.#superseded.set(name.chunk, [...(this.#superseded.get(name.chunk) ?? []), older.file]);
  }

  /** Reads the names under history/. */
  async open(): Promise<void> {
    for (const file of await this.#disk.list(historyFolder)) this.#unknown.push(file);
    for (const folder of await this.#disk.folders(historyFolder)) {
      for (const file of await this.#disk.list(`${historyFolder}/${folder}`)) this.#note(file);
    }
  }

  has(chunk: ChunkNumber): boolean {
    return this.#chunks.has(chunk);
  }

  /** The generation that is read, or null if the chunk is not there. */
  generationOf(chunk: ChunkNumber): number | null {
    return this.#chunks.get(chunk)?.name.generation ?? null;
  }

  /** The chunks there are, by number. From names alone: nothing is read. */
  list(): ChunkListing[] {
    const listed = [...this.#chunks.values()].map(({ name, file }) => ({
      chunk: name.chunk,
      generation: name.generation,
      day: name.day,
      file,
    }));
    return listed.sort((a, b) => a.chunk - b.chunk);
  }

  /** Files under history/ that are no chunks of any group, or a second file of the same chunk. Never touched. */
  unknownFiles(): readonly FileName[] {
    return this.#unknown;
  }

  /** Chunks of which an older generation is still there (a crash between the rewrite and its removal). */
  supersededChunks(): ChunkNumber[] {
    return [...this.#superseded.keys()];
  }

  /**
   * Makes the chunk durable. Settles when it would survive power loss, under its name, whole. Publishing again what is
   * there already changes nothing: the bytes are the same. What a newer generation has replaced is not written again: a
   * start that applies the log anew comes by its old seals. An older generation stays until `removeSuperseded`.
   */
  async publish(image: Pick<ChunkImage, "meta" | "file" | "parts">): Promise<void> {
    const { meta } = image;
    assert(meta.cluster === this.#cluster && meta.group === this.#group, "a chunk is published where it belongs");
    const known = this.#chunks.get(meta.chunk);
    if (known !== undefined && known.name.generation > meta.generation) return;
    await this.#disk.publish(image.file, image.parts);
    this.#pieces.forget(image.file);
    if (known !== undefined && known.name.generation === meta.generation && known.file !== image.file) {
      // The same chunk stands under another day: not where the seal says, so not this one.
      this.#chunks.delete(meta.chunk);
      this.#unknown.push(known.file);
    }
    this.#enter({ group: meta.group, chunk: meta.chunk, day: meta.day, generation: meta.generation }, image.file);
  }

  /**
   * Settles when the chunk's name would survive power loss. A process that was killed inside `publish` may have left a
   * name that a listing shows and that no sync has followed; so this comes before anything is given up because the chunk
   * is there: a journal segment, an older generation. Opening has done it for the chunks that can be meant.
   */
  async confirm(chunk: ChunkNumber): Promise<void> {
    const { file } = this.#file(chunk);
    // Removing makes the names of a folder durable, also when there was nothing to remove. The content was synced before
    // the file got its name.
    await this.#disk.remove(fileName(`${file}.confirmed`));
  }

  /**
   * A part of the chunk's file as it stands, unchecked, and how long the file is, for who gets all of it and checks it then.
   * Null when this generation of the chunk is not here.
   */
  async part(
    chunk: ChunkNumber,
    generation: number,
    { offset, length }: { offset: number; length: number },
  ): Promise<{ bytes: Uint8Array; total: number } | null> {
    const file = this.#chunks.get(chunk);
    if (file?.name.generation !== generation) return null;
    const total = await file.size();
    const bytes = await this.#pieces.read(() =>
      this.#disk.read(file.file, offset, Math.max(0, Math.min(length, total - offset))),
    );
    return { bytes, total };
  }

  /** The size of the chunk's file in bytes. */
  size(chunk: ChunkNumber): Promise<number> {
    return this.#using(chunk, (file) => file.size());
  }

  /** What the chunk says about itself: seal, totals, root. Reads header and footer, once. */
  footer(chunk: ChunkNumber): Promise<ChunkFooter> {
    return this.#using(chunk, (file) => this.#pieces.footer(file));
  }

  /** What the chunk knows of a room, or null if it holds no message of it. Reads one small piece. */
  room(chunk: ChunkNumber, room: Uint8Array): Promise<RoomRow | null> {
    return this.#using(chunk, async (file) => findRoom(await this.#pieces.source(file), room));
  }

  /** All rooms of a chunk, in its order. One small piece is read at a time; names are views into it: copy what is kept. */
  async *rooms(chunk: ChunkNumber): AsyncGenerator<RoomRow, void> {
    const footer = await this.footer(chunk);
    for (let number = 0; number < footer.roomPieces.length; number++) {
      yield* await this.#using(chunk, async (file) => roomRows(await this.#pieces.source(file), number));
    }
  }

  /**
   * Messages of a room. Seqs are checked to be dense; a room that a rewrite took messages out of may have holes, where
   * they were. An empty page means that this chunk holds none of the range.
   */
  read(chunk: ChunkNumber, room: Uint8Array, range: PageRange): Promise<ChunkPage> {
    return this.#using(chunk, async (file) => {
      const source = await this.#pieces.source(file);
      const row = await findRoom(source, room);
      return row === null ? { records: [], more: false } : readPage(source, row, range);
    });
  }

  /** The message with this id, or null if this chunk holds none. A damaged index is `ChunkDamage`, never null. */
  find(chunk: ChunkNumber, id: MessageId): Promise<Uint8Array | null> {
    return this.#using(chunk, async (file) => findRecord(await this.#pieces.source(file), this.#key, id));
  }

  /**
   * Removes a chunk, all its generations, for good. Only for a committed reason: every room in it is below its `first`.
   * Settles when the removal would survive power loss.
   */
  async remove(chunk: ChunkNumber): Promise<void> {
    const known = this.#chunks.get(chunk);
    if (known === undefined) return;
    for (const file of this.#superseded.get(chunk) ?? []) await this.#disk.remove(file);
    this.#superseded.delete(chunk);
    // Nobody reads it from here on; if the disk refuses, it is still there, and can be removed again.
    this.#chunks.delete(chunk);
    try {
      await this.#disk.remove(known.file);
    } catch (fault) {
      this.#enter(known.name, known.file);
      throw fault;
    }
    this.#pieces.forget(known.file);
    await this.#disk.removeEmptyFolder(folderOfDay(known.name));
  }

  /**
   * Says that a newer version wrote this chunk, as far as its header tells; else null. Reads the header alone: for who is
   * about to decide something because of a chunk, before anything in it is read.
   */
  async newerFormat(chunk: ChunkNumber): Promise<NewerFormat | null> {
    const { file } = this.#file(chunk);
    try {
      const format = formatAbove(chunkFileFormat, await this.#disk.read(file, 0, fileHeaderBytes), chunkMagic);
      return format === null ? null : new NewerFormat(file, format, chunkFileFormat);
    } catch (fault) {
      // One that can't be read now says nothing of formats, and keeps nobody from starting.
      if (fault instanceof DiskFault) return null;
      throw fault;
    }
  }

  /**
   * Moves a chunk, all its generations, to quarantine: it is not the one that its number stands for. Settles when that
   * would survive power loss; who is broken off in between does it again.
   */
  async setAside(chunk: ChunkNumber): Promise<{ file: FileName; movedTo: FileName }[]> {
    const known = this.#file(chunk);
    const moved: { file: FileName; movedTo: FileName }[] = [];
    for (const file of [...(this.#superseded.get(chunk) ?? []), known.file]) {
      // One that a former attempt has moved is not there any more.
      if ((await this.#disk.sizeOf(file)) !== null) moved.push({ file, movedTo: await quarantine(this.#disk, file) });
      this.#pieces.forget(file);
    }
    this.#superseded.delete(chunk);
    this.#chunks.delete(chunk);
    return moved;
  }

  /** Checks all of the older generations of a chunk that are still there. What a newer version wrote is not judged. */
  async verifySuperseded(chunk: ChunkNumber): Promise<Damage[]> {
    const damage: Damage[] = [];
    for (const file of this.#superseded.get(chunk) ?? []) {
      const name = parseChunkFileName(file);
      assert(name !== null, "only chunks are superseded");
      damage.push(...(await wholeCheck(new ChunkFile(this.#disk, this.#cluster, name, file))).damage);
    }
    return damage;
  }

  /** Removes older generations of a chunk once the newest has been checked whole. Throws `ChunkDamage` and keeps them if it is not sound. */
  async removeSuperseded(chunk: ChunkNumber): Promise<void> {
    const files = this.#superseded.get(chunk);
    if (files === undefined) return;
    const [first] = await this.verify(chunk);
    if (first !== undefined) throw new ChunkDamage(first);
    await this.confirm(chunk);
    for (const file of files) {
      await this.#disk.remove(file);
      this.#pieces.forget(file);
    }
    this.#superseded.delete(chunk);
  }

  /**
   * Checks all of a chunk, on disk, not in memory. Answers what is damaged; [] means every byte is as it was written.
   * Rejects with `NewerFormat` where that can't be told.
   */
  async verify(chunk: ChunkNumber): Promise<Damage[]> {
    const { damage, newer } = await wholeCheck(this.#file(chunk));
    if (newer !== null) throw newer;
    return damage;
  }

  /** The same check, one piece a step, for whoever sets the pace (scrub.ts). */
  async *check(chunk: ChunkNumber): AsyncGenerator<void, ChunkCheck> {
    return yield* checkChunk(this.#file(chunk));
  }

  /** Makes the next generation of a chunk, without what `keep` drops; one block a step. Nothing is written. */
  async *rewrite(chunk: ChunkNumber, keep: Keep): AsyncGenerator<void, ChunkImage> {
    return yield* rewriteChunk(await this.#pieces.source(this.#file(chunk)), keep);
  }

  #file(chunk: ChunkNumber): ChunkFile {
    const file = this.#chunks.get(chunk);
    if (file === undefined)
      throw new Fault("unavailable", `chunk ${chunk} of group ${this.#group} is not on this disk`);
    return file;
  }

  /** Reads from the newest generation. If that is replaced or removed meanwhile, reads again or says so. */
  async #using<T>(chunk: ChunkNumber, read: (file: ChunkFile) => Promise<T>): Promise<T> {
    for (;;) {
      const file = this.#file(chunk);
      try {
        return await read(file);
      } catch (fault) {
        if (!(fault instanceof ChunkDamage) || this.#chunks.get(chunk) === file) throw fault;
      }
    }
  }
}

/**
 * Opens the history of a group. The time it takes depends on the count of files, not on what is in them. The names that a
 * killed process may have left unsynced, that of the last chunk and those beside an older generation, are made durable
 * first, so that `has` may be believed; with `readOnly` nothing is written.
 */
export async function openChunkStore(options: {
  disk: Disk;
  cluster: ClusterId;
  group: GroupId;
  settings?: Partial<ChunkStoreSettings>;
  /** @defaultValue false */
  readOnly?: boolean;
}): Promise<ChunkStore> {
  const { disk, cluster, group } = options;
  const settings = { ...defaultChunkStoreSettings, ...options.settings };
  const store = new ChunkStore({ disk, cluster, group, settings });
  await store.open();
  if (options.readOnly === true) return store;
  const last = store.list().at(-1);
  for (const chunk of last === undefined ? [] : [last.chunk, ...store.supersededChunks()]) await store.confirm(chunk);
  return store;
}

async function wholeCheck(file: ChunkFile): Promise<ChunkCheck> {
  const steps = checkChunk(file);
  for (;;) {
    const step = await steps.next();
    if (step.done === true) return step.value;
  }
}

const folderOfDay = ({ day }: ChunkName): string => `${historyFolder}/${dayText(day)}`;
