import { createHash } from "node:crypto";

import { assert } from "../base/assert.ts";
import { getU48, putU48 } from "../base/byte-order.ts";
import type { ClusterId, GroupId, Incarnation, LogIndex, Term } from "../base/ids.ts";
import type { Damage } from "./damage.ts";
import { type Disk, type FileName, fileName } from "./disk.ts";
import { decodeFileHeader, encodeFileHeader, type FileHeader, fileHeaderBytes, headerMismatch } from "./file-header.ts";
import { formatAbove, NewerFormat } from "./newer-format.ts";
import { type PieceKind, type PieceOwner, pieceFault, pieceHeaderBytes, pieceKinds, sealPiece } from "./piece.ts";

/**
 * The state of a group at a seal, in one file: `snapshot/g00-000000001234.state`, named by group and log index. Written
 * whole or not at all; the last two are kept, so that a damaged newest one costs a longer replay and nothing else.
 *
 * ```
 * header        64 bytes (file-header.ts), magic SYNODSNP, number = log index, generation = 1 when taken from another server
 * description   piece of kind 5: u48 index, u48 term, u48 last sealed chunk, u48 bytes of state, u8 bytes of chain, chain
 * state         pieces of kind 6, 64 KiB of state each
 * digest        piece of kind 7: SHA-256 of all bytes of the file before this piece
 * ```
 */
export const snapshotFolder = "snapshot";
export const snapshotMagic = "SYNODSNP";
export const snapshotFormat = 1;

export interface Snapshot {
  readonly group: GroupId;
  /** The state is that after this entry, a seal. */
  readonly index: LogIndex;
  readonly term: Term;
  /** The last sealed chunk: what comes before it is history, what comes after it is in the journal. 0 = none. */
  readonly chunk: number;
  /** The chain of the log at `index`. */
  readonly chain: Uint8Array;
  /**
   * It came from another server: the journal of this one may end before it, or hold another branch there. One that was
   * made here joins the journal, or something is damaged. @defaultValue false
   */
  readonly isTaken?: boolean;
  readonly state: Uint8Array;
}

/** A snapshot whose state lies in several pieces, one behind the other. */
export interface SnapshotPages extends Omit<Snapshot, "state"> {
  readonly state: readonly Uint8Array[];
}

/** Whose data directory it is. */
export interface SnapshotOwner {
  readonly cluster: ClusterId;
  readonly incarnation: Incarnation;
}

/** A snapshot, ready to be published. */
export interface SnapshotImage {
  readonly group: GroupId;
  readonly index: LogIndex;
  readonly file: FileName;
  readonly parts: readonly Uint8Array[];
}

const statePieceBytes = 64 * 1024;
const descriptionHeadBytes = 25;
const chainBytesMax = 64;
const snapshotHeadBytes = 19;
/** State pieces made between two pauses: about a millisecond. */
const slicePieces = 16;
const keptSnapshots = 2;

export function snapshotFileName(group: GroupId, index: LogIndex): FileName {
  return fileName(`${snapshotFolder}/g${String(group).padStart(2, "0")}-${String(index).padStart(12, "0")}.state`);
}

const pattern = /^snapshot\/g(\d{2,5})-(\d{12,15})\.state$/;

/** Reads a snapshot file's name; null if none is spelled so. */
export function parseSnapshotFileName(file: FileName): { group: GroupId; index: LogIndex } | null {
  const match = pattern.exec(file);
  if (match === null) return null;
  const name = { group: Number(match[1]) as GroupId, index: Number(match[2]) as LogIndex };
  return snapshotFileName(name.group, name.index) === file ? name : null;
}

function headerOf({ cluster, incarnation }: SnapshotOwner, { group, number, generation }: PieceOwner): FileHeader {
  return { magic: snapshotMagic, format: snapshotFormat, cluster, incarnation, group, number, generation };
}

const madeHere = 0;
const taken = 1;

/** Makes the bytes of a snapshot. Pauses every millisecond or so of work; `snapshot.state` must not change meanwhile. */
export function* buildSnapshot(owner: SnapshotOwner, snapshot: SnapshotPages): Generator<void, SnapshotImage> {
  const { group, index, chain } = snapshot;
  const state = new Pages(snapshot.state);
  assert(chain.length <= chainBytesMax, "a chain value is short");
  const place: PieceOwner = { group, number: index, generation: snapshot.isTaken === true ? taken : madeHere };
  const parts: Uint8Array[] = [];
  const digest = createHash("sha256");
  let offset = 0;
  const add = (part: Uint8Array): void => {
    digest.update(part);
    parts.push(part);
    offset += part.length;
  };
  add(encodeFileHeader(headerOf(owner, place)));
  const description = new Uint8Array(pieceHeaderBytes + descriptionHeadBytes + chain.length);
  putU48(description, pieceHeaderBytes, index);
  putU48(description, pieceHeaderBytes + 6, snapshot.term);
  putU48(description, pieceHeaderBytes + 12, snapshot.chunk);
  putU48(description, pieceHeaderBytes + 18, state.length);
  description[pieceHeaderBytes + 24] = chain.length;
  description.set(chain, pieceHeaderBytes + descriptionHeadBytes);
  sealPiece(description, place, { kind: pieceKinds.snapshot, number: 0, offset });
  add(description);
  for (let number = 0; number * statePieceBytes < state.length; number++) {
    const piece = new Uint8Array(pieceHeaderBytes + Math.min(statePieceBytes, state.length - number * statePieceBytes));
    state.take(piece, pieceHeaderBytes);
    sealPiece(piece, place, { kind: pieceKinds.state, number, offset });
    add(piece);
    if (number % slicePieces === slicePieces - 1) yield;
  }
  const last = new Uint8Array(pieceHeaderBytes + 32);
  last.set(digest.digest(), pieceHeaderBytes);
  sealPiece(last, place, { kind: pieceKinds.digest, number: 0, offset });
  parts.push(last);
  return { group, index, file: snapshotFileName(group, index), parts };
}

/** Bytes that lie in several pages, read from the beginning. */
class Pages {
  readonly length: number;
  readonly #pages: readonly Uint8Array[];
  #page = 0;
  #at = 0;

  constructor(pages: readonly Uint8Array[]) {
    this.length = pages.reduce((sum, page) => sum + page.length, 0);
    this.#pages = pages;
  }

  /** Fills `into` from `start` to its end with what comes next. */
  take(into: Uint8Array, start: number): void {
    for (let o = start; o < into.length; ) {
      const page = this.#pages[this.#page]!;
      const part = page.subarray(this.#at, this.#at + into.length - o);
      into.set(part, o);
      o += part.length;
      this.#at += part.length;
      if (this.#at < page.length) continue;
      this.#page++;
      this.#at = 0;
    }
  }
}

/**
 * Makes the snapshot durable, then removes those of the group before the last two. Settles when the new one would survive
 * power loss, under its name, whole.
 */
export async function publishSnapshot(disk: Disk, image: SnapshotImage): Promise<void> {
  await disk.publish(image.file, image.parts);
  const older = (await listSnapshots(disk, image.group)).filter((listed) => listed.index <= image.index);
  for (const { file } of older.slice(keptSnapshots)) await disk.remove(file);
}

/**
 * A snapshot as servers send it to each other: what it says, and the state; without whose file it stands in, so it is the
 * same bytes from whoever has it. `u48 index, u48 term, u48 last sealed chunk, u8 bytes of chain, chain, state`. Here the
 * part before the state.
 */
export function snapshotHead({ index, term, chunk, chain }: Snapshot): Uint8Array {
  const head = new Uint8Array(snapshotHeadBytes + chain.length);
  putU48(head, 0, index);
  putU48(head, 6, term);
  putU48(head, 12, chunk);
  head[18] = chain.length;
  head.set(chain, snapshotHeadBytes);
  return head;
}

/** The snapshot that another server sent; null when the bytes are none. Whether the state is one is for who restores it. */
export function snapshotFrom(group: GroupId, bytes: Uint8Array): Snapshot | null {
  const chainBytes = bytes[18] ?? 0;
  if (bytes.length < snapshotHeadBytes + chainBytes || chainBytes > chainBytesMax) return null;
  return {
    group,
    index: getU48(bytes, 0) as LogIndex,
    term: getU48(bytes, 6) as Term,
    chunk: getU48(bytes, 12),
    chain: bytes.slice(snapshotHeadBytes, snapshotHeadBytes + chainBytes),
    isTaken: true,
    state: bytes.subarray(snapshotHeadBytes + chainBytes),
  };
}

/** The snapshots of a group there are, newest first. From names alone. */
export async function listSnapshots(disk: Disk, group: GroupId): Promise<{ file: FileName; index: LogIndex }[]> {
  const found: { file: FileName; index: LogIndex }[] = [];
  for (const file of await disk.list(snapshotFolder)) {
    const name = parseSnapshotFileName(file);
    if (name !== null && name.group === group) found.push({ file, index: name.index });
  }
  return found.sort((a, b) => b.index - a.index);
}

export interface LatestSnapshot {
  /** null: there is none, or none that is sound. */
  readonly snapshot: Snapshot | null;
  /** What is wrong with newer ones: to be moved to quarantine before the next is published. */
  readonly damage: readonly Damage[];
}

/**
 * The newest snapshot of a group that is sound, and what is wrong with newer ones; nothing is moved or deleted. One of a newer format, or one that the disk can't read now, is a fault: it may be perfectly sound. When this
 * settles, the name of the snapshot it answers would survive power loss, whoever wrote it.
 */
export async function latestSnapshot(disk: Disk, owner: SnapshotOwner, group: GroupId): Promise<LatestSnapshot> {
  const damage: Damage[] = [];
  for (const { file, index } of await listSnapshots(disk, group)) {
    const found = await readSnapshot(disk, owner, { file, group, index });
    if ("state" in found) {
      // A process killed while publishing may have left a name that no sync has followed; removing syncs the folder.
      await disk.remove(fileName(`${file}.confirmed`));
      return { snapshot: found, damage };
    }
    damage.push(found);
  }
  return { snapshot: null, damage };
}

/** Reads and checks a whole snapshot; answers what is wrong with it if anything is. */
export async function readSnapshot(
  disk: Disk,
  owner: SnapshotOwner,
  name: { file: FileName; group: GroupId; index: LogIndex },
): Promise<Snapshot | Damage> {
  const { file, group, index } = name;
  const size = (await disk.sizeOf(file)) ?? 0;
  const wrong = (offset: number, length: number, what: string): Damage => ({ file, offset, length, what });
  const head = await disk.read(file, 0, fileHeaderBytes + pieceHeaderBytes + descriptionHeadBytes + chainBytesMax);
  const newer = formatAbove(snapshotFormat, head, snapshotMagic);
  if (newer !== null) throw new NewerFormat(file, newer, snapshotFormat);
  const header = decodeFileHeader(head, snapshotMagic);
  if (typeof header === "string") return wrong(0, fileHeaderBytes, header);
  const place: PieceOwner = { group, number: index, generation: header.generation === taken ? taken : madeHere };
  const mismatch = headerMismatch(header, headerOf(owner, place));
  if (mismatch !== null) return wrong(0, fileHeaderBytes, mismatch);

  const pieces = new PieceReader(disk, file, place);
  pieces.skip(head.subarray(0, fileHeaderBytes));
  const chainBytes = head[fileHeaderBytes + pieceHeaderBytes + 24] ?? 0;
  const description = await pieces.next(
    pieceKinds.snapshot,
    0,
    descriptionHeadBytes + Math.min(chainBytes, chainBytesMax),
  );
  if (!(description instanceof Uint8Array)) return description;
  const stateBytes = getU48(description, 18);
  const pieceCount = Math.ceil(stateBytes / statePieceBytes);
  const expected = pieces.offset + stateBytes + pieceCount * pieceHeaderBytes + pieceHeaderBytes + 32;
  // Before anything is allocated by what the file says of itself.
  if (size !== expected)
    return wrong(Math.min(size, expected), Math.abs(size - expected), `it has ${size} bytes, not ${expected}`);
  if (getU48(description, 0) !== index || description.length !== descriptionHeadBytes + description[24]!) {
    return wrong(fileHeaderBytes, pieceHeaderBytes + description.length, "the description is not of this snapshot");
  }
  const state = new Uint8Array(stateBytes);
  for (let number = 0; number < pieceCount; number++) {
    const start = number * statePieceBytes;
    const payload = await pieces.next(pieceKinds.state, number, Math.min(statePieceBytes, stateBytes - start));
    if (!(payload instanceof Uint8Array)) return payload;
    state.set(payload, start);
  }
  const digest = pieces.digest();
  const last = await pieces.next(pieceKinds.digest, 0, 32);
  if (!(last instanceof Uint8Array)) return last;
  if (!last.every((byte, i) => byte === digest[i]))
    return wrong(0, size, "the SHA-256 of the whole file does not match");
  return {
    group,
    index,
    term: getU48(description, 6) as Term,
    chunk: getU48(description, 12),
    chain: description.slice(descriptionHeadBytes),
    isTaken: place.generation === taken,
    state,
  };
}

/** Reads pieces one behind the other and hashes them on the way. */
class PieceReader {
  offset = 0;
  readonly #disk: Disk;
  readonly #file: FileName;
  readonly #owner: PieceOwner;
  readonly #digest = createHash("sha256");

  constructor(disk: Disk, file: FileName, owner: PieceOwner) {
    this.#disk = disk;
    this.#file = file;
    this.#owner = owner;
  }

  /** Hashes bytes that were read already. */
  skip(bytes: Uint8Array): void {
    this.#digest.update(bytes);
    this.offset += bytes.length;
  }

  async next(kind: PieceKind, number: number, payloadBytes: number): Promise<Uint8Array | Damage> {
    const { offset } = this;
    const length = pieceHeaderBytes + payloadBytes;
    const piece = await this.#disk.read(this.#file, offset, length);
    const fault =
      piece.length < length ? "the file ends inside a piece" : pieceFault(piece, this.#owner, { kind, number, offset });
    if (fault !== null) return { file: this.#file, offset, length, what: fault };
    this.skip(piece);
    return piece.subarray(pieceHeaderBytes);
  }

  digest(): Uint8Array {
    return this.#digest.copy().digest();
  }
}
