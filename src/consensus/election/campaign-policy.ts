import { unreachable } from "../../base/assert.ts";
import { fraction, type Random } from "../../base/random.ts";

/** Why there is no leader to follow, and who asks. */
export interface Situation {
  /**
   * `started`: this server has just come up. `silence`: the leader was not heard in time. `crash`: its process is known
   * to have ended. `failed`: an attempt, here or elsewhere, did not succeed.
   */
  readonly cause: "started" | "silence" | "crash" | "failed";
  /** Own attempts since a leader was last known. */
  readonly attempt: number;
  /** This replica's place among those that may take over, 0 for the first. */
  readonly rank: number;
  readonly electionTimeoutMs: number;
}

/**
 * When a replica without a leader asks for votes. It says nothing but how long to wait: whether votes are given, and
 * what a leader may do, is decided without it, so no policy can break more than the time an election takes.
 */
export interface CampaignPolicy {
  /** Milliseconds from now, 0 or more. */
  delayMs(situation: Situation, random: Random): number;
}

/** Between two ranks: longer than a round of questions and a flush take, so that the first has mostly won by then. */
const rankStepMs = 50;

/**
 * Replicas take their turn by rank, so that two never ask at the same time unless one of them is late. Chance only
 * comes in after failed attempts, which are what a replica with a stale log or a broken link has.
 */
export function rankedCampaigns(): CampaignPolicy {
  return {
    delayMs: ({ cause, attempt, rank, electionTimeoutMs }, random) => {
      const turn = rank * rankStepMs;
      switch (cause) {
        case "started":
          return electionTimeoutMs + turn;
        case "silence":
          return turn;
        case "crash":
          return turn / 2;
        case "failed":
          return turn + fraction(random) * rankStepMs * Math.min(2 ** attempt, 16);
        default:
          return unreachable(cause);
      }
    },
  };
}
