import { assert } from "../base/assert.ts";
import { entryTypes } from "../base/entry.ts";
import { type GroupId, type LogIndex, logIndex, type NodeName, type Term, term } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import {
  type Configuration,
  configurationOf,
  decodeConfiguration,
  membersOf,
  nobody,
} from "../consensus/configuration.ts";
import type { CampaignPolicy } from "../consensus/election/campaign-policy.ts";
import type { GroupEffect, GroupEvent, GroupStanding, Memory } from "../consensus/events.ts";
import { Group } from "../consensus/group.ts";
import { decodeMessage, encodeInParts, laneOf } from "../consensus/message-codec.ts";
import { nodeOf, type ReplicaId } from "../consensus/replica.ts";
import type { GroupSettings } from "../consensus/settings.ts";
import type { Engine, EngineEffect, EngineEvent, Member, RememberedLog, Standing } from "./engine.ts";

export interface LeaderOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly settings: GroupSettings;
  readonly policy: CampaignPolicy;
  readonly random: Random;
}

/**
 * One consensus group behind the engine port, with any number of voters: `solo` is the same with one, and nobody to send
 * to. Translates; decides nothing but whom to hand over to when nobody is named.
 */
export function leaderEngine(options: LeaderOptions): Engine {
  return new LeaderEngine(options);
}

/** Nothing has happened yet. */
const unknown: Standing = {
  role: "follower",
  term: term(0),
  leader: null,
  isAuthoritative: false,
  transfersTo: null,
};

class LeaderEngine implements Engine {
  readonly #options: LeaderOptions;
  #group: Group | null = null;
  #standing: Standing = unknown;
  #keepsPayloads = false;

  constructor(options: LeaderOptions) {
    this.#options = options;
  }

  get standing(): Standing {
    return this.#standing;
  }

  get keepsPayloads(): boolean {
    return this.#keepsPayloads;
  }

  get dueAt(): number {
    return this.#group?.dueAt ?? Infinity;
  }

  get members(): readonly Member[] {
    return this.#group === null ? [] : this.#membersOf(this.#group);
  }

  step(event: EngineEvent): readonly EngineEffect[] {
    const { now } = event;
    switch (event.type) {
      case "recovered": {
        assert(this.#group === null, "a group recovers once");
        const memory = memoryOf(event.log, this.#options.self);
        this.#group = new Group({ ...this.#options, memory });
        this.#configured(this.#group);
        this.#standing = standingOf(this.#group.standing);
        return this.#asEngine(this.#group.step({ type: "started", now }));
      }
      case "received": {
        const message = decodeMessage(event.bytes);
        // A server speaks for its own replicas only.
        if (message === null || nodeOf(message.from) !== event.from) return none;
        return this.#stepped({ type: "received", now, message });
      }
      case "liveness": {
        const { replica, isHeard, hearsUs, isDiskOk, hasCrashed } = event;
        return this.#stepped({
          type: "liveness",
          now,
          peer: replica,
          heardUntil: isHeard ? Infinity : now,
          supportedUntil: hearsUs ? Infinity : now,
          diskOk: isDiskOk,
          crashed: hasCrashed,
        });
      }
      case "vouched": {
        const { replica, isAuthoritative } = event;
        return this.#stepped({
          type: "vouched",
          now,
          leader: replica,
          term: event.term,
          authoritative: isAuthoritative,
        });
      }
      case "transfer":
        return this.#transfer(now, event.to);
      default:
        return this.#stepped(event);
    }
  }

  #stepped(event: GroupEvent): readonly EngineEffect[] {
    return this.#asEngine(this.#live().step(event));
  }

  /** To that server's voter; or to the first that is fit, beginning with the one that has the most of the log. */
  #transfer(now: Millis, to: NodeName | null): readonly EngineEffect[] {
    const group = this.#live();
    const { self } = this.#options;
    const voters = [...this.#membersOf(group)]
      .filter(({ role, replica }) => role === "voter" && replica !== self && (to === null || nodeOf(replica) === to))
      .sort((one, other) => (other.matched ?? 0) - (one.matched ?? 0));
    for (const { replica } of voters) {
      const effects = group.step({ type: "transfer", now, to: replica });
      if (!effects.some((effect) => effect.type === "refused" && effect.reason === "unfit-to-lead")) {
        return this.#asEngine(effects);
      }
    }
    return [{ type: "refused", reason: group.standing.leader === self ? "unfit-to-lead" : "not-leader" }];
  }

  #live(): Group {
    assert(this.#group !== null, "a group recovers before anything else");
    return this.#group;
  }

  #configured(group: Group): void {
    this.#keepsPayloads = membersOf(group.configuration).some((member) => member !== this.#options.self);
  }

  #membersOf(group: Group): readonly Member[] {
    const { self } = this.#options;
    const leads = group.standing.leader === self;
    const matched = new Map<ReplicaId, LogIndex>();
    for (const { replica, matched: index } of group.progress) matched.set(replica, index);
    return membersOf(group.configuration).map((replica) => ({
      replica,
      role: roleIn(group.configuration, replica),
      matched: replica === self ? group.lastIndex : leads ? (matched.get(replica) ?? logIndex(0)) : null,
    }));
  }

  #asEngine(effects: readonly GroupEffect[]): readonly EngineEffect[] {
    if (effects.length === 0) return none;
    const told: EngineEffect[] = [];
    for (const effect of effects) told.push(this.#oneAsEngine(effect));
    return told;
  }

  #oneAsEngine(effect: GroupEffect): EngineEffect {
    switch (effect.type) {
      case "send": {
        const { message } = effect;
        return { type: "send", to: nodeOf(message.to), lane: laneOf(message), ...encodeInParts(message) };
      }
      case "standing":
        this.#standing = standingOf(effect.standing);
        return { type: "standing", standing: this.#standing };
      case "configured": {
        const group = this.#live();
        this.#configured(group);
        return { type: "configured", members: this.#membersOf(group) };
      }
      case "snapshot-wanted":
        return { ...effect, from: nodeOf(effect.from) };
      default:
        return effect;
    }
  }
}

const none: readonly EngineEffect[] = [];

function roleIn({ voters, outgoing }: Configuration, replica: ReplicaId): Member["role"] {
  return voters.includes(replica) || outgoing.includes(replica) ? "voter" : "learner";
}

function standingOf({ role, term: ofTerm, leader, authoritative, transferringTo }: GroupStanding): Standing {
  return {
    role: role === "pre-candidate" ? "candidate" : role,
    term: ofTerm,
    leader: leader === null ? null : nodeOf(leader),
    isAuthoritative: authoritative,
    transfersTo: transferringTo === null ? null : nodeOf(transferringTo),
  };
}

/**
 * What the disk remembers, as consensus wants it. A log that nowhere says who belongs to it was founded by the server it
 * lies on, alone; unless its directory was made to join, and what it should say of that has not arrived yet.
 */
export function memoryOf(log: RememberedLog, self: ReplicaId): Memory {
  const { baseIndex, entries } = log;
  const runs: { first: LogIndex; term: Term }[] = [];
  const first = configurationIn(log.configuration, log.isJoiner ? nobody : configurationOf([self]));
  const configurations = [first];
  let lastIndex = baseIndex;
  let lastTerm = log.baseTerm;
  for (const entry of entries) {
    assert(entry.index === lastIndex + 1 && entry.term >= lastTerm, "the remembered log has a hole, or goes back");
    if (entry.term !== lastTerm) runs.push({ first: entry.index, term: entry.term });
    lastIndex = entry.index;
    lastTerm = entry.term;
    if (entry.type !== entryTypes.configuration) continue;
    configurations.push(configurationIn({ index: entry.index, bytes: entry.payload }, nobody));
  }
  const { term: ofTerm, votedFor, baseTerm, committed, ts, day, damaged } = log;
  return {
    term: ofTerm,
    votedFor,
    baseIndex,
    baseTerm,
    runs,
    lastIndex,
    committed,
    ts,
    day,
    configurations,
    damaged,
  };
}

function configurationIn(
  placed: { readonly index: LogIndex; readonly bytes: Uint8Array } | null,
  otherwise: Configuration,
): { index: LogIndex; configuration: Configuration } {
  if (placed === null) return { index: logIndex(0), configuration: otherwise };
  const configuration = decodeConfiguration(placed.bytes);
  assert(configuration !== null, `the configuration at entry ${placed.index} is of an unknown format`);
  return { index: placed.index, configuration };
}
