import type { Stored } from "../../client/outcome.ts";

/** Where a message is stored, as data for scripts: the fields of the protocol's answer to a send. */
export function placeOf({ room, cid, seq, ts, epoch, line, leader, node, dup }: Stored): Stored {
  return { room, cid, seq, ts, epoch, line, leader, node, dup };
}
