import { unreachable } from "../base/assert.ts";
import { byText, type Configuration, checked, isJoint, isMember, membersMax, membersOf } from "./configuration.ts";
import type { ReplicaId } from "./replica.ts";

/**
 * How one configuration becomes the next. Two configurations that follow each other have no two majorities without a
 * voter in common: voters change by one at a time, or by way of a joint configuration.
 */

/** One wish. Applied in order; what is already so stays so. */
export type Change =
  /** Its vote is to count. */
  | { type: "voter"; replica: ReplicaId }
  /** It is to get the log without a vote. */
  | { type: "learner"; replica: ReplicaId }
  | { type: "remove"; replica: ReplicaId };

/** Why a change can't be. */
export type ChangeRefusal =
  | "already-joint"
  | "not-joint"
  | "no-voters"
  | "more-than-one-voter"
  | "too-many-replicas"
  /** Only who has caught up as a learner may vote; one that never was a member would hold up every commit. */
  | "learner-first";

export type Changed = { ok: true; configuration: Configuration } | { ok: false; refusal: ChangeRefusal };

/** The configuration after `changes`: at once if one vote at most changes, else joint and left by itself. */
export function changed(configuration: Configuration, changes: readonly Change[]): Changed {
  const stranger = changes.find(({ type, replica }) => type === "voter" && !isMember(configuration, replica));
  if (stranger !== undefined) return { ok: false, refusal: "learner-first" };
  const simple = changedSimply(configuration, changes);
  if (simple.ok || simple.refusal !== "more-than-one-voter") return simple;
  return enteredJoint(configuration, changes, true);
}

/** Changes one vote at most, without a joint configuration between. */
export function changedSimply(configuration: Configuration, changes: readonly Change[]): Changed {
  if (isJoint(configuration)) return { ok: false, refusal: "already-joint" };
  const draft = draftOf(configuration);
  for (const change of changes) apply(draft, change);
  const before = new Set(configuration.voters);
  let differences = 0;
  for (const voter of draft.voters) if (!before.delete(voter)) differences++;
  if (differences + before.size > 1) return { ok: false, refusal: "more-than-one-voter" };
  return finished(draft);
}

/** Any change of voters: from here on a decision needs a majority of before and of after. */
export function enteredJoint(configuration: Configuration, changes: readonly Change[], autoLeave: boolean): Changed {
  if (isJoint(configuration)) return { ok: false, refusal: "already-joint" };
  if (configuration.voters.length === 0) return { ok: false, refusal: "no-voters" };
  const draft = draftOf(configuration);
  for (const voter of configuration.voters) draft.outgoing.add(voter);
  draft.autoLeave = autoLeave;
  for (const change of changes) apply(draft, change);
  return finished(draft);
}

/** The voters of before have no say any more; those of them that were to become learners do. */
export function leftJoint(configuration: Configuration): Changed {
  if (!isJoint(configuration)) return { ok: false, refusal: "not-joint" };
  const draft = draftOf(configuration);
  for (const learner of configuration.learnersNext) draft.learners.add(learner);
  draft.learnersNext.clear();
  draft.outgoing.clear();
  draft.autoLeave = false;
  return finished(draft);
}

interface Draft {
  readonly voters: Set<ReplicaId>;
  readonly outgoing: Set<ReplicaId>;
  readonly learners: Set<ReplicaId>;
  readonly learnersNext: Set<ReplicaId>;
  autoLeave: boolean;
}

function draftOf(configuration: Configuration): Draft {
  return {
    voters: new Set(configuration.voters),
    outgoing: new Set(configuration.outgoing),
    learners: new Set(configuration.learners),
    learnersNext: new Set(configuration.learnersNext),
    autoLeave: configuration.autoLeave,
  };
}

function apply(draft: Draft, change: Change): void {
  const { replica } = change;
  switch (change.type) {
    case "voter":
      forget(draft, replica);
      draft.voters.add(replica);
      return;
    case "learner":
      forget(draft, replica);
      // While its vote of before still counts it can't be a learner too.
      if (draft.outgoing.has(replica)) draft.learnersNext.add(replica);
      else draft.learners.add(replica);
      return;
    case "remove":
      forget(draft, replica);
      return;
    default:
      unreachable(change);
  }
}

function forget(draft: Draft, replica: ReplicaId): void {
  draft.voters.delete(replica);
  draft.learners.delete(replica);
  draft.learnersNext.delete(replica);
}

function finished(draft: Draft): Changed {
  if (draft.voters.size === 0) return { ok: false, refusal: "no-voters" };
  const configuration: Configuration = {
    voters: [...draft.voters].sort(byText),
    outgoing: [...draft.outgoing].sort(byText),
    learners: [...draft.learners].sort(byText),
    learnersNext: [...draft.learnersNext].sort(byText),
    autoLeave: draft.autoLeave,
  };
  if (membersOf(configuration).length > membersMax) return { ok: false, refusal: "too-many-replicas" };
  return { ok: true, configuration: checked(configuration) };
}
