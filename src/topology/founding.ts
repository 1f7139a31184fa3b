import type { ClusterId, NodeName } from "../base/ids.ts";

/** What a server knows when it asks whether to found a cluster. */
export interface FoundingView {
  readonly self: NodeName;
  /** The cluster that its directory belongs to; null: it is empty. */
  readonly directory: ClusterId | null;
  /** The servers that it was told to dial, its own name as a rule among them; empty: it was told of none. */
  readonly listed: readonly NodeName[];
  /** What each server with which a link stands said of itself: its cluster; null: its directory is empty. */
  readonly said: ReadonlyMap<NodeName, ClusterId | null>;
}

export type FoundingVerdict =
  /** The directory says where it belongs. */
  | { readonly type: "go-on"; readonly cluster: ClusterId }
  /** Make a new cluster, of which this is the first server. */
  | { readonly type: "found" }
  /** Make the directory one of this cluster, whose leader will admit this server. */
  | { readonly type: "join"; readonly cluster: ClusterId }
  /** Ask again when a link comes or goes. */
  | { readonly type: "wait"; readonly why: WaitReason; readonly for: readonly NodeName[] }
  /** Servers of different clusters are within reach: a person has to say which is meant. */
  | { readonly type: "refuse"; readonly clusters: ReadonlyMap<NodeName, ClusterId> };

/**
 * `silent`: this server founds as soon as these say that they are empty too. `founder`: the first of these founds, and the
 * others join. `not-listed`: its own name is not in its list, so that one of these has to be in a cluster already.
 */
export type WaitReason = "silent" | "founder" | "not-listed";

/**
 * Whether an empty directory becomes a new cluster, part of one that is there, or nothing yet (SPEC.md). Pure: asked anew
 * whenever something is known that was not.
 *
 * Two clusters are never founded from one list. One server alone may found from it, the one with the lowest name, and
 * only while every other says that its directory is empty; so somebody who has lost his directory finds those who have not.
 */
export function founding({ self, directory, listed, said }: FoundingView): FoundingVerdict {
  if (directory !== null) return { type: "go-on", cluster: directory };
  const clusters = new Map<NodeName, ClusterId>();
  for (const [node, cluster] of said) if (cluster !== null) clusters.set(node, cluster);
  const [cluster, ...others] = new Set(clusters.values());
  if (others.length > 0) return { type: "refuse", clusters };
  if (cluster !== undefined) return { type: "join", cluster };

  const names = [...new Set(listed)].sort();
  if (names.length > 0 && !names.includes(self)) return { type: "wait", why: "not-listed", for: names };
  const peers = names.filter((name) => name !== self);
  if (peers.length > 0 && names[0] !== self) return { type: "wait", why: "founder", for: names.slice(0, 1) };
  const silent = peers.filter((name) => !said.has(name));
  return silent.length === 0 ? { type: "found" } : { type: "wait", why: "silent", for: silent };
}
