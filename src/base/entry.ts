import type { GroupId, LogIndex, Term } from "./ids.ts";
import type { Day, Timestamp } from "./units.ts";

/**
 * What an entry of a group's log holds. The numbers are on disk and on the wire and never change their meaning; an
 * unknown one stops the group, it is never skipped.
 */
export const entryTypes = {
  /** Nothing. A new leader's first entry, so that older ones can be counted as committed (Raft thesis 3.6.2). */
  noop: 0,
  /** Commands of clients, gathered in one turn, back to back (rooms/commands.ts). */
  commands: 1,
  /** Names the next day chunk: what it holds is decided here, on every server alike (rooms/seal.ts). */
  seal: 2,
  /** The voters and learners of the group. */
  configuration: 3,
  /** A setting of the whole cluster: the time zone of the day, retention by day. */
  setting: 4,
  /** A sealed chunk is to be written again without what was removed since. */
  rewrite: 5,
} as const;

export type EntryType = (typeof entryTypes)[keyof typeof entryTypes];

/**
 * One entry of a group's log. `ts` and `day` are written by the orderer: `ts` never decreases with `index`, and neither
 * does `day`. The payload is opaque to consensus and storage.
 */
export interface Entry {
  readonly group: GroupId;
  readonly index: LogIndex;
  readonly term: Term;
  readonly type: EntryType;
  readonly ts: Timestamp;
  readonly day: Day;
  readonly payload: Uint8Array;
}
