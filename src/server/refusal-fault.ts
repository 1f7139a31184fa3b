import { unreachable } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import type { RefusalReason } from "../consensus/events.ts";

/** What whoever asked is told. All of it is certain: nothing was done. */
export function faultOfRefusal(reason: RefusalReason): Fault {
  const definite = true;
  switch (reason) {
    case "not-leader":
      return new Fault("no_quorum", "this server does not lead", { definite, retryAfterMs: 100 });
    case "no-quorum":
    case "timed-out":
      return new Fault("no_quorum", "too few servers answer", { definite, retryAfterMs: 200 });
    case "transferring":
      return new Fault("no_quorum", "another server is about to lead", { definite, retryAfterMs: 100 });
    case "too-much-uncommitted":
    case "too-many-reads":
      return new Fault("overloaded", "too much waits to be decided", { definite, retryAfterMs: 200 });
    case "change-under-way":
    case "already-joint":
      return new Fault("overloaded", "another change of the members is under way", { definite, retryAfterMs: 500 });
    case "learner-behind":
      return new Fault("behind", "it has not caught up yet", { definite, retryAfterMs: 500 });
    case "learner-first":
      return new Fault("bad_request", "it must catch up as a learner before it can vote", { definite });
    case "unfit-to-lead":
      return new Fault("bad_request", "there is no such voter, or it is not there, or its disk does not answer", {
        definite,
      });
    case "not-joint":
    case "no-voters":
    case "more-than-one-voter":
    case "too-many-replicas":
      return new Fault("bad_request", `the members can't be changed so: ${reason}`, { definite });
    default:
      return unreachable(reason);
  }
}
