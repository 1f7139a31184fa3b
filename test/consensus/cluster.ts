import { type Entry, entryTypes } from "../../src/base/entry.ts";
import { groupId, type Incarnation, logIndex, type NodeName } from "../../src/base/ids.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { day, millis, timestamp } from "../../src/base/units.ts";
import type { Change } from "../../src/consensus/configuration-change.ts";
import { type Configuration, configurationOf, nobody } from "../../src/consensus/configuration.ts";
import type { CampaignPolicy } from "../../src/consensus/election/campaign-policy.ts";
import type { GroupEffect, GroupEvent } from "../../src/consensus/events.ts";
import { Group } from "../../src/consensus/group.ts";
import type { Message, Snapshot } from "../../src/consensus/messages.ts";
import { nodeOf, type ReplicaId, replicaId } from "../../src/consensus/replica.ts";
import { defaultGroupSettings, type GroupSettings } from "../../src/consensus/settings.ts";
import { ConsensusInvariants, type LogView } from "../../src/sim/consensus-invariants.ts";
import { ensure } from "./ensure.ts";
import { VirtualDisk } from "./virtual-disk.ts";
import { randomizedCampaigns } from "./randomized-campaigns.ts";

export interface ClusterOptions {
  readonly servers: number;
  readonly seed: number;
  readonly policy?: CampaignPolicy;
  readonly settings?: Partial<GroupSettings>;
  /** Not founded as voters, but known to the network. */
  readonly spares?: number;
}

/** What may happen to messages and writes. Times in virtual milliseconds. */
export interface Weather {
  dropPercent: number;
  doublePercent: number;
  delayMs: number;
  /** One message in ten is this much later. */
  lateMs: number;
  flushMs: number;
}

const heartbeatMs = 100;
const silentAfterMs = 600;
const theGroup = groupId(0);
type EventWithoutTime = GroupEvent extends infer E ? (E extends GroupEvent ? Omit<E, "now"> : never) : never;

/** One server and the replica on it. */
export class Server {
  readonly name: NodeName;
  replica: ReplicaId;
  disk: VirtualDisk;
  group: Group | null = null;
  /** Grows with every start: what was meant for an earlier life is not for this one. */
  life = 0;
  applied = 0;
  committed = 0;
  isFlushing = false;
  diskHangs = false;
  /** Stopped until then: what comes for it waits, its disk and the others go on. */
  pausedUntil = 0;
  tickAt = Infinity;
  /** When a heartbeat of another server came last, and what it said. */
  readonly heard = new Map<ReplicaId, { at: number; isLost: boolean; supports: boolean; life: number }>();
  readonly vouchers = new Map<ReplicaId, string>();
  readonly refusals: string[] = [];

  constructor(name: NodeName, incarnation: number, configuration: Configuration) {
    this.name = name;
    this.replica = replicaId(name, String(incarnation) as Incarnation);
    this.disk = new VirtualDisk(configuration);
  }
}

/**
 * Servers in one memory, with virtual time, network and disks, from a seed. Every step is checked. Heartbeats go
 * between servers, not groups, and are lost on the same links as messages.
 */
export class Cluster {
  readonly random: Random;
  readonly servers = new Map<NodeName, Server>();
  readonly invariants: ConsensusInvariants;
  readonly weather: Weather = { dropPercent: 0, doublePercent: 0, delayMs: 2, lateMs: 0, flushMs: 3 };
  readonly settings: GroupSettings;
  readonly policy: CampaignPolicy;
  now = 0;
  messages = 0;
  entryBytesSent = 0;
  /** Said of every step, for whoever looks for the cause of a failure. */
  trace: string[] | null = null;
  readonly reads = new Map<number, { floor: number; done: string | null }>();
  readonly #readers = new Map<number, { server: Server; life: number }>();
  #reads = 0;
  readonly #cut = new Set<string>();
  /** Lives whose disks are gone. What they had acknowledged they had. */
  readonly #ghosts = new Map<ReplicaId, LogView>();
  readonly #queue: Task[] = [];
  #order = 0;
  #commands = 0;

  constructor(options: ClusterOptions) {
    this.random = seededRandom(options.seed);
    this.policy = options.policy ?? randomizedCampaigns();
    this.settings = { ...defaultGroupSettings, ...options.settings };
    this.invariants = new ConsensusInvariants(
      (id) => [...this.servers.values()].find(({ replica }) => replica === id)?.disk.durable ?? this.#ghosts.get(id),
      (what) => ensure(false, what),
    );
    const names = Array.from({ length: options.servers + (options.spares ?? 0) }, (_, at) => `n${at + 1}` as NodeName);
    const voters = names.slice(0, options.servers).map((name) => replicaId(name, "1" as Incarnation));
    const founded = configurationOf(voters);
    names.forEach((name, at) => {
      this.servers.set(name, new Server(name, 1, at < options.servers ? founded : nobody));
    });
    for (const server of this.servers.values()) this.start(server.name);
  }

  server(name: string): Server {
    return this.servers.get(name as NodeName)!;
  }

  replica(name: string): ReplicaId {
    return this.server(name).replica;
  }

  // Servers

  start(name: string): void {
    const server = this.server(name);
    if (server.group !== null) return;
    server.life++;
    server.disk.crash(0);
    server.applied = server.disk.durable.baseIndex;
    server.committed = server.applied;
    server.isFlushing = false;
    server.tickAt = Infinity;
    server.pausedUntil = 0;
    server.heard.clear();
    server.vouchers.clear();
    server.group = new Group({
      group: theGroup,
      self: server.replica,
      settings: this.settings,
      policy: this.policy,
      random: seededRandom(this.random.whole(2 ** 32)),
      memory: server.disk.durable.memory(),
    });
    this.step(server, { type: "started" });
    this.#heartbeat(server, server.life);
  }

  /** `hint`: the others are told that its process is gone. */
  crash(name: string, hint = false): void {
    const server = this.server(name);
    if (server.group === null) return;
    server.group = null;
    server.life++;
    server.disk.crash(this.random.whole(server.disk.waiting + 1));
    if (!hint) return;
    for (const other of this.servers.values()) {
      if (other === server || other.group === null || this.isCut(name, other.name)) continue;
      this.#lose(other, server.replica, true);
    }
  }

  restart(name: string): void {
    this.crash(name);
    this.start(name);
  }

  /** Some of its entries can't be read any more, the last one excepted; found when it starts. */
  damage(name: string): void {
    const { durable } = this.server(name).disk;
    const count = durable.entries.length - 1;
    if (this.server(name).group !== null || count < 1 || durable.damaged.length > 0) return;
    const first = durable.baseIndex + 1 + this.random.whole(count);
    const last = first + this.random.whole(durable.lastIndex - first);
    durable.damaged = [{ first: logIndex(first), last: logIndex(last) }];
  }

  /** Its disk is gone; it comes back as somebody else. */
  wipe(name: string): void {
    this.crash(name);
    const old = this.server(name);
    this.#ghosts.set(old.replica, old.disk.durable);
    const incarnation = Number(old.replica.split("#")[1]) + 1;
    const server = new Server(old.name, incarnation, nobody);
    server.life = old.life + 1;
    this.servers.set(old.name, server);
    this.start(name);
  }

  /** The process is stopped for a while, as by SIGSTOP or a long collection of garbage. */
  pause(name: string, forMs: number): void {
    const server = this.server(name);
    if (server.pausedUntil <= this.now) server.pausedUntil = this.now + forMs;
  }

  // Links

  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`);
  }

  join(from: string, to: string): void {
    this.#cut.delete(`${from}>${to}`);
  }

  isCut(from: string, to: string): boolean {
    return this.#cut.has(`${from}>${to}`);
  }

  /** Only who is in the same part can talk. */
  partition(...parts: readonly (readonly string[])[]): void {
    this.heal();
    for (const from of this.servers.keys()) {
      for (const to of this.servers.keys()) {
        if (!parts.some((part) => part.includes(from) && part.includes(to))) this.cut(from, to);
      }
    }
  }

  heal(): void {
    this.#cut.clear();
  }

  disconnect(name: string): void {
    for (const other of this.servers.keys()) {
      this.cut(name, other);
      this.cut(other, name);
    }
  }

  connect(name: string): void {
    for (const other of this.servers.keys()) {
      this.join(name, other);
      this.join(other, name);
    }
  }

  // What is asked

  /** Proposes at one server; what became of it shows in the log. Answers the payload, or null when it was refused. */
  propose(name: string, bytes = 0): string | null {
    const server = this.server(name);
    if (server.group === null || server.pausedUntil > this.now) return null;
    const command = `c${++this.#commands}`.padEnd(bytes, "x");
    const payload = bytesOf(command);
    const refused = server.refusals.length;
    const stamp = { ts: timestamp(Math.floor(this.now)), day: day(20260101) };
    this.step(server, { type: "proposed", kind: entryTypes.commands, ...stamp, payload });
    return server.refusals.length === refused ? command : null;
  }

  change(name: string, changes: readonly Change[]): boolean {
    const server = this.server(name);
    if (server.group === null || server.pausedUntil > this.now) return false;
    const refused = server.refusals.length;
    const stamp = { ts: timestamp(Math.floor(this.now)), day: day(20260101) };
    this.step(server, { type: "change-proposed", ...stamp, changes });
    return server.refusals.length === refused;
  }

  read(name: string): number | null {
    const server = this.server(name);
    if (server.group === null) return null;
    const id = ++this.#reads;
    this.reads.set(id, { floor: this.invariants.decided, done: null });
    this.#readers.set(id, { server, life: server.life });
    this.step(server, { type: "read", id });
    return id;
  }

  /** Reads that wait at servers which live on. */
  openReads(): number[] {
    return [...this.reads].flatMap(([id, { done }]) => {
      const { server, life } = this.#readers.get(id)!;
      return done === null && server.life === life ? [id] : [];
    });
  }

  transfer(from: string, to: string): void {
    const server = this.server(from);
    if (server.group !== null) this.step(server, { type: "transfer", to: this.replica(to) });
  }

  campaign(name: string): void {
    const server = this.server(name);
    if (server.group !== null) this.step(server, { type: "campaign" });
  }

  /** Everything applied is in a snapshot now, and the entries before are let go. */
  compact(name: string): void {
    const server = this.server(name);
    const { durable } = server.disk;
    const through = Math.min(server.applied, durable.lastIndex, durable.soundThrough);
    if (
      server.group === null ||
      server.pausedUntil > this.now ||
      through <= server.disk.memory.baseIndex ||
      !server.disk.isIdle
    )
      return;
    server.disk.memory.compact(through);
    server.disk.durable.compact(through);
    this.step(server, { type: "compacted", through: logIndex(through) });
  }

  // Looking

  /** Who leads the highest term, of those alive. */
  leader(): Server | null {
    let found: Server | null = null;
    for (const server of this.servers.values()) {
      const standing = server.group?.standing;
      if (standing?.role !== "leader" && standing?.role !== "elected") continue;
      if (found === null || standing.term > found.group!.standing.term) found = server;
    }
    return found;
  }

  leaders(): Server[] {
    return [...this.servers.values()].filter(({ group }) => group?.standing.role === "leader");
  }

  /** The payload of a decided entry that this server has applied. */
  has(name: string, command: string): boolean {
    const server = this.server(name);
    const payload = bytesOf(command);
    for (let index = 1; index <= server.applied; index++) {
      if (this.invariants.isDecided(index, { type: entryTypes.commands, payload })) return true;
    }
    return false;
  }

  // Time

  /** Lets virtual time pass. */
  run(forMs: number): void {
    this.runUntil(() => false, forMs);
  }

  /** Lets time pass until something is so, at most so long. Answers whether it is. */
  runUntil(isSo: () => boolean, withinMs: number): boolean {
    const end = this.now + withinMs;
    for (;;) {
      if (isSo()) return true;
      const task = this.#queue[0];
      if (task === undefined || task.at > end) {
        this.now = end;
        return isSo();
      }
      this.#pop();
      this.now = task.at;
      task.run();
    }
  }

  /** Performs one event at one server, and checks all that comes of it. */
  step(server: Server, event: EventWithoutTime): void {
    const { group, life, pausedUntil } = server;
    if (group === null) return;
    if (pausedUntil > this.now) {
      this.#at(pausedUntil, () => {
        if (server.life === life) this.step(server, event);
      });
      return;
    }
    this.trace?.push(`${this.now.toFixed(1)} ${server.replica} ${JSON.stringify(event)}`);
    const effects = group.step({ ...event, now: millis(this.now) });
    for (const effect of effects) {
      this.trace?.push(`    ${server.replica} -> ${JSON.stringify(effect)}`);
      const { replica: id, disk, committed } = server;
      this.invariants.check({ id, memory: disk.memory, durable: disk.durable, committed }, effect);
      this.#perform(server, effect);
    }
    ensure(group.committed <= group.lastIndex, "committed beyond the log");
    this.#setTimer(server);
  }

  #perform(server: Server, effect: GroupEffect): void {
    const life = server.life;
    switch (effect.type) {
      case "repair": {
        // Storage compares with the chain of what stands behind: what was there must come back, and nothing else.
        const { entries, ticket } = effect;
        const isSame = entries.every(({ index, term }) => server.disk.memory.termAt(index) === term);
        if (!isSame) {
          this.#after(1, () => {
            if (server.life === life) this.step(server, { type: "repair-failed", ticket });
          });
          return;
        }
        server.disk.write(effect);
        this.#flush(server);
        return;
      }
      case "persist-vote":
      case "append":
        server.disk.write(effect);
        this.#flush(server);
        return;
      case "install-snapshot":
        server.disk.write(effect);
        server.applied = effect.snapshot.index;
        server.committed = effect.snapshot.index;
        this.#flush(server);
        return;
      case "send":
        this.#send(server, effect.message);
        return;
      case "committed":
        server.committed = effect.through;
        while (server.applied < effect.through) {
          const entry = server.disk.memory.entryAt(server.applied + 1);
          const isSound = server.disk.memory.soundThrough > server.applied;
          ensure(entry !== null && isSound, `${server.replica} applies what it has not`);
          this.invariants.applied(server.replica, ++server.applied, entry);
        }
        return;
      case "fetch": {
        const { context, first, last, bytesMax } = effect;
        this.#after(1 + this.random.whole(5), () => {
          if (server.life !== life) return;
          this.step(server, { type: "fetched", context, entries: readEntries(server, first, last, bytesMax) });
        });
        return;
      }
      case "snapshot-wanted":
        this.#after(5 + this.random.whole(50), () => {
          if (server.life === life) this.#fetchSnapshot(server, effect.snapshot);
        });
        return;
      case "read-ready":
        for (const id of effect.ids) {
          const read = this.reads.get(id)!;
          ensure(read.done === null, `read ${id} ends twice`);
          ensure(effect.index >= read.floor, `read ${id} may be answered at ${effect.index}, before ${read.floor}`);
          read.done = "ready";
        }
        return;
      case "read-refused":
        for (const id of effect.ids) this.reads.get(id)!.done = effect.reason;
        return;
      case "refused":
        server.refusals.push(effect.reason);
        return;
      default:
    }
  }

  // The newest snapshot that anybody reachable has, the one asked for or a later one.
  #fetchSnapshot(server: Server, wanted: Snapshot): void {
    for (const other of this.servers.values()) {
      const image = other.disk.durable;
      if (other === server || other.group === null || this.isCut(other.name, server.name)) continue;
      if (image.baseIndex < wanted.index) continue;
      const snapshot = {
        index: logIndex(image.baseIndex),
        term: image.memory().baseTerm,
        configuration: image.baseConfiguration,
        configurationIndex: logIndex(image.baseConfigurationIndex),
      };
      const { memory } = server.disk;
      const isReadable = snapshot.index < memory.lastIndex && !memory.isDamaged(snapshot.index + 1);
      const joins = isReadable ? memory.termAt(snapshot.index) === snapshot.term : null;
      this.step(server, { type: "snapshot-received", snapshot, joins });
      return;
    }
    this.step(server, { type: "snapshot-failed" });
  }

  #flush(server: Server): void {
    if (server.isFlushing) return;
    server.isFlushing = true;
    const life = server.life;
    const settle = (): void => {
      if (server.life !== life) return;
      if (server.diskHangs) {
        this.#after(50, settle);
        return;
      }
      server.isFlushing = false;
      const ticket = server.disk.flush(count);
      if (!server.disk.isIdle) this.#flush(server);
      if (ticket !== null) this.step(server, { type: "durable", ticket });
    };
    // What is written in one step goes in one write; what comes later is the next.
    let count = 0;
    this.#after(0, () => {
      if (server.life !== life) return;
      count = server.disk.waiting;
      this.#after(this.weather.flushMs * (0.5 + this.random.whole(100) / 100), settle);
    });
  }

  #send(from: Server, message: Message): void {
    this.messages++;
    if (message.type === "append") for (const { payload } of message.entries) this.entryBytesSent += payload.length;
    const times = this.#chance(this.weather.doublePercent) ? 2 : 1;
    for (let i = 0; i < times; i++) {
      if (this.#chance(this.weather.dropPercent)) continue;
      this.#carry(from, nodeOf(message.to), (to) => this.step(to, { type: "received", message }));
    }
  }

  #carry(from: Server, toName: NodeName, deliver: (to: Server) => void): void {
    const late = this.weather.lateMs > 0 && this.#chance(10) ? this.random.whole(this.weather.lateMs) : 0;
    const delay = this.weather.delayMs * (0.5 + this.random.whole(100) / 100) + late;
    if (this.isCut(from.name, toName)) return;
    const arrive = (): void => {
      const to = this.servers.get(toName);
      if (to?.group === null || to === undefined || this.isCut(from.name, toName)) return;
      if (to.pausedUntil > this.now) this.#at(to.pausedUntil, arrive);
      else deliver(to);
    };
    this.#after(delay, arrive);
  }

  // Heartbeats between servers, and what they say of the group.

  #heartbeat(server: Server, life: number): void {
    if (server.life !== life || server.group === null) return;
    if (server.pausedUntil > this.now) {
      // It hears what has come meanwhile before it judges who is silent.
      this.#at(server.pausedUntil + 1, () => this.#heartbeat(server, life));
      return;
    }
    for (const [peer, { at, isLost }] of server.heard) {
      if (!isLost && this.now - at >= silentAfterMs) this.#lose(server, peer, false);
    }
    const { role, term, authoritative } = server.group.standing;
    const leads = role === "leader" || role === "elected";
    const hears = new Set([...server.heard].filter(([, { isLost }]) => !isLost).map(([peer]) => peer));
    const { replica, diskHangs } = server;
    for (const other of this.servers.values()) {
      if (other === server || this.#chance(this.weather.dropPercent)) continue;
      this.#carry(server, other.name, (to) => {
        if (to.life === 0) return;
        // Another process than before: the one before is lost.
        if ((to.heard.get(replica)?.life ?? life) !== life) this.#lose(to, replica, true);
        const before = to.heard.get(replica);
        const supports = hears.has(to.replica) && !diskHangs;
        to.heard.set(replica, { at: this.now, isLost: false, supports, life });
        if (before === undefined || before.isLost || before.supports !== supports) {
          const supportedUntil = supports ? Infinity : this.now;
          const said = { peer: replica, heardUntil: Infinity, supportedUntil, diskOk: !diskHangs, crashed: false };
          this.step(to, { type: "liveness", ...said });
        }
        const voucher = leads && !diskHangs ? `${term}/${String(authoritative)}` : "";
        if ((to.vouchers.get(replica) ?? "") === voucher) return;
        to.vouchers.set(replica, voucher);
        const vouchedTerm = leads && !diskHangs ? term : (0 as typeof term);
        this.step(to, { type: "vouched", leader: replica, term: vouchedTerm, authoritative });
      });
    }
    this.#after(heartbeatMs, () => this.#heartbeat(server, life));
  }

  #lose(server: Server, peer: ReplicaId, crashed: boolean): void {
    const heard = server.heard.get(peer);
    server.heard.set(peer, { at: this.now, life: heard?.life ?? 0, isLost: true, supports: false });
    server.vouchers.delete(peer);
    const said = { peer, heardUntil: this.now, supportedUntil: this.now, diskOk: true, crashed };
    this.step(server, { type: "liveness", ...said });
  }

  // The shell's timer: at the end of the turn, or when it is due.
  #setTimer(server: Server): void {
    const due = Math.max(server.group!.dueAt, this.now);
    if (due >= server.tickAt && server.tickAt > this.now) return;
    if (due === Infinity) return;
    const life = server.life;
    server.tickAt = due;
    this.#at(due, () => {
      if (server.life !== life || server.tickAt !== due) return;
      server.tickAt = Infinity;
      this.step(server, { type: "tick" });
    });
  }

  #chance(percent: number): boolean {
    return percent > 0 && this.random.whole(100) < percent;
  }

  after(delayMs: number, run: () => void): void {
    this.#after(delayMs, run);
  }

  #after(delayMs: number, run: () => void): void {
    this.#at(this.now + delayMs, run);
  }

  #at(at: number, run: () => void): void {
    const task = { at, order: this.#order++, run };
    const queue = this.#queue;
    let place = queue.push(task) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(task, queue[parent]!)) break;
      queue[place] = queue[parent]!;
      place = parent;
    }
    queue[place] = task;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop()!;
    if (queue.length === 0) return;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= queue.length) break;
      if (child + 1 < queue.length && isBefore(queue[child + 1]!, queue[child]!)) child++;
      if (!isBefore(queue[child]!, last)) break;
      queue[place] = queue[child]!;
      place = child;
    }
    queue[place] = last;
  }
}

interface Task {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

function isBefore(left: Task, right: Task): boolean {
  return left.at < right.at || (left.at === right.at && left.order < right.order);
}

function bytesOf(ascii: string): Uint8Array {
  return Uint8Array.from(ascii, (character) => character.charCodeAt(0));
}

function readEntries(server: Server, first: number, last: number, bytesMax: number): Entry[] | null {
  const image = server.disk.memory;
  if (first <= image.baseIndex || first > image.lastIndex || last > image.soundThrough) return null;
  const found: Entry[] = [];
  let bytes = 0;
  for (let index = first; index <= last; index++) {
    const entry = image.entryAt(index);
    if (entry === null) break;
    bytes += entry.payload.length;
    if (found.length > 0 && bytes > bytesMax) break;
    found.push(entry);
  }
  return found;
}
