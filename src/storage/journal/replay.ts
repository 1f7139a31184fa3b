import { equalBytes } from "../../base/compare-bytes.ts";
import { entryTypes } from "../../base/entry.ts";
import type { Entry } from "../../base/entry.ts";
import { Fault } from "../../base/error-codes.ts";
import type { GroupId, LogIndex } from "../../base/ids.ts";
import type { FileName } from "../disk.ts";
import { EntryPlaces } from "./entry-places.ts";
import type { ChainPlace } from "./proven-entries.ts";
import { noChain } from "./records.ts";
import type { GroupVote, JournalRecord } from "./records.ts";

/** Bytes of the journal that should be readable and are not. */
export interface Damage {
  readonly file: FileName;
  readonly offset: number;
  readonly length: number;
  readonly what: string;
  /** Entries that these bytes may hide. `through` null: nobody knows how many followed `from`. */
  readonly groups: { group: GroupId; from: LogIndex; through: LogIndex | null }[];
  /** Groups without a vote written later: their newest vote may be hidden, so they may not vote under this name. */
  readonly votes: GroupId[];
}

export interface RecoveredGroup {
  readonly vote: GroupVote | null;
  /** Ascending, without holes, all above the index that the caller said is durable elsewhere. */
  readonly entries: Entry[];
}

/** What the journal goes on with, of one group. */
export interface ReplayedGroup extends RecoveredGroup {
  /** The index of the last entry, or of what stands for it: 0 when there was none. */
  readonly last: LogIndex;
  /** The chain of the entry before `entries[0]`, or of `last` when there are no entries. */
  readonly chainBefore: Uint8Array;
  /** The chains of `entries`, as they stand in the journal; [] when holes were closed, which changes them. */
  readonly chains: Uint8Array[];
  /** Where `entries` stand. Means nothing when holes were closed. */
  readonly places: EntryPlaces;
  /** Segments that hold the newest vote, and the newest entry or base; 0 when there is none. */
  readonly voteSegment: number;
  readonly chainSegment: number;
}

interface GroupReplay {
  vote: GroupVote | null;
  readonly from: LogIndex;
  last: LogIndex;
  /** False until the journal said anything about the place of the group's log. */
  placed: boolean;
  chain: Uint8Array;
  chainBefore: Uint8Array;
  entries: Entry[];
  chains: Uint8Array[];
  readonly places: EntryPlaces;
  voteSegment: number;
  chainSegment: number;
  /** Indexes missing between entries, and between which damages (counted) they went missing. */
  holes: { from: LogIndex; through: LogIndex; since: number; until: number; where: Where }[];
  /** When the last record about entries came, counted in gaps seen before it; the same for votes. */
  entrySeenAfterGaps: number;
  voteSeenAfterGaps: number;
}

/** The batch that a record came from, for damage that only shows in the record. */
interface Where {
  readonly segment: number;
  readonly file: FileName;
  readonly offset: number;
  readonly length: number;
  readonly checksum: number;
}

interface OpenDamage extends Damage {
  readonly segment: number;
}

/** Holes in the log of one group that may be filled with entries that say nothing; beyond, something else is wrong. */
const filledEntriesMax = 1_000_000;

/**
 * Records in, the state they stand for out. Pure: it is fed the records of the segments in order, with the damage where
 * it lies between them.
 *
 * 1. An entry at or below the last index of its group replaces that entry and all after it.
 * 2. The last vote of a group counts.
 * 3. What one damage may hide: entries between the last one before it and the first one after it.
 */
export class Replay {
  /** Nothing below this segment is needed, as far as the records tell. */
  floor = 0;
  readonly #groups = new Map<GroupId, GroupReplay>();
  readonly #damage: OpenDamage[] = [];
  readonly #highest = new Map<number, Map<GroupId, LogIndex>>();

  constructor(from: ReadonlyMap<GroupId, LogIndex>) {
    for (const group of from.keys()) this.#group(group, from.get(group));
  }

  record(record: JournalRecord, where: Where): void {
    switch (record.type) {
      case "entry": {
        const group = this.#group(record.entry.group);
        const { entry, chain, previousChain } = record;
        if (entry.index > group.last + 1) this.#jump(group, (entry.index - 1) as LogIndex, where);
        else if (entry.index === group.last + 1) this.#checkChain(group, entry, previousChain, where);
        else truncate(group, entry.index);
        if (entry.index > group.from) {
          if (group.entries.length === 0) {
            group.chainBefore = previousChain;
            group.places.restart((entry.index - 1) as LogIndex);
          }
          if (group.holes.length === 0) group.places.add(entry.index, entry.index, where);
          group.entries.push(entry);
          group.chains.push(chain);
        }
        this.#place(group, record.entry.group, entry.index, chain, where.segment);
        return;
      }
      case "base": {
        const group = this.#group(record.group);
        if (record.index > group.last) this.#jump(group, record.index, where);
        else if (record.index < group.last) return;
        this.#place(group, record.group, record.index, record.chain, where.segment);
        return;
      }
      case "vote": {
        const group = this.#group(record.group);
        group.vote = record.vote;
        group.voteSegment = where.segment;
        group.voteSeenAfterGaps = this.#damage.length;
        return;
      }
      case "floor":
        this.floor = Math.max(this.floor, record.segment);
        return;
      case "roll":
        // Who reads the segments follows it.
        return;
      case "unknown":
        throw new Fault(
          "unavailable",
          `${where.file} holds a record of type ${record.number}, which this version does not know: start a newer version`,
        );
      default:
        return record satisfies never;
    }
  }

  /** Up to where the log of a group is known now. */
  placeOf(id: GroupId): ChainPlace {
    const { last, chain } = this.#groups.get(id) ?? { last: 0 as LogIndex, chain: noChain };
    return { index: last, chain };
  }

  damage(segment: number, damage: { file: FileName; offset: number; length: number; what: string }): void {
    this.#damage.push({ ...damage, segment, groups: [], votes: [] });
  }

  /**
   * The end of the journal. With `fill`, holes in a group's log are closed with no-ops, so that what follows them can be
   * kept; without, the log of a group ends before its first hole.
   */
  finish(options: { fill: boolean }): { groups: Map<GroupId, ReplayedGroup>; damage: Damage[] } {
    const ids = [...this.#groups.keys()].sort((a, b) => a - b);
    const groups = new Map<GroupId, ReplayedGroup>();
    const noticed = this.#damage.slice();
    for (const id of ids) for (const hole of this.#groups.get(id)!.holes) this.#blame(id, hole);
    for (const id of ids) {
      const group = this.#groups.get(id)!;
      for (const [at, damage] of noticed.entries()) {
        // Blamed for a hole, it was before what is known of the log; else nobody knows how much it hides behind the end.
        if (group.entrySeenAfterGaps <= at && !damage.groups.some((hidden) => hidden.group === id)) {
          const from = (Math.max(group.last, group.from) + 1) as LogIndex;
          damage.groups.push({ group: id, from, through: null });
        }
        if (group.voteSeenAfterGaps <= at) damage.votes.push(id);
      }
      const entries = group.holes.length === 0 ? group.entries : closed(group, options.fill);
      const last = entries.at(-1)?.index ?? (Math.max(group.last, group.from) as LogIndex);
      const chainBefore = entries.length > 0 ? group.chainBefore : group.last >= group.from ? group.chain : noChain;
      const { vote, voteSegment, chainSegment, places } = group;
      if (entries.length === 0) places.restart(last);
      const chains = group.holes.length === 0 ? group.chains : [];
      groups.set(id, { vote, entries, last, chainBefore, chains, places, voteSegment, chainSegment });
    }
    const damage = this.#damage
      .filter((one) => one.segment >= this.floor)
      .map(({ file, offset, length, what, groups: hidden, votes }) => ({
        file,
        offset,
        length,
        what,
        groups: hidden,
        votes,
      }));
    return { groups, damage };
  }

  /** The highest index of each group in one segment. */
  highest(segment: number): ReadonlyMap<GroupId, LogIndex> {
    return this.#highestOf(segment);
  }

  #highestOf(segment: number): Map<GroupId, LogIndex> {
    let highest = this.#highest.get(segment);
    if (highest === undefined) {
      highest = new Map<GroupId, LogIndex>();
      this.#highest.set(segment, highest);
    }
    return highest;
  }

  #group(id: GroupId, from = 0 as LogIndex): GroupReplay {
    let group = this.#groups.get(id);
    if (group === undefined) {
      group = {
        vote: null,
        from,
        last: 0 as LogIndex,
        placed: false,
        chain: noChain,
        chainBefore: noChain,
        entries: [],
        chains: [],
        places: new EntryPlaces(from),
        voteSegment: 0,
        chainSegment: 0,
        holes: [],
        entrySeenAfterGaps: 0,
        voteSeenAfterGaps: 0,
      };
      this.#groups.set(id, group);
    }
    return group;
  }

  #place(group: GroupReplay, id: GroupId, index: LogIndex, chain: Uint8Array, segment: number): void {
    group.last = index;
    group.chainSegment = segment;
    const highest = this.#highestOf(segment);
    if ((highest.get(id) ?? 0) < index) highest.set(id, index);
    group.chain = chain;
    group.placed = true;
    group.entrySeenAfterGaps = this.#damage.length;
  }

  /** The log goes on at `through` + 1: what lies between must be durable elsewhere, or it is gone. */
  #jump(group: GroupReplay, through: LogIndex, where: Where): void {
    const from = (Math.max(group.last, group.from) + 1) as LogIndex;
    if (through < from) {
      // Durable elsewhere; entries below it cannot be joined to what comes.
      group.entries = [];
      group.chains = [];
      group.holes = [];
      return;
    }
    group.holes.push({ from, through, since: group.entrySeenAfterGaps, until: this.#damage.length, where });
  }

  /** Says of the damages in question that they hide the entries; without any, the hole is damage itself. */
  #blame(id: GroupId, hole: GroupReplay["holes"][number]): void {
    const { from, through, where } = hole;
    let damages = this.#damage.slice(hole.since, hole.until).filter((damage) => damage.segment >= this.floor);
    if (damages.length === 0) {
      const { segment, file, offset, length } = where;
      this.damage(segment, { file, offset, length, what: "entries before these are missing" });
      damages = this.#damage.slice(-1);
    }
    for (const damage of damages) damage.groups.push({ group: id, from, through });
  }

  #checkChain(group: GroupReplay, entry: Entry, previousChain: Uint8Array, where: Where): void {
    if (!group.placed || equalBytes(previousChain, group.chain)) return;
    this.damage(where.segment, {
      file: where.file,
      offset: where.offset,
      length: where.length,
      what: `entry ${entry.index} of group ${entry.group} does not continue the entry before it`,
    });
  }
}

function truncate(group: GroupReplay, index: LogIndex): void {
  while (group.entries.length > 0 && group.entries.at(-1)!.index >= index) {
    group.entries.pop();
    group.chains.pop();
  }
  while (group.holes.length > 0 && group.holes.at(-1)!.from >= index) group.holes.pop();
}

function closed(group: GroupReplay, fill: boolean): Entry[] {
  const missing = group.holes.reduce((sum, hole) => sum + hole.through - hole.from + 1, 0);
  if (fill && missing > filledEntriesMax) {
    throw new Fault(
      "unavailable",
      `${missing} entries of the journal are missing: restore a backup or fetch them from a peer`,
    );
  }
  if (!fill) {
    const firstHole = group.holes[0]!.from;
    return group.entries.filter((entry) => entry.index < firstHole);
  }
  const filled: Entry[] = [];
  let next = 0;
  for (const hole of [...group.holes, null]) {
    const before = hole === null ? Infinity : hole.from;
    while (next < group.entries.length && group.entries[next]!.index < before) {
      filled.push(group.entries[next]!);
      next++;
    }
    if (hole === null) break;
    // Times and terms of a neighbour: neither ever goes back in a log.
    const like = filled.at(-1) ?? group.entries[next];
    if (like === undefined) break;
    for (let index = hole.from; index <= hole.through; index++) {
      filled.push({ ...like, index, type: entryTypes.noop, payload: new Uint8Array(0) });
    }
  }
  return filled;
}
