import { configurationOf, nobody } from "../consensus/configuration.ts";
import { decodeMessage, wholeOf } from "../consensus/message-codec.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import type { Engine, EngineEffect, EngineEvent, RememberedLog } from "../topology/engine.ts";
import { ConsensusInvariants } from "./consensus-invariants.ts";
import { LogImage, type LogWrite } from "./log-image.ts";

/** One life of one server's data: what it goes by, and what it was told would survive. */
interface Replica {
  readonly id: ReplicaId;
  memory: LogImage;
  durable: LogImage;
  /** Asked for, and not durable yet, in the order of their tickets. */
  pending: LogWrite[];
  committed: number;
}

/**
 * Watches the engines of all servers of one group, through every step of every life: it looks at what engines are told
 * and what they ask for, keeps what their logs say from that, and holds it to the invariants of consensus. Besides, what
 * was told to be durable is there after every crash.
 */
export class ConsensusWatch {
  readonly #violated: (what: string) => void;
  readonly #asked: (id: ReplicaId, effect: EngineEffect) => void;
  readonly #replicas = new Map<ReplicaId, Replica>();
  readonly #invariants: ConsensusInvariants;

  /** `asked` is told of everything that an engine asks for. */
  constructor(
    violated: (what: string) => void,
    asked: (id: ReplicaId, effect: EngineEffect) => void = () => undefined,
  ) {
    this.#violated = violated;
    this.#asked = asked;
    this.#invariants = new ConsensusInvariants((id) => this.#replicas.get(id)?.durable, violated);
  }

  /** How many terms had a leader. */
  get leaders(): number {
    return this.#invariants.leaders;
  }

  /** How far the log is decided. */
  get decided(): number {
    return this.#invariants.decided;
  }

  /** The engine of a life of this replica that begins now, watched. */
  watched(id: ReplicaId, engine: Engine): Engine {
    return {
      step: (event) => {
        this.#before(id, event);
        const effects = engine.step(event);
        const replica = this.#replicas.get(id);
        if (replica !== undefined) for (const effect of effects) this.#effect(replica, effect);
        return effects;
      },
      get standing() {
        return engine.standing;
      },
      get dueAt() {
        return engine.dueAt;
      },
      get keepsPayloads() {
        return engine.keepsPayloads;
      },
      get members() {
        return engine.members;
      },
    };
  }

  #before(id: ReplicaId, event: EngineEvent): void {
    if (event.type === "recovered") {
      this.#recovered(id, event.log);
      return;
    }
    const replica = this.#replicas.get(id);
    if (replica === undefined || event.type !== "durable") return;
    while (replica.pending.length > 0 && replica.pending[0]!.ticket <= event.ticket) {
      replica.durable.write(replica.pending.shift()!);
    }
  }

  #recovered(id: ReplicaId, log: RememberedLog): void {
    const founder = log.isJoiner ? nobody : configurationOf([id]);
    const found = LogImage.of(log, founder);
    const before = this.#replicas.get(id);
    if (before !== undefined) this.#survived(before, found);
    this.#replicas.set(id, { id, memory: found, durable: found.copy(), pending: [], committed: log.committed });
    this.#invariants.found(id, found);
  }

  /** A crash takes nothing that was told to be durable, unless what was to replace it is there. */
  #survived({ id, durable, pending }: Replica, found: LogImage): void {
    const replacedFrom = Math.min(
      ...pending.map((write) => {
        if (write.type === "append") return write.entries[0]!.index;
        return write.type === "install-snapshot" ? write.snapshot.index : Infinity;
      }),
    );
    const through = Math.min(durable.lastIndex, replacedFrom - 1);
    for (let index = Math.max(durable.baseIndex, found.baseIndex) + 1; index <= through; index++) {
      if (found.termAt(index) === durable.termAt(index) || found.isDamaged(index)) continue;
      this.#violated(`${id}: entry ${index} was durable, and is not there after a start`);
      break;
    }
    const isOlderVote =
      found.term < durable.term ||
      (found.term === durable.term && durable.votedFor !== null && found.votedFor !== durable.votedFor);
    if (isOlderVote) {
      this.#violated(
        `${id}: its vote for ${durable.votedFor ?? "nobody"} in term ${durable.term} was durable, and is ${found.votedFor ?? "nobody"} in ${found.term} after a start`,
      );
    }
  }

  #effect(who: Replica, effect: EngineEffect): void {
    this.#asked(who.id, effect);
    switch (effect.type) {
      case "persist-vote":
      case "append":
      case "install-snapshot":
      case "repair":
        this.#invariants.check(who, effect);
        who.memory.write(effect);
        who.pending.push(effect);
        return;
      case "committed":
        this.#invariants.check(who, effect);
        who.committed = effect.through;
        return;
      case "standing":
        this.#invariants.check(who, effect);
        return;
      case "send": {
        const message = decodeMessage(wholeOf(effect));
        if (message !== null) this.#invariants.check(who, { type: "send", message });
        return;
      }
      default:
    }
  }
}
