import { type Entry, type EntryType, entryTypes } from "../../src/base/entry.ts";
import { groupId, type Incarnation, logIndex, type NodeName, term as termOf } from "../../src/base/ids.ts";
import type { Random } from "../../src/base/random.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import type { Change } from "../../src/consensus/configuration-change.ts";
import { type Configuration, configurationOf, decodeConfiguration, nobody } from "../../src/consensus/configuration.ts";
import type { GroupEffect, GroupEvent } from "../../src/consensus/events.ts";
import { Group } from "../../src/consensus/group.ts";
import type { Message } from "../../src/consensus/messages.ts";
import { type ReplicaId, replicaId } from "../../src/consensus/replica.ts";
import { defaultGroupSettings, type GroupSettings } from "../../src/consensus/settings.ts";
import { ConsensusInvariants } from "../../src/sim/consensus-invariants.ts";
import { ensure } from "./ensure.ts";
import { VirtualDisk } from "./virtual-disk.ts";

type Unstamped = GroupEvent extends infer E ? (E extends GroupEvent ? Omit<E, "now"> : never) : never;

interface Actor {
  readonly name: string;
  replica: ReplicaId;
  disk: VirtualDisk;
  group: Group | null;
  committed: number;
  applied: number;
  /** Waiting to be flushed by hand. */
  isSlow: boolean;
}

/** No chance: everybody is as lucky as everybody else, so that a script decides who is first. */
const noChance: Random = { whole: () => 0, bytes: (count) => new Uint8Array(count) };

/**
 * A few replicas whose every step a script decides: which message arrives, which disk flushes, when time passes. All
 * that comes of it is told in short lines, and held to the invariants of every run.
 */
export class Stage {
  readonly settings: GroupSettings;
  readonly lines: string[] = [];
  readonly #actors = new Map<string, Actor>();
  readonly #cut = new Set<string>();
  #mail: Message[] = [];
  readonly #invariants = new ConsensusInvariants(
    (id) => [...this.#actors.values()].find(({ replica }) => replica === id)?.disk.durable,
    (what) => ensure(false, what),
  );
  /** What was answered at all, by read. */
  now = 0;

  constructor(settings: Partial<GroupSettings> = {}) {
    this.settings = { ...defaultGroupSettings, ...settings };
  }

  /** Adds a server whose disk holds entries of these terms. */
  add(
    name: string,
    options: { voters: string[]; learners?: string[]; term?: number; log?: number[]; committed?: number },
  ): void {
    const { voters, learners = [], term = 0, log = [], committed = 0 } = options;
    const replica = replicaOf(name);
    const configuration =
      voters.length === 0 ? nobody : configurationOf(voters.map(replicaOf), learners.map(replicaOf));
    const disk = new VirtualDisk(configuration);
    for (const image of [disk.durable, disk.memory]) {
      image.term = term;
      image.entries = log.map((ofTerm, at) => entryOf(at + 1, ofTerm));
    }
    const actor = { name, replica, disk, group: null, committed: 0, applied: 0, isSlow: false };
    this.#actors.set(name, actor);
    this.start(name, committed);
  }

  start(name: string, committed?: number): void {
    const actor = this.actor(name);
    const memory = actor.disk.durable.memory(committed);
    actor.committed = memory.committed;
    actor.applied = memory.committed;
    actor.group = new Group({
      group: groupId(0),
      self: actor.replica,
      settings: this.settings,
      policy: { delayMs: ({ cause }) => (cause === "crash" ? 0 : 1_000_000) },
      random: noChance,
      memory,
    });
    this.step(name, { type: "started" });
  }

  /** The process ends; what was not flushed is gone. */
  crash(name: string): void {
    const actor = this.actor(name);
    actor.group = null;
    actor.disk.crash(0);
    this.#mail = this.#mail.filter(({ from }) => from !== actor.replica);
  }

  wipe(name: string): void {
    const actor = this.actor(name);
    this.crash(name);
    actor.replica = replicaId(`n${name}` as NodeName, `${Number(actor.replica.split("#")[1]) + 1}` as Incarnation);
    actor.disk = new VirtualDisk(nobody);
    this.start(name);
  }

  isUp(name: string): boolean {
    return this.actor(name).group !== null;
  }

  names(): string[] {
    return [...this.#actors.keys()];
  }

  actor(name: string): Actor {
    const actor = this.#actors.get(name);
    ensure(actor !== undefined, `there is no server ${name}`);
    return actor;
  }

  group(name: string): Group {
    const { group } = this.actor(name);
    ensure(group !== null, `server ${name} is down`);
    return group;
  }

  step(name: string, event: Unstamped): void {
    const actor = this.actor(name);
    if (actor.group === null) return;
    for (const effect of actor.group.step({ ...event, now: millis(this.now) })) {
      this.lines.push(tell(name, effect));
      const { replica: id, disk, committed } = actor;
      this.#invariants.check({ id, memory: disk.memory, durable: disk.durable, committed }, effect);
      this.#perform(actor, effect);
    }
  }

  propose(name: string, text: string, kind: EntryType = entryTypes.commands): void {
    const payload = Uint8Array.from(text, (character) => character.charCodeAt(0));
    this.step(name, { type: "proposed", kind, ts: timestamp(this.now), day: day(20260101), payload });
  }

  change(name: string, changes: readonly Change[]): void {
    this.step(name, { type: "change-proposed", ts: timestamp(this.now), day: day(20260101), changes });
  }

  /** Everybody hears everybody, until further notice. */
  everybodyHears(): void {
    for (const name of this.names()) for (const other of this.names()) if (name !== other) this.hears(name, other);
  }

  hears(name: string, other: string): void {
    const peer = this.actor(other).replica;
    this.step(name, {
      type: "liveness",
      peer,
      heardUntil: Infinity,
      supportedUntil: Infinity,
      diskOk: true,
      crashed: false,
    });
  }

  loses(name: string, other: string, crashed: boolean): void {
    const peer = this.actor(other).replica;
    const said = { peer, heardUntil: this.now, supportedUntil: this.now, diskOk: true, crashed };
    this.step(name, { type: "liveness", ...said });
  }

  disk(name: string, of: string, diskOk: boolean): void {
    const peer = this.actor(of).replica;
    const said = { peer, heardUntil: Infinity, supportedUntil: Infinity, diskOk, crashed: false };
    this.step(name, { type: "liveness", ...said });
  }

  /** The heartbeat of a server, saying what it leads. */
  beat(name: string, to: readonly string[]): void {
    const { role, term, authoritative } = this.group(name).standing;
    const leads = role === "leader" || role === "elected";
    const said = { leader: this.actor(name).replica, term: leads ? term : termOf(0), authoritative };
    for (const other of to) if (!this.isCut(name, other)) this.step(other, { type: "vouched", ...said });
  }

  cut(left: string, right: string): void {
    this.#cut.add(`${left}>${right}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** What is on its way, oldest first. */
  get mail(): readonly Message[] {
    return this.#mail;
  }

  /** Delivers what fits, in order. Answers how many there were. */
  deliver(fits: (message: Message) => boolean): number {
    const now = this.#mail.filter(fits);
    this.#mail = this.#mail.filter((message) => !now.includes(message));
    for (const message of now) this.#deliver(message);
    return now.length;
  }

  /** Delivers again what was delivered or dropped before. */
  again(message: Message): void {
    this.#deliver(message);
  }

  drop(fits: (message: Message) => boolean): Message[] {
    const dropped = this.#mail.filter(fits);
    this.#mail = this.#mail.filter((message) => !fits(message));
    return dropped;
  }

  /** The first writes on their way are durable. */
  flush(name: string, count?: number): void {
    const ticket = this.actor(name).disk.flush(count);
    if (ticket !== null) this.step(name, { type: "durable", ticket });
  }

  /** Time passes; whoever is due is told. */
  pass(forMs: number): void {
    this.now += forMs;
    for (const name of this.names())
      if ((this.actor(name).group?.dueAt ?? Infinity) <= this.now) this.step(name, { type: "tick" });
  }

  /** Everything that is on its way arrives, everything written becomes durable, until nothing moves. */
  settle(): void {
    for (let round = 0; round < 1_000; round++) {
      let moved = this.deliver(() => true) > 0;
      for (const [name, { disk, isSlow, group }] of this.#actors) {
        if (group === null) continue;
        if (!isSlow && !disk.isIdle) {
          this.flush(name);
          moved = true;
        }
        if (group.dueAt <= this.now) {
          this.step(name, { type: "tick" });
          moved = true;
        }
      }
      if (!moved) return;
    }
    ensure(false, "it never comes to rest");
  }

  /** Everything applied goes into a snapshot. */
  compact(name: string, through: number): void {
    const { disk } = this.actor(name);
    disk.memory.compact(through);
    disk.durable.compact(through);
    this.step(name, { type: "compacted", through: logIndex(through) });
  }

  /** A snapshot that this server has is brought to another. */
  bring(from: string, to: string): void {
    const { durable } = this.actor(from).disk;
    const snapshot = {
      index: logIndex(durable.baseIndex),
      term: termOf(durable.baseTerm),
      configuration: durable.baseConfiguration,
      configurationIndex: logIndex(durable.baseConfigurationIndex),
    };
    const joins = this.actor(to).disk.memory.termAt(snapshot.index) === snapshot.term;
    this.step(to, { type: "snapshot-received", snapshot, joins });
  }

  log(name: string): string {
    const { disk, group, committed } = this.actor(name);
    const { memory, durable } = disk;
    const base = memory.baseIndex > 0 ? `${memory.baseIndex}/${memory.baseTerm} .. ` : "";
    const terms = memory.entries.map(({ term }) => term).join(" ");
    const unflushed = durable.lastIndex < memory.lastIndex ? `, durable ${durable.lastIndex}` : "";
    const state = group === null ? "down" : `term ${memory.term}`;
    return `n${name} ${state}: ${base}[${terms}] commit ${committed}${unflushed}`;
  }

  #deliver(message: Message): void {
    const to = message.to.split("#")[0]!.slice(1);
    const from = message.from.split("#")[0]!.slice(1);
    if (!this.isCut(from, to) && this.#actors.has(to)) this.step(to, { type: "received", message });
  }

  #perform(actor: Actor, effect: GroupEffect): void {
    switch (effect.type) {
      case "repair":
        // The disk still has what it can't read: what comes must be the same.
        if (effect.entries.every(({ index, term }) => actor.disk.memory.termAt(index) === term))
          actor.disk.write(effect);
        else this.step(actor.name, { type: "repair-failed", ticket: effect.ticket });
        return;
      case "persist-vote":
      case "append":
        actor.disk.write(effect);
        return;
      case "install-snapshot":
        actor.disk.write(effect);
        actor.committed = effect.snapshot.index;
        actor.applied = effect.snapshot.index;
        return;
      case "send":
        this.#mail.push(effect.message);
        return;
      case "committed":
        actor.committed = effect.through;
        while (actor.applied < effect.through) {
          this.#invariants.applied(actor.replica, ++actor.applied, actor.disk.memory.entryAt(actor.applied)!);
        }
        return;
      case "fetch": {
        const entries: Entry[] = [];
        let bytes = 0;
        for (let index: number = effect.first; index <= effect.last; index++) {
          const entry = actor.disk.memory.entryAt(index);
          bytes += entry?.payload.length ?? 0;
          if (entry === null || (entries.length > 0 && bytes > effect.bytesMax)) break;
          entries.push(entry);
        }
        this.step(actor.name, {
          type: "fetched",
          context: effect.context,
          entries: entries.length > 0 ? entries : null,
        });
        return;
      }
      default:
    }
  }
}

export function replicaOf(name: string): ReplicaId {
  return replicaId(`n${name}` as NodeName, "1" as Incarnation);
}

function entryOf(index: number, term: number): Entry {
  const stamp = { ts: timestamp(0), day: day(20260101) };
  const payload = Uint8Array.from(`old ${index}/${term}`, (character) => character.charCodeAt(0));
  return {
    group: groupId(0),
    index: logIndex(index),
    term: termOf(term),
    type: entryTypes.commands,
    ...stamp,
    payload,
  };
}

// One line for one effect.

function tell(name: string, effect: GroupEffect): string {
  return `n${name} ${tellEffect(effect)}`;
}

function tellEffect(effect: GroupEffect): string {
  switch (effect.type) {
    case "persist-vote":
      return `writes term ${effect.term}, vote ${effect.votedFor === null ? "none" : short(effect.votedFor)} (${effect.ticket})`;
    case "append":
      return `writes ${effect.entries.map(tellEntry).join(", ")} (${effect.ticket})`;
    case "repair":
      return `repairs ${effect.entries.map(tellEntry).join(", ")} (${effect.ticket})`;
    case "install-snapshot":
      return `installs ${effect.snapshot.index}/${effect.snapshot.term}${effect.keepsLog ? ", keeps its log" : ""} (${effect.ticket})`;
    case "send":
      return `-> ${short(effect.message.to)} ${tellMessage(effect.message)}`;
    case "committed":
      return `commits ${effect.through}`;
    case "read-ready":
      return `may answer read ${effect.ids.join(" ")} at ${effect.index}`;
    case "read-refused":
      return `refuses read ${effect.ids.join(" ")}: ${effect.reason}`;
    case "refused":
      return `refuses: ${effect.reason}`;
    case "standing": {
      const { role, term, leader, authoritative, transferringTo } = effect.standing;
      const leads = role === "leader" || role === "elected";
      const follows = !leads && leader !== null ? ` of ${short(leader)}` : "";
      const quorum = leads && !authoritative ? ", without a quorum" : "";
      return `is ${role}${follows} in term ${term}${quorum}${transferringTo === null ? "" : `, handing over to ${short(transferringTo)}`}`;
    }
    case "configured":
      return `counts ${tellConfiguration(effect.configuration)} from ${effect.index}`;
    case "snapshot-wanted":
      return `wants the snapshot at ${effect.snapshot.index}`;
    case "fetch":
      return `fetches ${effect.first}-${effect.last}`;
    default:
      throw new Error("an effect that is not told");
  }
}

export function tellMessage(message: Message): string {
  const { term } = message;
  switch (message.type) {
    case "pre-vote":
      return `pre-vote for ${term}, log ends ${message.lastIndex}/${message.lastTerm}`;
    case "pre-vote-answer":
      return `pre-vote ${message.granted ? "yes" : "no"} for ${message.asked}, term ${term}`;
    case "vote":
      return `vote for ${term}, log ends ${message.lastIndex}/${message.lastTerm}${message.handover ? ", handed over" : ""}`;
    case "vote-answer":
      return `vote ${message.granted ? "yes" : "no"}, term ${term}`;
    case "append": {
      const entries = message.entries.length === 0 ? "nothing" : message.entries.map(tellEntry).join(", ");
      const doubt = message.authoritative ? "" : ", without a quorum";
      return `append after ${message.previousIndex}/${message.previousTerm}: ${entries}; commit ${message.commit}, term ${term}${doubt}`;
    }
    case "append-ack":
      return `ack ${message.matched}, commit ${message.commit}, term ${term}`;
    case "append-refused":
      return `no ${message.previousIndex}, try ${message.hintIndex}/${message.hintTerm}, term ${term}`;
    case "commit":
      return `commit ${message.commit}, term ${term}${message.answer ? ", answer" : ""}`;
    case "snapshot-offer":
      return `offers the snapshot at ${message.snapshot.index}/${message.snapshot.term} with ${tellConfiguration(message.snapshot.configuration)}, term ${term}`;
    case "timeout-now":
      return `campaign now, term ${term}`;
    case "stale":
      return `it is term ${term}`;
    case "confirm":
      return `confirm #${message.context}, term ${term}`;
    case "confirmed":
      return `confirmed #${message.context}, term ${term}`;
    case "read-forward":
      return `read #${message.context}`;
    case "read-answer":
      return `read #${message.context} at ${message.index}`;
    case "repair-asked":
      return `needs ${message.first}-${message.last}`;
    case "repair-answer":
      return `has ${message.entries.map(tellEntry).join(", ")}`;
    default:
      throw new Error("a message that is not told");
  }
}

function tellEntry({ index, term, type, payload }: Entry): string {
  const place = `${index}/${term}`;
  if (type === entryTypes.noop) return `${place} noop`;
  if (type === entryTypes.configuration) return `${place} ${tellConfiguration(decodeConfiguration(payload)!)}`;
  return `${place} "${String.fromCharCode(...payload)}"`;
}

export function tellConfiguration({ voters, outgoing, learners, learnersNext, autoLeave }: Configuration): string {
  const list = (replicas: readonly ReplicaId[]): string => replicas.map((replica) => short(replica).slice(1)).join(" ");
  const joint = outgoing.length > 0 ? `&(${list(outgoing)})` : "";
  const also = learners.length > 0 ? ` learners (${list(learners)})` : "";
  const next = learnersNext.length > 0 ? ` to be learners (${list(learnersNext)})` : "";
  return `voters (${list(voters)})${joint}${also}${next}${autoLeave ? ", leaves by itself" : ""}`;
}

/** `n1`, and `n1'` for its second life. */
function short(replica: ReplicaId): string {
  const [node, incarnation] = replica.split("#");
  return `${node}${"'".repeat(Number(incarnation) - 1)}`;
}
