import { unreachable } from "../../src/base/assert.ts";
import { fraction } from "../../src/base/random.ts";
import type { CampaignPolicy } from "../../src/consensus/election/campaign-policy.ts";

/**
 * Everybody waits for a random time, so that mostly one is first (Raft paper 5.2). That the leader was silent for its
 * whole timeout is known when this is asked, so the wait only has to spread. No server waits so: what holds under one
 * policy has to hold under any.
 */
export function randomizedCampaigns(): CampaignPolicy {
  return {
    delayMs: ({ cause, attempt, electionTimeoutMs }, random) => {
      const spread = fraction(random) * electionTimeoutMs;
      switch (cause) {
        case "started":
          return electionTimeoutMs + spread;
        case "silence":
          return spread / 2;
        case "crash":
          return spread / 20;
        case "failed":
          return spread * Math.min(1 + attempt / 2, 4);
        default:
          return unreachable(cause);
      }
    },
  };
}
