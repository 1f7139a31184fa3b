/**
 * What can be wrong with a history, in the words of the literature where it has one (Jepsen's kafka and queue
 * workloads, Adya's G1a, the client guarantees of Terry et al.), and what each means here.
 */
export const anomalies = {
  "lost write prefix": "acknowledged, never read, and everything that was read lies above it",
  "lost write middle": "acknowledged, never read, though messages below and above it were read",
  "lost write postfix": "acknowledged, never read, and everything that was read lies below it",
  duplicate: "one message at two places of its room",
  "inconsistent offsets": "one place of a room with two different messages, or two versions of one",
  "aborted read": "a message was read whose every send was refused for good (G1a)",
  "dirty read": "a message of unknown outcome was read once and is not in the final log",
  unexpected: "a message was read that nobody had sent by then (phantom)",
  altered: "a message was read with another sender, kind, reference or body than it was sent with",
  "poll skip": "a reader was carried past a message without being told of a gap",
  "nonmonotonic poll": "a reader was given a place again, or an earlier one",
  "nonmonotonic send": "two messages of one sender stand in the other order than they were sent in",
  "broken chain": "a message is stored, the one it names as its predecessor is not stored before it",
  unseen: "acknowledged and read by others; a reader who was caught up has never seen it",
  "not dense": "the places of a room do not run 1, 2, 3 … without holes",
  "decreasing ts": "a later place has an earlier timestamp",
  "decreasing epoch": "a later place has an earlier epoch",
  "acknowledgement disagrees": "the acknowledgement gave another place, time or epoch than the log has",
  "repeat disagrees": "two acknowledgements of one message gave different places or times",
  "repeat not marked": "a send that had already been acknowledged was acknowledged as new",
  "false conflict": "id_conflict, though only one content was ever sent under this id",
  "missed conflict": "a send was acknowledged though another content is stored under its id",
  "real-time order": "a message was sent after another's acknowledgement and stands before it",
  "stale linearizable read": "a linearizable answer does not know what was acknowledged before it was asked",
  "broken atLeast": "an answer lies below the position that was asked for as the least (read your writes)",
  "stale session read": "an answer lies below what its client had been shown before it asked (monotonic reads)",
  "false absence": "a lookup denied a message that stands at or below the head it answered with",
  "phantom head": "an answer named a head that the room never reached",
  "false gap": "a gap, or a first place, announced for what nobody had allowed to be removed",
  "read mark regressed": "a reader was shown an earlier read mark than before",
  "unexpected read mark": "a read mark was shown above everything its user had marked",
  "lost read mark": "an acknowledged read mark is missing at the end",
  "told an outsider": "somebody who had been put out of a private room was given what was asked or sent after that",
  "member shut out": "a member of a private room was told that there is no such room, or that they are no member",
  "wrong members": "a list of members names who was put out before it was asked for, or lacks who was let in",
  "hung request": "a request did not end in time",
} as const;

export type AnomalyName = keyof typeof anomalies;

export interface Anomaly {
  readonly name: AnomalyName;
  readonly room: string | null;
  /** What happened, in one line, with places and ids. */
  readonly detail: string;
}

const keptOfEachName = 20;

/** What was found. Keeps the first few of each name and counts the rest, so that a broken server costs no more memory than a good one. */
export class AnomalyList {
  readonly kept: Anomaly[] = [];
  readonly #counts = new Map<AnomalyName, number>();

  add(name: AnomalyName, room: string | null, detail: string): void {
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    if (count <= keptOfEachName) this.kept.push({ name, room, detail });
  }

  /** How many of each name were found, by name. */
  counts(): Partial<Record<AnomalyName, number>> {
    return Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1)));
  }
}
