import { assert, unreachable } from "../base/assert.ts";
import type { GroupId, Incarnation, NodeName } from "../base/ids.ts";
import { logIndex } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { configurationOf } from "../consensus/configuration.ts";
import { type CampaignPolicy, rankedCampaigns } from "../consensus/election/campaign-policy.ts";
import type { GroupEffect } from "../consensus/events.ts";
import { Group } from "../consensus/group.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import { defaultGroupSettings } from "../consensus/settings.ts";
import type { Engine, EngineEffect, EngineEvent, Standing } from "./engine.ts";

/** One server, one group, one voter: the consensus engine with a quorum of one. */
export function soloEngine(options: { group: GroupId; node: NodeName }): Engine {
  return new Solo(options.group, options.node);
}

/** Nothing waits for anybody here, so time stands still, and there is nobody to be luckier than. */
const now = millis(0);
const noChance: Random = { whole: () => 0, bytes: (count) => new Uint8Array(count) };

class Solo implements Engine {
  readonly #groupId: GroupId;
  readonly #node: NodeName;
  readonly #self: ReplicaId;
  readonly #policy: CampaignPolicy = rankedCampaigns();
  #group: Group | null = null;

  constructor(group: GroupId, node: NodeName) {
    this.#groupId = group;
    this.#node = node;
    // A directory of a solo server is never compared with an earlier one of its name: there is nobody who remembers it.
    this.#self = replicaId(node, "solo" as Incarnation);
  }

  get standing(): Standing {
    const standing = this.#group?.standing;
    if (standing === undefined) return { role: "follower", term: 0 as Standing["term"], leader: null };
    const { role, term } = standing;
    switch (role) {
      case "elected":
      case "leader":
        return { role, term, leader: this.#node };
      case "pre-candidate":
        return { role: "candidate", term, leader: null };
      case "follower":
      case "candidate":
        return { role, term, leader: null };
      default:
        return unreachable(role);
    }
  }

  step(event: EngineEvent): readonly EngineEffect[] {
    switch (event.type) {
      case "recovered": {
        assert(this.#group === null, "a group recovers once");
        this.#group = this.#recovered(event);
        return this.#asEngine(this.#group.step({ type: "started", now }));
      }
      case "proposed": {
        const { kind, ts, day, payload } = event;
        return this.#asEngine(this.#live().step({ type: "proposed", now, kind, ts, day, payload }));
      }
      case "durable":
        return this.#asEngine(this.#live().step({ type: "durable", now, ticket: event.ticket }));
      default:
        return unreachable(event);
    }
  }

  #recovered({ term, lastIndex, committed, ts, day }: Extract<EngineEvent, { type: "recovered" }>): Group {
    return new Group({
      group: this.#groupId,
      self: this.#self,
      // The server bounds what it gathers, and nobody falls behind.
      settings: { ...defaultGroupSettings, uncommittedBytesMax: Number.MAX_SAFE_INTEGER },
      policy: this.#policy,
      random: noChance,
      memory: {
        term,
        votedFor: null,
        // Nobody asks for the terms of former entries: that they are not above the last one is all that matters here.
        baseIndex: committed,
        baseTerm: term,
        runs: [],
        lastIndex,
        committed,
        ts,
        day,
        configurations: [{ index: logIndex(0), configuration: configurationOf([this.#self]) }],
        damaged: [],
      },
    });
  }

  #live(): Group {
    assert(this.#group !== null, "a group recovers before anything else");
    return this.#group;
  }

  #asEngine(effects: readonly GroupEffect[]): EngineEffect[] {
    const told: EngineEffect[] = [];
    for (const effect of effects) {
      switch (effect.type) {
        case "persist-vote":
          told.push({ type: "persist-vote", term: effect.term, votedFor: this.#node, ticket: effect.ticket });
          break;
        case "append":
          for (const entry of effect.entries) told.push({ type: "append", entry, ticket: effect.ticket });
          break;
        case "committed":
          told.push(effect);
          break;
        case "standing":
          break;
        default:
          assert(false, `a group of one does not ask for ${effect.type}`);
      }
    }
    return told;
  }
}
