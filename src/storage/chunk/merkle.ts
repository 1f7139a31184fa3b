import { createHash } from "node:crypto";

/**
 * A Merkle tree over the blocks of a chunk, as RFC 9162 (2.1) builds it: leaves and inner nodes are hashed with
 * different prefixes so that neither can stand for the other, and the left subtree holds the largest power of two.
 * The hashes are of uncompressed bytes: what deflate makes differs between its builds.
 */
const leafPrefix = Uint8Array.of(0);
const nodePrefix = Uint8Array.of(1);
const rootPrefix = Uint8Array.of(2);

export const rootBytes = 32;

export function leafHash(block: Uint8Array): Uint8Array {
  return createHash("sha256").update(leafPrefix).update(block).digest();
}

/** The root over `leaves`, bound to `descriptor`: the same messages under another seal have another root. */
export function merkleRoot(descriptor: Uint8Array, leaves: readonly Uint8Array[]): Uint8Array {
  const tree = leaves.length === 0 ? createHash("sha256").digest() : treeHash(leaves, 0, leaves.length);
  return new Uint8Array(createHash("sha256").update(rootPrefix).update(descriptor).update(tree).digest());
}

function treeHash(leaves: readonly Uint8Array[], start: number, end: number): Uint8Array {
  if (end - start === 1) return leaves[start]!;
  let half = 1;
  while (half * 2 < end - start) half *= 2;
  const left = treeHash(leaves, start, start + half);
  const right = treeHash(leaves, start + half, end);
  return createHash("sha256").update(nodePrefix).update(left).update(right).digest();
}
