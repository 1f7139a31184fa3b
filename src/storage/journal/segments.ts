import type { Clock } from "../../base/clock.ts";
import type { ClusterId, Incarnation } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { millis } from "../../base/units.ts";
import { DiskFault, fileName } from "../disk.ts";
import type { Disk, FileName } from "../disk.ts";
import { encodeSegmentHeader, generationBytes } from "./layout.ts";

/** The folder of all segments. */
export const journalFolder = "journal";

/**
 * `wal`: a live segment, or one that was; the name is given only after a synced roll names it, so a segment with this
 * name that cannot be read is damage. `next`: prepared, and live only if a roll names it. `spare`: nothing in it matters.
 */
export type SegmentRole = "wal" | "next" | "spare";

const numberDigits = 10;

export function segmentFile(number: number, role: SegmentRole): FileName {
  return fileName(`${journalFolder}/${String(number).padStart(numberDigits, "0")}.${role}`);
}

/** The number and role in a name, or null when it is no segment's. */
export function parseSegmentFile(file: FileName): { number: number; role: SegmentRole } | null {
  const found = /^journal\/(\d{10})\.(wal|next|spare)$/.exec(file);
  return found === null ? null : { number: Number(found[1]), role: found[2] as SegmentRole };
}

/** A segment that may be written: its header is synced. */
export interface Segment {
  readonly number: number;
  file: FileName;
  readonly generation: Uint8Array;
  readonly segmentBytes: number;
}

export interface SegmentOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly cluster: ClusterId;
  readonly incarnation: Incarnation;
  readonly segmentBytes: number;
  /** How many spare segments are kept; at least the one in reserve. */
  readonly spareSegments: number;
}

/** How long a roll waits before it looks again whether there is space for a segment. */
const spaceRetryMs = millis(1000);

/**
 * The segments that are not being written: the next one, prepared; the spares; and those that come back.
 *
 * 1. A segment is prepared before it is named: new generation, header synced, under a `next` name.
 * 2. Whatever comes back gets a new generation before it is written to, so stale bytes never count.
 * 3. One spare is kept in reserve beyond the next one, so that a disk that becomes full strikes here first, and late.
 */
export class SegmentPool {
  /** True while a roll waits for space. */
  waitsForSpace = false;
  /** The last failure of work that nobody waits for; such work is tried again when it is needed. */
  lastFault: Error | null = null;
  readonly #options: SegmentOptions;
  readonly #spares: FileName[];
  #prepared: Segment | null = null;
  #work: Promise<void> = Promise.resolve();
  #closed = false;
  #endWait: (() => void) | null = null;

  constructor(options: SegmentOptions, spares: readonly FileName[]) {
    this.#options = options;
    this.#spares = [...spares];
  }

  get spareCount(): number {
    return this.#spares.length;
  }

  /** In the background: prepares segment `number` and fills the reserve up. */
  prepareSoon(number: number): void {
    this.#later(async () => {
      if (this.#prepared === null) this.#prepared = await this.#prepare(number, 0);
      if (this.#spares.length === 0) await this.#allocateSpare();
      await this.#trim();
    });
  }

  /** In the background: takes a segment back of which nothing is needed any more. */
  retireSoon(file: FileName, number: number): void {
    this.#later(async () => {
      const spare = segmentFile(number, "spare");
      await this.#options.disk.rename(file, spare);
      this.#spares.push(spare);
      await this.#trim();
    });
  }

  /** The segment with this number, prepared. With `wait`, for as long as the disk is full; other failures reject. */
  async take(number: number, options: { flags: number; wait: boolean }): Promise<Segment> {
    const { flags, wait } = options;
    // When it is ready, a roll does not wait until the reserve is full as well.
    if (this.#prepared === null) await this.#work;
    const prepared = this.#prepared;
    this.#prepared = null;
    if (prepared !== null && prepared.number === number && flags === 0) return prepared;
    await this.#work;
    for (;;) {
      try {
        const segment = await this.#prepare(number, flags);
        this.waitsForSpace = false;
        return segment;
      } catch (fault) {
        const passing = fault instanceof DiskFault && (fault.kind === "full" || fault.kind === "too-many-files");
        if (!passing || !wait || this.#closed) throw fault;
        this.waitsForSpace = true;
        this.lastFault = fault;
      }
      await new Promise<void>((resolve) => {
        const timer = this.#options.clock.after(spaceRetryMs, resolve);
        this.#endWait = () => {
          timer.cancel();
          resolve();
        };
      });
    }
  }

  /** Settles when the work in the background has ended. */
  async idle(): Promise<void> {
    await this.#work;
  }

  /** From now on a roll no longer waits for space: one that does looks once more. */
  close(): void {
    this.#closed = true;
    this.#endWait?.();
  }

  #later(task: () => Promise<void>): void {
    this.#work = this.#work.then(task).catch((cause: unknown) => {
      this.lastFault = cause instanceof Error ? cause : new Error(String(cause));
    });
  }

  async #prepare(number: number, flags: number): Promise<Segment> {
    const { disk, random, cluster, incarnation, segmentBytes } = this.#options;
    const file = segmentFile(number, "next");
    const spare = await this.#takeSpare(file);
    if (spare === null) await disk.allocate(file, segmentBytes);
    else if (spare !== file) await disk.rename(spare, file);
    const generation = random.bytes(generationBytes);
    const header = { cluster, incarnation, number, flags, generation, segmentBytes };
    await disk.writeDurable(file, 0, encodeSegmentHeader(header));
    return { number, file, generation, segmentBytes };
  }

  /**
   * One that already has the name is taken first: another would replace it. It is off the list before anything is
   * awaited, because a roll and the work in the background may both be looking.
   */
  async #takeSpare(wanted: FileName): Promise<FileName | null> {
    const { disk, segmentBytes } = this.#options;
    for (;;) {
      const at = this.#spares.indexOf(wanted);
      const spare = at >= 0 ? this.#spares.splice(at, 1)[0] : this.#spares.pop();
      if (spare === undefined) return null;
      if ((await disk.sizeOf(spare)) === segmentBytes) return spare;
      // Made when segments had another size: nothing in it matters, and it cannot be used.
      await disk.remove(spare);
    }
  }

  async #allocateSpare(): Promise<void> {
    // Any free name will do: the number of a spare means nothing.
    let number = 0;
    while (this.#spares.includes(segmentFile(number, "spare"))) number++;
    const file = segmentFile(number, "spare");
    await this.#options.disk.allocate(file, this.#options.segmentBytes);
    this.#spares.push(file);
  }

  async #trim(): Promise<void> {
    while (this.#spares.length > Math.max(1, this.#options.spareSegments)) {
      await this.#options.disk.remove(this.#spares.pop()!);
    }
  }
}
