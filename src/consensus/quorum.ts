import type { Configuration } from "./configuration.ts";
import type { ReplicaId } from "./replica.ts";

/**
 * The arithmetic of majorities.
 *
 * 1. two majorities of the same voters have a voter in common
 * 2. while a change is under way (joint), only what both halves have decided is decided
 * 3. a half without voters decides nothing: it never holds back the other, and alone it elects nobody
 */

/** What votes come to. Not yet answered is not refused. */
export type Tally = "won" | "lost" | "pending";

/** The highest value that a majority of voters has reached or passed; Infinity without voters. */
export function majorityReached(voters: readonly ReplicaId[], valueOf: (voter: ReplicaId) => number): number {
  if (voters.length === 0) return Infinity;
  const needed = majority(voters.length);
  let best = -Infinity;
  // Quadratic in at most a handful of voters, and nothing is allocated or sorted.
  for (let at = 0; at < voters.length; at++) {
    const value = valueOf(voters[at]!);
    if (value <= best) continue;
    let reached = 0;
    for (let other = 0; other < voters.length; other++) if (valueOf(voters[other]!) >= value) reached++;
    if (reached >= needed) best = value;
  }
  return best;
}

/** The highest value that both halves of a configuration have reached. */
export function reached(configuration: Configuration, valueOf: (voter: ReplicaId) => number): number {
  return Math.min(majorityReached(configuration.voters, valueOf), majorityReached(configuration.outgoing, valueOf));
}

/** What a majority of voters says; `null` is no answer yet. Without voters "won", so that it never holds back. */
export function majorityTally(voters: readonly ReplicaId[], voteOf: (voter: ReplicaId) => boolean | null): Tally {
  if (voters.length === 0) return "won";
  let granted = 0;
  let refused = 0;
  for (const voter of voters) {
    const vote = voteOf(voter);
    if (vote === true) granted++;
    else if (vote === false) refused++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return "won";
  return voters.length - refused < needed ? "lost" : "pending";
}

/** What both halves of a configuration say: lost when one has lost, won when both have won. */
export function tally(configuration: Configuration, voteOf: (voter: ReplicaId) => boolean | null): Tally {
  const incoming = majorityTally(configuration.voters, voteOf);
  const outgoing = majorityTally(configuration.outgoing, voteOf);
  if (incoming === "lost" || outgoing === "lost") return "lost";
  return incoming === "won" && outgoing === "won" ? "won" : "pending";
}

function majority(voters: number): number {
  return Math.floor(voters / 2) + 1;
}
