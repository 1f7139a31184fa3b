import type { Configuration } from "./configuration.ts";
import type { Leading } from "./replication/leading.ts";
import type { Peers } from "./peers.ts";
import type { LogIndex } from "../base/ids.ts";
import type { ReplicaId } from "./replica.ts";

/**
 * A leader that wants another voter to lead: it takes no proposals, waits until the other has its whole log, and tells
 * it to campaign at once. What does not come about in time is given up, and it leads on.
 *
 * 1. the other is told only when it has acknowledged everything
 */
export class Handover {
  readonly to: ReplicaId;
  readonly until: number;
  #isTold = false;

  constructor(to: ReplicaId, until: number) {
    this.to = to;
    this.until = until;
  }

  /** Whether the other is to be told now. Answers true once. */
  isReady(leading: Leading, lastIndex: LogIndex): boolean {
    if (this.#isTold || leading.followers.progressOf(this.to)?.matched !== lastIndex) return false;
    this.#isTold = true;
    return true;
  }
}

/** Whether a replica could lead: it has a vote, is there, and its disk answers. */
export function isFitToLead(replica: ReplicaId, configuration: Configuration, peers: Peers): boolean {
  return configuration.voters.includes(replica) && peers.isReachable(replica) && peers.isDiskOk(replica);
}

/** The follower that is best fit to lead, if any is: the one with the most of the log. */
export function bestSuccessor(leading: Leading, configuration: Configuration, peers: Peers): ReplicaId | null {
  let best: ReplicaId | null = null;
  let matched = -1;
  for (const progress of leading.followers.all) {
    if (progress.matched <= matched || !isFitToLead(progress.replica, configuration, peers)) continue;
    best = progress.replica;
    matched = progress.matched;
  }
  return best;
}
