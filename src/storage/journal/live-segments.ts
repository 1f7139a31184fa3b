import type { GroupId, LogIndex, Mark } from "../../base/ids.ts";
import { type JournalGroup, raise } from "./journal-group.ts";
import type { GroupVote } from "./records.ts";
import { type Segment, type SegmentPool, segmentFile } from "./segments.ts";

/** A segment of which something may be needed. */
export interface LiveSegment {
  readonly number: number;
  readonly bytes: number;
  /** The highest index of each group's entries and bases in it. */
  readonly highest: Map<GroupId, LogIndex>;
}

/** What is written again before segments go. */
export interface Restaged {
  vote(id: GroupId, vote: GroupVote): void;
  base(id: GroupId, group: JournalGroup): void;
  /** Segments below this number are not needed any more; everything above it is flushed when this mark is. */
  floor(number: number): Mark;
}

/**
 * The segments that are live, and the end of their life: those of which no entry is needed any more are given back.
 *
 * 1. they go oldest first, once no group needs an entry of them, and never the one that is written
 * 2. a vote or base that stands in them alone is written again first, then a floor; they go when that is flushed
 * 3. places of entries in them are forgotten before anything else may stand there
 */
export class LiveSegments {
  /** In order; the one that is written is the last. */
  readonly #segments: LiveSegment[];
  readonly #groups: ReadonlyMap<GroupId, JournalGroup>;
  readonly #pool: SegmentPool;
  readonly #restaged: Restaged;
  /** What segments are given up once their floor record is flushed. */
  #reclaiming: { mark: Mark; count: number } | null = null;
  #keptBytesMax = 0;

  constructor(options: {
    segments: readonly LiveSegment[];
    groups: ReadonlyMap<GroupId, JournalGroup>;
    pool: SegmentPool;
    restaged: Restaged;
  }) {
    this.#segments = [...options.segments];
    this.#groups = options.groups;
    this.#pool = options.pool;
    this.#restaged = options.restaged;
  }

  get count(): number {
    return this.#segments.length;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** From here on this one is written. */
  begun({ number, segmentBytes }: Segment): void {
    this.#segments.push({ number, bytes: segmentBytes, highest: new Map<GroupId, LogIndex>() });
  }

  /** The segment that is written is about to hold entries or bases of these groups up to these indexes. */
  takes(entries: ReadonlyMap<GroupId, LogIndex>): void {
    const { highest } = this.#segments.at(-1)!;
    for (const [group, index] of entries) raise(highest, group, index);
  }

  /** Segments that are not needed stay as long as all together are no more than this. True: that is less than before. */
  keep(bytesMax: number): boolean {
    const isLess = bytesMax < this.#keptBytesMax;
    this.#keptBytesMax = bytesMax;
    return isLess;
  }

  /** Looks for segments that may go, and stages what must be written before. True: there are some, and it was. */
  reclaim(): boolean {
    if (this.#reclaiming !== null) return false;
    let count = 0;
    let { bytes } = this;
    while (count < this.#segments.length - 1 && bytes > this.#keptBytesMax) {
      const segment = this.#segments[count]!;
      if (!this.#isReleased(segment.highest)) break;
      bytes -= segment.bytes;
      count++;
    }
    if (count === 0) return false;
    const floor = this.#segments[count]!.number;
    for (const { chains, places } of this.#groups.values()) {
      places.dropBelow(floor);
      chains.release(places.base);
    }
    for (const [id, group] of this.#groups) {
      if (group.vote !== null && group.voteSegment < floor) this.#restaged.vote(id, group.vote);
      if (group.last > 0 && group.chainSegment < floor) this.#restaged.base(id, group);
    }
    const mark = this.#restaged.floor(floor);
    this.#reclaiming = { mark, count };
    return true;
  }

  #isReleased(highest: ReadonlyMap<GroupId, LogIndex>): boolean {
    for (const [id, index] of highest) if (index > this.#groups.get(id)!.released) return false;
    return true;
  }

  /** Everything up to this mark is durable. True: segments were given back, and others may go now. */
  flushed(mark: Mark): boolean {
    const reclaiming = this.#reclaiming;
    if (reclaiming === null || mark < reclaiming.mark) return false;
    this.#reclaiming = null;
    for (const segment of this.#segments.splice(0, reclaiming.count)) {
      this.#pool.retireSoon(segmentFile(segment.number, "wal"));
    }
    return true;
  }
}
