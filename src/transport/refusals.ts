/**
 * Why a server does not keep a connection. The code goes over the wire, to the other side's log and to this one's;
 * `passes` says whether trying again soon can help, or an operator has to look.
 */
export const refusals = {
  malformed: { number: 1, passes: false, meaning: "what came is no frame of this protocol" },
  version: { number: 2, passes: false, meaning: "the two servers have no version of the peer protocol in common" },
  wrong_cluster: { number: 3, passes: false, meaning: "the two servers belong to different clusters" },
  wrong_node: { number: 4, passes: false, meaning: "the server at this address has another name than the one dialled" },
  same_node: { number: 5, passes: false, meaning: "the other server has this server's own name" },
  old_incarnation: {
    number: 6,
    passes: false,
    meaning: "the data directory of that server was replaced by another; it has to join as a new one",
  },
  replay: { number: 7, passes: false, meaning: "the greeting does not answer the one of this connection" },
  duplicate: { number: 8, passes: true, meaning: "a link between the two servers stands already" },
  replaced: { number: 9, passes: true, meaning: "a newer link between the two servers stands" },
  slow: { number: 10, passes: true, meaning: "the greeting took too long" },
  too_many: { number: 11, passes: true, meaning: "more servers or greetings than the bound" },
  silent: { number: 12, passes: true, meaning: "nothing was heard for too long" },
  regreet: { number: 13, passes: true, meaning: "what this server says of itself has changed; it greets anew" },
  removed: { number: 14, passes: false, meaning: "the server was taken off the list of peers" },
  stopping: { number: 15, passes: true, meaning: "the server is stopping" },
} as const satisfies Record<string, { number: number; passes: boolean; meaning: string }>;

export type RefusalCode = keyof typeof refusals;

const codes = Object.keys(refusals) as RefusalCode[];

/** The code of a number on the wire; null for one that a newer server may know. */
export function refusalCodeOf(number: number): RefusalCode | null {
  return codes.find((code) => refusals[code].number === number) ?? null;
}
