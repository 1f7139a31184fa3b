import { type Entry, entryTypes } from "../base/entry.ts";
import { type Configuration, configurationOf, nobody } from "../consensus/configuration.ts";
import { decodeMessage } from "../consensus/message-codec.ts";
import type { Message } from "../consensus/messages.ts";
import { tally } from "../consensus/quorum.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import type { Engine, EngineEffect, EngineEvent, RememberedLog } from "../topology/engine.ts";
import { decodedConfiguration, LogImage, type LogWrite } from "./log-image.ts";

/** One life of one server's data: what it goes by, and what it was told would survive. */
interface Replica {
  readonly id: ReplicaId;
  memory: LogImage;
  durable: LogImage;
  /** Asked for, and not durable yet, in the order of their tickets. */
  pending: LogWrite[];
  committed: number;
}

interface Identity {
  readonly hash: number;
  readonly previousTerm: number;
}

/**
 * Watches the engines of all servers of one group, through every step of every life, and holds them to what must be so
 * (names from the Raft paper and etcd's specification). It looks at what engines are told and what they ask for, never
 * at what they think of themselves.
 *
 * - ElectionSafety: at most one leader in a term; LeaderCompleteness: it has everything decided before
 * - VoteOncePerTerm and MonotonicTerm, over restarts; no vote is given, and nothing acknowledged, before it is durable
 * - LogMatching: an index and a term name one entry, which stands behind one other
 * - CommittedOnQuorum: of durable copies; CommittedImmutable: nothing decided is replaced, and nobody decides otherwise
 * - what was told to be durable is there after every crash
 */
export class ConsensusWatch {
  readonly #violated: (what: string) => void;
  readonly #replicas = new Map<ReplicaId, Replica>();
  readonly #leaders = new Map<number, ReplicaId>();
  readonly #votes = new Map<string, ReplicaId>();
  readonly #entries = new Map<string, Identity>();
  /** Terms of the decided entries, by index - 1, and in which term that was found out. */
  readonly #decided: { readonly term: number; readonly decidedIn: number }[] = [];

  constructor(violated: (what: string) => void) {
    this.#violated = violated;
  }

  /** How many terms had a leader. */
  get leaders(): number {
    return this.#leaders.size;
  }

  /** How far the log is decided. */
  get decided(): number {
    return this.#decided.length;
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
    for (let index = found.baseIndex + 1; index <= found.lastIndex; index++) this.#known(id, found, index);
  }

  /** A crash takes nothing that was told to be durable, unless what was to replace it is there. */
  #survived({ id, durable, pending }: Replica, found: LogImage): void {
    const replacedFrom = Math.min(...pending.map((write) => (write.type === "vote" ? Infinity : write.first)));
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
    switch (effect.type) {
      case "persist-vote": {
        const { term, votedFor, ticket } = effect;
        const { memory, id } = who;
        if (term < memory.term) this.#violated(`${id}: the term goes back from ${memory.term} to ${term}`);
        if (term === memory.term && memory.votedFor !== null && memory.votedFor !== votedFor) {
          this.#violated(`${id} votes twice in term ${term}`);
        }
        this.#write(who, { type: "vote", term, votedFor, ticket });
        return;
      }
      case "append":
        this.#append(who, effect.entries, effect.ticket);
        return;
      case "install-snapshot": {
        const { snapshot, keepsLog, ticket } = effect;
        if (snapshot.index <= who.committed) this.#violated(`${who.id} goes back to a snapshot at ${snapshot.index}`);
        this.#write(who, { type: "snapshot", first: snapshot.index, snapshot, keepsLog, ticket });
        return;
      }
      case "repair":
        this.#write(who, { type: "repair", first: Infinity, entries: effect.entries, ticket: effect.ticket });
        return;
      case "committed":
        this.#committed(who, effect.through);
        return;
      case "send": {
        const message = decodeMessage(effect.bytes);
        if (message !== null) this.#sent(who, message);
        return;
      }
      case "standing":
        if (effect.standing.role === "leader" || effect.standing.role === "elected")
          this.#leads(who, effect.standing.term);
        return;
      default:
    }
  }

  #write(who: Replica, write: LogWrite): void {
    who.memory.write(write);
    who.pending.push(write);
  }

  #append(who: Replica, entries: readonly Entry[], ticket: number): void {
    const { id, memory } = who;
    const first = entries[0]!.index;
    if (first <= who.committed) this.#violated(`${id} replaces the committed entry ${first}`);
    if (first > memory.lastIndex + 1) this.#violated(`${id}: a hole before ${first}`);
    const before = memory.configurationAt(first - 1);
    this.#write(who, { type: "append", first, entries, ticket });
    for (const entry of entries) {
      if (entry.term > memory.term) {
        this.#violated(`${id} takes an entry of term ${entry.term} in term ${memory.term}`);
      }
      this.#known(id, memory, entry.index);
    }
    if (entries.some(({ type }) => type === entryTypes.configuration)) this.#configurationsMeet(id, before, entries);
  }

  /** LogMatching */
  #known(id: ReplicaId, image: LogImage, index: number): void {
    const term = image.termAt(index);
    const previousTerm = image.termAt(index - 1);
    const hash = image.hashAt(index);
    if (term === null || previousTerm === null || hash === null) return;
    const key = `${index}/${term}`;
    const known = this.#entries.get(key);
    if (known === undefined) this.#entries.set(key, { hash, previousTerm });
    else if (known.hash !== hash) this.#violated(`${id}: there are two entries ${key}`);
    else if (known.previousTerm !== previousTerm) this.#violated(`${id}: entry ${key} stands behind two others`);
  }

  #committed(who: Replica, through: number): void {
    const { id, memory } = who;
    if (through <= who.committed) this.#violated(`${id}: the commit goes back from ${who.committed} to ${through}`);
    if (through > memory.lastIndex) {
      this.#violated(`${id} commits ${through}, beyond its log`);
      return;
    }
    for (let index = Math.max(who.committed, memory.baseIndex) + 1; index <= through; index++) {
      const term = memory.termAt(index)!;
      const decided = this.#decided[index - 1];
      if (decided === undefined) this.#decided[index - 1] = { term, decidedIn: memory.term };
      else if (decided.term !== term) {
        this.#violated(`${id}: entry ${index} is decided as of term ${decided.term} and of term ${term}`);
      }
    }
    who.committed = through;
    // The last one speaks for those before it; a follower goes by what its leader says.
    const term = memory.termAt(through)!;
    if (this.#leaders.get(term) !== id || term !== memory.term) return;
    const holds = (replica: ReplicaId): boolean | null =>
      this.#replicas.get(replica)?.durable.holds(through, term) === true ? true : null;
    if (tally(memory.configurationAt(memory.lastIndex), holds) !== "won") {
      this.#violated(`${id} commits ${through} without a quorum of durable copies`);
    }
  }

  #sent(who: Replica, message: Message): void {
    const { id, durable, memory } = who;
    switch (message.type) {
      case "vote-answer":
        if (!message.granted) return;
        if (durable.term !== message.term || durable.votedFor !== message.to) {
          this.#violated(`${id} answers a vote of term ${message.term} that is not durable`);
        }
        this.#voted(id, message.term, message.to);
        return;
      case "vote":
        if (durable.term !== message.term || durable.votedFor !== id) {
          this.#violated(`${id} asks for votes in term ${message.term} before its own is durable`);
        }
        this.#voted(id, message.term, id);
        return;
      case "append-ack":
        if (
          durable.term < message.term ||
          (message.matched > durable.baseIndex && durable.termAt(message.matched) !== memory.termAt(message.matched))
        ) {
          this.#violated(`${id} acknowledges ${message.matched}; durable is ${durable.lastIndex}`);
        }
        return;
      case "append":
      case "commit":
      case "confirm":
      case "snapshot-offer":
        this.#leads(who, message.term);
        return;
      default:
    }
  }

  #voted(id: ReplicaId, term: number, votedFor: ReplicaId): void {
    const key = `${id}/${term}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== votedFor) this.#violated(`${id} voted twice in term ${term}`);
    this.#votes.set(key, votedFor);
  }

  #leads({ id, memory }: Replica, term: number): void {
    const before = this.#leaders.get(term);
    if (before === id) return;
    if (before !== undefined) {
      this.#violated(`${before} and ${id} lead in term ${term}`);
      return;
    }
    this.#leaders.set(term, id);
    for (let index = memory.baseIndex + 1; index <= this.#decided.length; index++) {
      const decided = this.#decided[index - 1];
      // Who finds out late that it was elected long ago need not know what later leaders have decided.
      if (decided === undefined || decided.decidedIn >= term || memory.termAt(index) === decided.term) continue;
      this.#violated(`${id} leads term ${term} without the decided entry ${index}`);
      return;
    }
  }

  /** Configurations that follow each other have no two majorities without a voter in common. */
  #configurationsMeet(id: ReplicaId, first: Configuration, entries: readonly Entry[]): void {
    let before = first;
    for (const entry of entries) {
      if (entry.type !== entryTypes.configuration) continue;
      const next = decodedConfiguration(entry);
      if (before.voters.length > 0 && !meet(before, next)) {
        this.#violated(`${id}: majorities of the members at ${entry.index} and of those before have nobody in common`);
      }
      before = next;
    }
  }
}

/** Whether no split of all voters wins on both sides. */
function meet(one: Configuration, other: Configuration): boolean {
  const all = [...new Set([...one.voters, ...one.outgoing, ...other.voters, ...other.outgoing])];
  for (let split = 0; split < 2 ** all.length; split++) {
    const isInside = (voter: ReplicaId): boolean => ((split >> all.indexOf(voter)) & 1) === 1;
    if (tally(one, isInside) === "won" && tally(other, (voter) => !isInside(voter)) === "won") return false;
  }
  return true;
}
