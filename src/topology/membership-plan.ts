import type { LogIndex, NodeName } from "../base/ids.ts";
import type { Change } from "../consensus/configuration-change.ts";
import { nodeOf, type ReplicaId } from "../consensus/replica.ts";
import type { Member } from "./engine.ts";

/** What the leader knows when it asks who should belong to the group. */
export interface MembershipView {
  readonly members: readonly Member[];
  readonly lastIndex: LogIndex;
  /** Servers that are to belong to it. */
  readonly present: readonly PresentServer[];
}

export interface PresentServer {
  readonly node: NodeName;
  /** The life of its data that is there now. */
  readonly replica: ReplicaId;
  /** It is known to lack nothing of what was sealed that somebody else has. */
  readonly isComplete: boolean;
}

/** Entries a learner may lack and still be made a voter: what is on its way, and no more. */
const lagMax = 64;

/**
 * The next step towards a group of all that are to belong to it; empty when there is nothing to do. Only adds, and swaps
 * one life of a server for the next: who is not there is never taken for gone, that is for an operator to say.
 *
 * 1. whoever is to vote was a learner before, and has caught up: with the log, and with what was sealed. Votes stand for
 *    copies: what a majority has must not be on one disk only
 * 2. a server's former life loses its vote in the same step in which the present one gets it
 */
export function nextChanges({ members, lastIndex, present }: MembershipView): readonly Change[] {
  const memberOf = new Map(members.map((member) => [member.replica, member]));
  const presentOf = new Map(present.map((server) => [server.node, server]));
  for (const { replica, role } of members) {
    const now = presentOf.get(nodeOf(replica));
    if (role === "learner" && now !== undefined && now.replica !== replica) return [{ type: "remove", replica }];
  }
  for (const { replica, role, matched } of members) {
    const hasCaughtUp = matched !== null && matched > 0 && lastIndex - matched <= lagMax;
    const now = presentOf.get(nodeOf(replica));
    if (role !== "learner" || !hasCaughtUp || now?.replica !== replica || !now.isComplete) continue;
    const former = members.filter((member) => member.replica !== replica && nodeOf(member.replica) === nodeOf(replica));
    return [
      { type: "voter", replica },
      ...former.map((member) => ({ type: "remove" as const, replica: member.replica })),
    ];
  }
  for (const { replica } of present) if (!memberOf.has(replica)) return [{ type: "learner", replica }];
  return [];
}
