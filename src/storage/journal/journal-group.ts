import type { GroupId, LogIndex } from "../../base/ids.ts";
import { ChainLog } from "./chain-log.ts";
import { EntryPlaces } from "./entry-places.ts";
import type { GroupVote } from "./records.ts";

/** What a group's log goes on with. */
export interface GroupStart {
  readonly vote: GroupVote | null;
  readonly last: LogIndex;
  readonly released: LogIndex;
  readonly chains: ChainLog;
  readonly places: EntryPlaces;
  /** Lowest live segments that hold its newest vote, and its newest entry or base. */
  readonly voteSegment: number;
  readonly chainSegment: number;
}

/** What the journal knows of one group while it is written. */
export interface JournalGroup extends GroupStart {
  vote: GroupVote | null;
  last: LogIndex;
  released: LogIndex;
  voteSegment: number;
  chainSegment: number;
}

/** A group of which nothing was written yet. */
export function emptyGroup(): JournalGroup {
  const none = 0 as LogIndex;
  const [chains, places] = [new ChainLog(0), new EntryPlaces(none)];
  return { vote: null, last: none, released: none, chains, places, voteSegment: 0, chainSegment: 0 };
}

/** Notes that something of this group goes up to `index`. */
export function raise(highest: Map<GroupId, LogIndex>, group: GroupId, index: LogIndex): void {
  const before = highest.get(group);
  if (before === undefined || before < index) highest.set(group, index);
}
