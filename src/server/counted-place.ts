import { getU16, getU48, putU16, putU48 } from "../base/byte-order.ts";
import type { GroupId, LogIndex, Term } from "../base/ids.ts";
import type { ReplicaId } from "../consensus/replica.ts";

/**
 * What a leader tells each member now and then, on the bulk lane: `u16 group, u48 term, u48 index, replica (ASCII)`. In this
 * term the replica has acknowledged the log up to the entry, durably, and is counted on for it. Whoever is that replica, is
 * in that term and has less, has lost what it promised: it is an older copy of itself, or its disk is.
 */
export interface CountedPlace {
  readonly group: GroupId;
  readonly term: Term;
  readonly index: LogIndex;
  readonly replica: ReplicaId;
}

/** Kind of the frame, behind those of catching up. */
export const countedPlaceKind = 32;
const headBytes = 14;
const replicaBytesMax = 512;

export function encodeCountedPlace({ group, term, index, replica }: CountedPlace): Uint8Array {
  const name = new TextEncoder().encode(replica);
  const bytes = new Uint8Array(headBytes + name.length);
  putU16(bytes, 0, group);
  putU48(bytes, 2, term);
  putU48(bytes, 8, index);
  bytes.set(name, headBytes);
  return bytes;
}

/** Null: it is no such frame. */
export function decodeCountedPlace(bytes: Uint8Array): CountedPlace | null {
  if (bytes.length <= headBytes || bytes.length > headBytes + replicaBytesMax) return null;
  return {
    group: getU16(bytes, 0) as GroupId,
    term: getU48(bytes, 2) as Term,
    index: getU48(bytes, 8) as LogIndex,
    replica: new TextDecoder().decode(bytes.subarray(headBytes)) as ReplicaId,
  };
}
