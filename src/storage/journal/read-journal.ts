import { equalBytes } from "../../base/compare-bytes.ts";
import { Fault } from "../../base/error-codes.ts";
import type { ClusterId, GroupId, Incarnation, LogIndex } from "../../base/ids.ts";
import { type Disk, type FileName, fileName } from "../disk.ts";
import type { LiveSegment } from "./live-segments.ts";
import {
  baseFlag,
  batchHeaderAt,
  batchHeaderBytes,
  batchKinds,
  decodeSegmentHeader,
  generationBytes,
  quarantineFlag,
  sectorBytes,
} from "./layout.ts";
import type { SegmentHeader } from "./layout.ts";
import type { FoundEnd } from "./mend-tail.ts";
import { type ProvenEntry, provenEntries } from "./proven-entries.ts";
import { decodeRecords, type EntryRecord } from "./records.ts";
import { Replay } from "./replay.ts";
import type { Damage, ReplayedGroup } from "./replay.ts";
import { scanSegment } from "./scan.ts";
import type { BatchPlace, Gap, SegmentScan } from "./scan.ts";
import { journalFolder, parseSegmentFile, segmentFile } from "./segments.ts";
import type { Segment, SegmentRole } from "./segments.ts";

/** What stands in the journal folder. Nothing was changed. */
export interface ReadJournal {
  readonly groups: Map<GroupId, ReplayedGroup>;
  readonly damage: Damage[];
  readonly torn: { file: FileName; offset: number; length: number } | null;
  readonly clean: boolean;
  /** Where the log goes on after a clean stop. */
  readonly tail: JournalTail | null;
  /** Where it ends; null for a damaged one, and for none. */
  readonly end: FoundEnd | null;
  readonly live: LiveSegment[];
  /** The segments that were read. */
  readonly read: { file: FileName; number: number }[];
  /** Older ones, of which nothing is needed, as a record says that may be in the page cache only. */
  readonly obsolete: { file: FileName; number: number }[];
  /** Those that were copied forward, which is durable. */
  readonly copied: { file: FileName; number: number }[];
  /** Older ones that were damaged when the loss was accepted, and are not yet in quarantine. */
  readonly quarantined: FileName[];
  readonly spares: FileName[];
  readonly highestNumber: number;
  readonly lastNumber: number;
}

interface JournalTail {
  readonly segment: Segment;
  readonly offset: number;
  readonly lastNumber: number;
  readonly lastChecksum: number;
  readonly mark: { offset: number; bytes: Uint8Array };
}

interface SegmentOnDisk {
  readonly file: FileName;
  readonly number: number;
  readonly role: SegmentRole;
  /** Null when it cannot be read. */
  readonly header: SegmentHeader | null;
  /** A batch of its generation stands first in it. */
  readonly filled: boolean;
}

interface Named {
  readonly segment: number;
  readonly generation: Uint8Array;
}

/** Reads the whole journal. Rejects with a `Fault` when it belongs to somebody else. */
export async function readJournal(options: {
  disk: Disk;
  cluster: ClusterId;
  incarnation: Incarnation;
  settings: { segmentBytes: number };
  from: ReadonlyMap<GroupId, LogIndex>;
  expected?: boolean;
  acceptLoss: boolean;
}): Promise<ReadJournal> {
  const segments = await listSegments(options);
  const reader = new JournalReader(options, segments);
  await reader.readAll();
  return reader.conclude();
}

async function listSegments(options: {
  disk: Disk;
  cluster: ClusterId;
  incarnation: Incarnation;
}): Promise<SegmentOnDisk[]> {
  const segments: SegmentOnDisk[] = [];
  for (const file of await options.disk.list(journalFolder)) {
    const parsed = parseSegmentFile(file);
    if (parsed === null) continue;
    let header: SegmentHeader | null = null;
    let filled = false;
    if (parsed.role !== "spare") {
      const start = await options.disk.read(file, 0, 2 * sectorBytes);
      const verdict = decodeSegmentHeader(start.subarray(0, sectorBytes), options);
      if (verdict.state === "foreign") {
        throw new Fault("unavailable", `${file} is not for this server: ${verdict.what}`, { definite: true });
      }
      // A spare that was renamed and has not got its new header yet still has the number it had before.
      if (verdict.state === "valid" && verdict.header.number === parsed.number) header = verdict.header;
      filled = header !== null && batchHeaderAt(start, sectorBytes, header.generation) !== null;
    }
    segments.push({ file, ...parsed, header, filled });
  }
  return segments;
}

class JournalReader {
  readonly #options: Parameters<typeof readJournal>[0];
  readonly #segments: readonly SegmentOnDisk[];
  readonly #live: ReadonlyMap<number, SegmentOnDisk>;
  readonly #next: ReadonlyMap<number, SegmentOnDisk>;
  readonly #replay: Replay;
  readonly #read: SegmentOnDisk[] = [];
  #base: SegmentOnDisk | null = null;
  #torn: ReadJournal["torn"] = null;
  #tail: JournalTail | null = null;
  /** How each segment that was read stands; damage ends it. */
  readonly #stands: { segment: Segment; role: SegmentRole; scan: SegmentScan }[] = [];
  #lastNumber = 0;
  /** Set by `#readSegment`: the segment that the last batch of this one names. */
  #rollOf: Named | null = null;

  constructor(options: Parameters<typeof readJournal>[0], segments: readonly SegmentOnDisk[]) {
    this.#options = options;
    this.#segments = segments;
    this.#live = byNumber(segments, "wal");
    this.#next = byNumber(segments, "next");
    this.#replay = new Replay(options.from);
  }

  async readAll(): Promise<void> {
    const numbers = [...this.#live.keys()];
    if (numbers.length === 0) {
      this.#noticeMissingJournal();
      return;
    }
    for (const segment of this.#live.values()) {
      if (segment.header !== null && (segment.header.flags & baseFlag) !== 0) this.#base = segment;
    }
    const first = this.#base?.number ?? Math.min(...numbers);
    const highest = Math.max(...numbers);
    if (this.#base === null) {
      // Stands only if no floor says that nothing before `first` is needed.
      this.#miss(first - 1, segmentFile(Math.max(0, first - 1), "wal"), "the segments up to here are missing");
    }
    let named: Named | null = null;
    let previous: { number: number; checksum: number } | null = null;
    for (let number = first; number <= highest || named !== null; number++) {
      const segment = this.#find(number, named);
      if (segment === null) {
        this.#miss(number, segmentFile(number, "wal"), "the segment is missing");
        named = null;
        previous = null;
        continue;
      }
      const scan: SegmentScan | null = await this.#readSegment(segment, named, previous);
      named = scan === null ? null : this.#rollOf;
      previous =
        scan === null || scan.lastNumber === null || scan.lastChecksum === null
          ? null
          : { number: scan.lastNumber, checksum: scan.lastChecksum };
      if (named !== null || number > highest) continue;
      if (number === highest) named = this.#evidenceOfLostRoll(number + 1);
      if (number < highest || named !== null) {
        const end = scan?.end ?? sectorBytes;
        this.#torn = null;
        this.#tail = null;
        previous = null;
        this.#replay.damage(number, {
          file: segment.file,
          offset: end,
          length: this.#options.settings.segmentBytes - end,
          what: "the end of the segment, with the roll to the next one, is unreadable",
        });
      }
    }
  }

  conclude(): ReadJournal {
    const { damage, groups } = this.#replay.finish({ fill: this.#options.acceptLoss });
    const { floor } = this.#replay;
    const read = this.#read.filter((segment) => segment.number >= floor);
    const readFiles = new Set(read.map((segment) => segment.file));
    const old = this.#segments.filter((segment) => segment.role === "wal" && !readFiles.has(segment.file));
    const setAside = this.#base !== null && (this.#base.header!.flags & quarantineFlag) !== 0;
    const isCopied = ({ number }: SegmentOnDisk): boolean => this.#base !== null && number < this.#base.number;
    const highestNumber = Math.max(
      0,
      ...[...this.#live.values(), ...this.#read].map((segment) => segment.number),
      ...(this.#live.size === 0 && damage.length > 0 ? this.#segments.map((segment) => segment.number) : []),
    );
    return {
      groups,
      damage,
      torn: this.#torn,
      clean: damage.length === 0 && this.#tail !== null,
      tail: this.#tail,
      end: damage.length === 0 ? this.#end(floor) : null,
      live: read.map((segment) => ({
        number: segment.number,
        bytes: segment.header?.segmentBytes ?? this.#options.settings.segmentBytes,
        highest: new Map(this.#replay.highest(segment.number)),
      })),
      read: read.map(({ file, number }) => ({ file, number })),
      obsolete: old.filter((segment) => !isCopied(segment)).map(({ file, number }) => ({ file, number })),
      copied: old.filter((segment) => isCopied(segment) && !setAside).map(({ file, number }) => ({ file, number })),
      quarantined: old.filter((segment) => isCopied(segment) && setAside).map((segment) => segment.file),
      spares: this.#segments
        .filter((segment) => segment.role !== "wal" && !readFiles.has(segment.file))
        .map((segment) => segment.file),
      highestNumber,
      lastNumber: this.#lastNumber,
    };
  }

  #end(floor: number): FoundEnd | null {
    const stands = this.#stands.filter(({ segment }) => segment.number >= floor);
    const last = stands.at(-1);
    if (last === undefined) return null;
    // A segment under its live name was named by a roll that had settled. One that is prepared only and has nothing in it
    // may be named by a roll that has not: a batch of another generation, that a copy which was given up has left there,
    // is nothing. Whoever writes to one that has no live name yet has all of it written before it is named.
    const isBegun = last.role === "wal" || last.scan.parts.length > 0;
    const written = isBegun ? last : stands.at(-2);
    if (written === undefined) return null;
    const { end: offset, lastNumber, lastChecksum } = written.scan;
    if (lastNumber === null || lastChecksum === null) return null;
    return {
      segment: written.segment,
      offset,
      lastNumber,
      lastChecksum,
      isFirst: written === stands[0],
      next: isBegun ? null : last.segment,
      unnamed: stands.filter((one) => one.role === "next" && (isBegun || one !== last)).map(({ segment }) => segment),
    };
  }

  /** A new data directory has no segment; one that had a journal has. */
  #noticeMissingJournal(): void {
    const { expected, from } = this.#options;
    const used = [...from.values()].some((index) => index > 0);
    // Making the very first segment may have been interrupted.
    const more = this.#segments.some((segment) => segment.role !== "next" || segment.number !== 1);
    if (expected !== true && !used && !more) return;
    const known = [...from].map(([group, index]) => `group ${group} is known up to entry ${index}, by its snapshot`);
    const rest = known.length === 0 ? "" : `; ${known.join(", ")}, and what came behind it is not here`;
    // Neither its segments nor their sizes are known.
    this.#miss(0, fileName(journalFolder), `the journal is missing${rest}`);
  }

  /** What is not there has no bytes. */
  #miss(number: number, file: FileName, what: string): void {
    this.#replay.damage(number, { file, offset: 0, length: 0, what });
  }

  #find(number: number, named: Named | null): SegmentOnDisk | null {
    const live = this.#live.get(number);
    if (live !== undefined) return live;
    const next = this.#next.get(number);
    if (next === undefined || named === null) return null;
    // Named but unreadable is damage; named, readable and of another generation is not the one that was named.
    return next.header === null || equalBytes(next.header.generation, named.generation) ? next : null;
  }

  async #readSegment(
    segment: SegmentOnDisk,
    named: Named | null,
    previous: { number: number; checksum: number } | null,
  ): Promise<SegmentScan | null> {
    const { disk, settings } = this.#options;
    const { file, number, header } = segment;
    const size = (await disk.sizeOf(file)) ?? 0;
    const wholeSize = header?.segmentBytes ?? settings.segmentBytes;
    const image = await disk.read(file, 0, Math.min(size, wholeSize));
    this.#read.push(segment);
    this.#rollOf = null;
    this.#torn = null;
    this.#tail = null;
    if (header !== null && named !== null && !equalBytes(header.generation, named.generation)) {
      this.#replay.damage(number, { file, offset: 0, length: size, what: "this is not the segment that was named" });
      return null;
    }
    const generation = header?.generation ?? named?.generation ?? generationOfFirstBatch(image);
    if (header === null) {
      const length = generation === null ? wholeSize : sectorBytes;
      this.#replay.damage(number, { file, offset: 0, length, what: "the header of the segment is unreadable" });
      if (generation === null) return null;
    }
    const scan = scanSegment(image, { generation: generation!, previous });
    if (header !== null) {
      const { segmentBytes } = header;
      const stand = { number, file, generation: header.generation, segmentBytes };
      this.#stands.push({ segment: stand, role: segment.role, scan });
    }
    this.#lastNumber = Math.max(this.#lastNumber, (scan.lastNumber ?? 0) + 1);
    this.#replayParts(segment, image, { generation: generation!, parts: scan.parts });
    if (size < wholeSize) {
      this.#replay.damage(number, {
        file,
        offset: size,
        length: wholeSize - size,
        what: `the file was cut off: ${size} bytes of ${wholeSize}`,
      });
    }
    this.#torn = scan.torn === null ? null : { file, ...scan.torn };
    const last = scan.parts.at(-1);
    if (header !== null && last !== undefined && "batch" in last && scan.torn === null && scan.end < wholeSize) {
      const { batch } = last;
      if (batch.kind === batchKinds.cleanMark && batch.offset + batch.length === scan.end) {
        this.#tail = {
          segment: { number, file, generation: header.generation, segmentBytes: header.segmentBytes },
          offset: scan.end,
          lastNumber: batch.number,
          lastChecksum: batch.checksum,
          mark: { offset: batch.offset, bytes: image.slice(batch.offset, scan.end) },
        };
      }
    }
    return scan;
  }

  #replayParts(
    segment: SegmentOnDisk,
    image: Uint8Array,
    { generation, parts }: { generation: Uint8Array; parts: SegmentScan["parts"] },
  ): void {
    const { file, number } = segment;
    for (let at = 0; at < parts.length; ) {
      const part = parts[at]!;
      if ("batch" in part) {
        this.#replayBatch(segment, image, part.batch);
        at++;
        continue;
      }
      const gaps: Gap[] = [];
      for (let gap = parts[at]; gap !== undefined && "gap" in gap; gap = parts[++at]) gaps.push(gap.gap);
      const rest = parts.slice(at);
      const proven = provenEntries(image, {
        generation,
        gaps,
        placeBefore: (group) => this.#replay.placeOf(group),
        firstBehind: (group) => firstEntryOf(group, image, rest),
      });
      const replay = ({ record, offset, length }: ProvenEntry): void => {
        // The checksum of its batch does not hold; nobody reads it from there again.
        this.#replay.record(record, { segment: number, file, offset, length, checksum: 0 });
      };
      for (const one of proven.ahead) replay(one);
      for (const { offset, length, batchCount } of gaps) {
        const count = batchCount === null ? "an unknown number of batches" : `${batchCount} batches`;
        this.#replay.damage(number, { file, offset, length, what: `${count} with a later one behind: unreadable` });
      }
      for (const one of proven.behind) replay(one);
    }
  }

  #replayBatch(segment: SegmentOnDisk, image: Uint8Array, batch: BatchPlace): void {
    const { file, number } = segment;
    const { offset, length, checksum } = batch;
    const where = { segment: number, file, offset, length, checksum };
    const records = decodeRecords(image, batch.offset + batchHeaderBytes, batch.recordBytes);
    if (records === null) {
      const what = `batch ${batch.number} holds a record that is not well formed`;
      this.#replay.damage(number, { file, offset: batch.offset, length: batch.length, what });
      return;
    }
    for (const record of records) {
      if (record.type === "roll") this.#rollOf = record;
      else this.#replay.record(record, where);
    }
  }

  /**
   * The last live segment has no roll. If the next one holds batches all the same, there was a roll: the others of a copy
   * get their live names after the first one.
   */
  #evidenceOfLostRoll(number: number): Named | null {
    const next = this.#next.get(number);
    if (next === undefined || next.header === null || (next.header.flags & baseFlag) !== 0) return null;
    return next.filled ? { segment: number, generation: next.header.generation } : null;
  }
}

function byNumber(segments: readonly SegmentOnDisk[], role: SegmentRole): Map<number, SegmentOnDisk> {
  const found = segments.filter((segment) => segment.role === role);
  return new Map(found.map((segment) => [segment.number, segment]));
}

/** The first entry of a group in sound batches; null: there is none, or a record of them is not well formed. */
function firstEntryOf(group: GroupId, image: Uint8Array, parts: SegmentScan["parts"]): EntryRecord | null {
  for (const part of parts) {
    if ("gap" in part) return null;
    const { offset, recordBytes } = part.batch;
    for (const record of decodeRecords(image, offset + batchHeaderBytes, recordBytes) ?? []) {
      if (record.type === "entry" && record.entry.group === group) return record;
    }
  }
  return null;
}

/** Without a header and without a roll that names the segment, its first batch still says what it is. */
function generationOfFirstBatch(image: Uint8Array): Uint8Array | null {
  const generation = image.slice(sectorBytes + 16, sectorBytes + 16 + generationBytes);
  return generation.length === generationBytes && batchHeaderAt(image, sectorBytes, generation) !== null
    ? generation
    : null;
}
