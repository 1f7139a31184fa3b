import type { Retention } from "./room.ts";
import type { Runs } from "./runs.ts";

/**
 * Which `first` a room's retention asks for. Pure: the orderer asks, and proposes a `trim` when the answer is above the
 * room's `first`; the trim is what counts, so that all servers remove the same at the same place of the log.
 *
 * Age and bytes go by runs, since state knows no single message: a run goes when its last message is too old, or when
 * what is newer already fills the bytes. So a little more is kept than asked for, never less. Counts are exact, and do not
 * have in them the numbers of a place that can't be read, where there may never have been a message. What is not sealed yet
 * goes by age only when all of it is too old, and by bytes never.
 */
export interface Kept {
  readonly first: number;
  readonly head: number;
  /** Log time of the room's last message. */
  readonly lastTs: number;
  readonly openBytes: number;
  readonly runs: Runs;
  readonly retention: Retention;
}

/** What holds for all rooms. */
export interface ClusterRetention {
  /** Log time: the `ts` of the last entry. Not the clock: a clock that jumped must not remove anything. */
  readonly now: number;
  /** Chunks of days before this one are not kept; 0 = all are (`keptFromDay`). */
  readonly keptFromDay: number;
  /** The day of a chunk; 0 when it is not known. */
  readonly dayOf: (chunk: number) => number;
}

/** The lowest seq that is kept: between the room's `first` and its head + 1. */
export function firstKept(room: Kept, cluster: ClusterRetention): number {
  const { runs, retention } = room;
  let first = room.first;
  if (retention.messages > 0) first = Math.max(first, firstOfNewest(room, retention.messages));
  if (retention.ageMs > 0) {
    const oldest = cluster.now - retention.ageMs;
    if (room.lastTs < oldest) return room.head + 1;
    for (let i = 0; i < runs.length && runs.lastTs(i) < oldest; i++) first = Math.max(first, runs.lastSeq(i) + 1);
  }
  if (retention.bytes > 0) {
    let bytes = room.openBytes;
    for (let i = runs.length - 1; i >= 0; i--) {
      // The run that crosses the bound is kept whole.
      if (bytes >= retention.bytes) {
        first = Math.max(first, runs.lastSeq(i) + 1);
        break;
      }
      bytes += runs.bytes(i);
    }
  }
  for (let i = 0; i < runs.length; i++) {
    const day = cluster.dayOf(runs.chunk(i));
    if (day === 0 || day >= cluster.keptFromDay) break;
    first = Math.max(first, runs.lastSeq(i) + 1);
  }
  return Math.min(first, room.head + 1);
}

/** Where the newest so many messages begin; 0 or less when there are not so many. */
function firstOfNewest({ head, runs }: Kept, count: number): number {
  let first = head - count + 1;
  for (let i = runs.length - 1; i >= 0 && runs.lastSeq(i) >= first; i--) {
    // A run without bytes stands for what was lost: numbers were left out for it, many more than there were messages.
    if (runs.bytes(i) === 0) first -= runs.lastSeq(i) - runs.firstSeq(i) + 1;
  }
  return first;
}

/** The first day that is kept when `days` days before `today` are: both as yyyymmdd. 0 when `days` is 0, for ever. */
export function keptFromDay(today: number, days: number): number {
  if (days === 0) return 0;
  // Days are counted from a fixed date in UTC: a calendar's arithmetic, with no time zone and no clock in it.
  const date = Date.UTC(Math.floor(today / 10000), (Math.floor(today / 100) % 100) - 1, (today % 100) - days);
  const kept = new Date(date);
  return kept.getUTCFullYear() * 10000 + (kept.getUTCMonth() + 1) * 100 + kept.getUTCDate();
}
