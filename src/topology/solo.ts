import { unreachable } from "../base/assert.ts";
import type { GroupId, NodeName } from "../base/ids.ts";
import { SingleVoter } from "../consensus/single-voter.ts";
import type { Engine, EngineEffect, EngineEvent, Standing } from "./engine.ts";

/** One server, one group, one voter: the consensus engine with a quorum of one. */
export function soloEngine(options: { group: GroupId; node: NodeName }): Engine {
  const voter = new SingleVoter(options.group, options.node);
  return {
    step: (event) => {
      const effect = react(voter, event);
      return effect === null ? [] : [effect];
    },
    get standing(): Standing {
      const leads = voter.role === "elected" || voter.role === "leader";
      return leads
        ? { role: voter.role, term: voter.term, leader: options.node }
        : { role: voter.role, term: voter.term, leader: null };
    },
  };
}

function react(voter: SingleVoter, event: EngineEvent): EngineEffect | null {
  switch (event.type) {
    case "recovered": {
      const stamp = { ts: event.ts, day: event.day };
      return voter.recover({ term: event.term, lastIndex: event.lastIndex, committed: event.committed, stamp });
    }
    case "proposed":
      return voter.propose(event.kind, event.ts, event.day, event.payload);
    case "durable":
      return voter.durable(event.ticket);
    default:
      return unreachable(event);
  }
}
