import { assert } from "../base/assert.ts";
import type { Brand } from "../base/brand.ts";
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

/** Writes a replica's id, printable ASCII as all of them are, and answers the place behind it. */
export function putReplica(into: Uint8Array, at: number, replica: ReplicaId): number {
  assert(isReplicaText(replica), `not a replica: ${replica}`);
  for (let i = 0; i < replica.length; i++) into[at + i] = replica.charCodeAt(i);
  return at + replica.length;
}

/** The replica whose id is all of these bytes; null when they are none. */
export function replicaFrom(bytes: Uint8Array): ReplicaId | null {
  if (bytes.length > replicaBytesMax) return null;
  const text = String.fromCharCode(...bytes);
  return isReplicaText(text) ? (text as ReplicaId) : null;
}

function isReplicaText(text: string): boolean {
  return text.length <= replicaBytesMax && /^[!-~]+#[!-~]*$/.test(text);
}
