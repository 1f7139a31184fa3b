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
 * Segments that a roll leaves behind it, beyond the one it takes, so that a disk that has become full takes no start with
 * it: one is what a start writes the end of the journal to (mend-tail.ts), and gives another back for it; one is where the
 * few records of a start, and those of whoever makes room, go when the end is full.
 */
const reserveSegments = 2;

/** What a roll leaves where the reserve is drawn on. */
const drawnReserveSegments = 1;

/**
 * The segments that are not being written: the next one, prepared; the spares; and those that come back.
 *
 * 1. A segment is prepared before it is named: new generation, header synced, under a `next` name.
 * 2. Whatever comes back gets a new generation before it is written to, so stale bytes never count.
 * 3. A roll leaves `reserveSegments` segments, or `drawnReserveSegments` once the reserve may be drawn on; else it waits
 *    for space. So a start finds one, whenever the process was killed.
 */
export class SegmentPool {
  /** True while a roll waits for space. */
  waitsForSpace = false;
  /** The last failure of work that nobody waits for; such work is tried again when it is needed. */
  lastFault: Error | null = null;
  readonly #options: SegmentOptions;
  readonly #spares: FileName[];
  #prepared: Segment | null = null;
  /** One thing at a time: each may take spares and give some back. */
  #work: Promise<void> = Promise.resolve();
  #isDrawnOn = false;
  #closed = false;
  #endWait: (() => void) | null = null;

  constructor(options: SegmentOptions, spares: readonly FileName[]) {
    this.#options = options;
    this.#spares = [...spares];
  }

  get spareCount(): number {
    return this.#spares.length;
  }

  /** Whether a roll may draw on the reserve. When not any more, it is filled up in the background. */
  useReserve(allowed: boolean): void {
    if (allowed === this.#isDrawnOn) return;
    this.#isDrawnOn = allowed;
    if (allowed) this.#endWait?.();
    else this.#later(() => this.#fill(reserveSegments));
  }

  /** In the background: prepares segment `number` and fills the reserve up. */
  prepareSoon(number: number): void {
    this.#later(async () => {
      if (this.#prepared === null) this.#prepared = await this.#prepare(number, 0);
      await this.#fill(reserveSegments);
      await this.#trim();
    });
  }

  /** In the background: takes a segment back of which nothing is needed any more. */
  retireSoon(file: FileName): void {
    this.#later(async () => {
      await this.#keep(file);
      await this.#trim();
    });
  }

  /** Takes a segment back of which nothing is needed any more. */
  retire(file: FileName): Promise<void> {
    return this.#queued(() => this.#keep(file));
  }

  /**
   * The segment with this number, prepared. With `wait` it is a roll's, which leaves the reserve, and waits for as long as
   * the disk is full; without, every segment there is may be taken. Other failures reject.
   */
  async take(number: number, options: { flags: number; wait: boolean }): Promise<Segment> {
    const { flags, wait } = options;
    // When enough are ready, a roll does not wait until the reserve is full.
    if (this.#prepared === null) await this.#work;
    for (;;) {
      const leave = wait ? (this.#isDrawnOn ? drawnReserveSegments : reserveSegments) : 0;
      if (this.#isReady(number, flags) && this.#spares.length >= leave) return this.#takePrepared();
      try {
        const segment = await this.#queued(async () => {
          await this.#fill(this.#isReady(number, flags) ? leave : leave === 0 ? 0 : leave + 1);
          return this.#isReady(number, flags) ? this.#takePrepared() : await this.#prepare(number, flags);
        });
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

  /** A file of a segment's size under the `next` name of this number, to be filled with whatever stands for that segment. */
  takeBlank(number: number): Promise<FileName> {
    return this.#queued(() => this.#blank(number));
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
    this.#queued(task).catch((cause: unknown) => {
      this.lastFault = cause instanceof Error ? cause : new Error(String(cause));
    });
  }

  #queued<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#work.then(task);
    // Whoever asked is told of a failure; the next task begins all the same.
    this.#work = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  #isReady(number: number, flags: number): boolean {
    return flags === 0 && this.#prepared?.number === number;
  }

  #takePrepared(): Segment {
    this.waitsForSpace = false;
    const prepared = this.#prepared!;
    this.#prepared = null;
    return prepared;
  }

  async #prepare(number: number, flags: number): Promise<Segment> {
    const { disk, random, cluster, incarnation, segmentBytes } = this.#options;
    const file = await this.#blank(number);
    const generation = random.bytes(generationBytes);
    const header = { cluster, incarnation, number, flags, generation, segmentBytes };
    try {
      await disk.writeDurable(file, 0, encodeSegmentHeader(header));
    } catch (fault) {
      // It is there for the next attempt, which may find no space for another.
      this.#spares.push(file);
      throw fault;
    }
    return { number, file, generation, segmentBytes };
  }

  async #blank(number: number): Promise<FileName> {
    const { disk, segmentBytes } = this.#options;
    const file = segmentFile(number, "next");
    const spare = await this.#takeSpare(file);
    if (spare === null) {
      await disk.allocate(file, segmentBytes);
    } else if (spare !== file) {
      try {
        await disk.rename(spare, file);
      } catch (fault) {
        // The old name holds, as a rule; there may be no space for another.
        const size = await disk.sizeOf(spare).catch(() => null);
        if (size !== null) this.#spares.push(spare);
        throw fault;
      }
    }
    return file;
  }

  /** One that already has the name is taken first: another would replace it. */
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

  async #keep(file: FileName): Promise<void> {
    const spare = this.#freeName();
    await this.#options.disk.rename(file, spare);
    this.#spares.push(spare);
  }

  async #fill(count: number): Promise<void> {
    while (this.#spares.length < count) {
      const file = this.#freeName();
      await this.#options.disk.allocate(file, this.#options.segmentBytes);
      this.#spares.push(file);
    }
  }

  /** Any free name will do: the number of a spare means nothing. */
  #freeName(): FileName {
    let number = 0;
    while (this.#spares.includes(segmentFile(number, "spare"))) number++;
    return segmentFile(number, "spare");
  }

  async #trim(): Promise<void> {
    while (this.#spares.length > Math.max(reserveSegments, this.#options.spareSegments)) {
      await this.#options.disk.remove(this.#spares.pop()!);
    }
  }
}
