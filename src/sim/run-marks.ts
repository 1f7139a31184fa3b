/**
 * What a run must come through to be worth anything, counted. A test that runs many seeds demands each of these at
 * least once: what never happens is not tested, however many seeds are green.
 */
export const markMeanings = {
  "day seal": "a chunk was sealed because its day was over",
  "full seal": "a chunk was sealed because it was full",
  "pressure seal": "a chunk was sealed because the disk was nearly full",
  "chunk rewritten": "a chunk most of which retention had removed was written again without it",
  "restart with replay": "a start found more applied entries in the journal than its snapshot held",
  "page from a chunk": "history was read from a day chunk",
  "id lookup in a chunk": "an id beyond the window was looked for in a day chunk",
  "reader paused": "a reader's queue was full, and it went on from its position later",
  "room trimmed": "retention raised the first place of a room",
  "gap told": "a reader was told that something is not kept any more",
  "repeat answered": "a message was sent again and its first place was answered",
  "conflict answered": "an id was sent again with another content and refused",
  "send refused": "a send was refused for good",
  "direct message by itself": "a direct message came in the stream of all direct rooms",
  "put out of a private room": "somebody's reading of a private room was ended",
  "let in again": "a reader who had been without access went on reading",
  "invited by a member": "somebody was let into a private room by its owner or a moderator",
  "removed by a member": "somebody was put out of a private room by its owner or a moderator",
  "members listed": "a page of members was given",
  "outsider refused": "somebody who was outside a private room without doubt asked, and was told that there is none",
  "client in JSON": "a client spoke JSON",
  "client in binary": "a client spoke binary",
  "two devices of one user": "a user had two clients",
  "client crashed": "a client's process was killed and started anew",
  "copy recovered": "the durable part of the disk was recovered beside the running server and had the same state",
  "clean restart compared": "every room had the same content before and after a clean stop",
} as const;

/** The same for runs with several servers, besides those above. */
export const clusterMarkMeanings = {
  "another leader": "a server was elected after another one had led",
  "members changed": "a server was made a learner, or a voter, or given its vote back after it had lost its data",
  "server removed": "an operator took a server out of the cluster",
  "founded by a list": "servers with empty directories found out among themselves which one founds",
  "majority went on": "while a minority was cut off for good, the others stored everything that was sent",
  "server wiped": "a server lost all of its data, and joined anew",
  "journal damaged": "the journal of a member was damaged, and it came back as another life",
  "snapshot from another": "a server that lacked what no journal had any more went on from another's state",
  "chunk from another": "a server fetched a day chunk from another",
} as const;

export type MarkName = keyof typeof markMeanings | keyof typeof clusterMarkMeanings;

export class RunMarks {
  readonly #counts = new Map<MarkName, number>();

  count(name: MarkName, by = 1): void {
    if (by > 0) this.#counts.set(name, (this.#counts.get(name) ?? 0) + by);
  }

  /** Those that were hit, in the order of the table. */
  counts(): Partial<Record<MarkName, number>> {
    const counts: Partial<Record<MarkName, number>> = {};
    for (const name of Object.keys({ ...markMeanings, ...clusterMarkMeanings }) as MarkName[]) {
      const count = this.#counts.get(name);
      if (count !== undefined) counts[name] = count;
    }
    return counts;
  }
}
