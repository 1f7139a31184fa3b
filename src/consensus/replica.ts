import { assert } from "../base/assert.ts";
import type { Brand } from "../base/brand.ts";
import type { FieldReader, FieldWriter } from "../base/field-bytes.ts";
import type { Incarnation, NodeName } from "../base/ids.ts";

/**
 * One life of one data directory on one server: the name of the server and its incarnation. Everything that counts in
 * consensus (votes, acknowledgements, membership) counts for a replica and never for a server, so what a wiped server
 * promised in its former life can't be taken for a promise of the new one.
 */
export type ReplicaId = Brand<string, "ReplicaId">;

/** The incarnation is behind the last `#`; it holds no `#` itself. */
export function replicaId(node: NodeName, incarnation: Incarnation): ReplicaId {
  assert(node.length > 0 && !incarnation.includes("#"), `not a replica: ${node} ${incarnation}`);
  return `${node}#${incarnation}` as ReplicaId;
}

export function nodeOf(replica: ReplicaId): NodeName {
  return replica.slice(0, replica.lastIndexOf("#")) as NodeName;
}

export function incarnationOf(replica: ReplicaId): Incarnation {
  return replica.slice(replica.lastIndexOf("#") + 1) as Incarnation;
}

/** What a replica's id may take as bytes: its length is one byte, everywhere. */
export const replicaBytesMax = 255;

/** A byte of length, and the id in ASCII. */
export function putReplica(out: FieldWriter, replica: ReplicaId): void {
  assert(isReplicaText(replica), "it is no replica's id");
  out.ascii(replica);
}

export function replicaIn(input: FieldReader): ReplicaId {
  const text = input.ascii();
  if (!isReplicaText(text)) input.fail();
  return text as ReplicaId;
}

/** Printable ASCII, the name of a server before the last `#`. */
function isReplicaText(text: string): boolean {
  return text.length <= replicaBytesMax && /^[!-~]+#[!-~]*$/.test(text);
}
