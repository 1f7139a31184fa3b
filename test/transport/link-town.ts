import type { ClusterId, Incarnation, NodeName } from "../../src/base/ids.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { type Millis, millis } from "../../src/base/units.ts";
import type { VersionRange } from "../../src/transport/greeting.ts";
import { defaultLinkLimits, type LinkLimits } from "../../src/transport/link-limits.ts";
import type { ConnectionId, LinkEffect, LinkEvent, SentFrame } from "../../src/transport/link-events.ts";
import { PeerLinks } from "../../src/transport/peer-links.ts";
import type { StreamEnd } from "../../src/transport/peer-stream.ts";

type Item = { bytes: Uint8Array } | { end: StreamEnd };

/** One direction of one connection: what is on its way, in order. */
interface Channel {
  readonly to: Citizen;
  readonly connection: ConnectionId;
  items: Item[];
  isOpen: boolean;
}

export interface Citizen {
  readonly name: NodeName;
  readonly links: PeerLinks;
  readonly news: LinkEffect[];
  readonly out: Map<ConnectionId, Channel>;
  readonly dirty: Set<ConnectionId>;
  isRunning: boolean;
}

export const cluster = "c1".repeat(16) as ClusterId;
export const incarnationOf = (name: string): Incarnation =>
  Buffer.from(name.padEnd(16, "_")).toString("hex") as Incarnation;

export const named = (name: string): NodeName => name as NodeName;

/**
 * Servers' links joined by channels that deliver when the test, or chance, says so: every interleaving of what is on its
 * way is one that may happen.
 */
export class LinkTown {
  readonly random: Random;
  readonly citizens = new Map<string, Citizen>();
  readonly limits: LinkLimits;
  now: Millis = millis(1_000);
  #channels: Channel[] = [];

  constructor(options: { seed: number; limits?: Partial<LinkLimits> }) {
    this.random = seededRandom(options.seed);
    this.limits = { ...defaultLinkLimits, ...options.limits };
  }

  /** Starts a server; again under the same name: another run, to whom the old connections are dead. */
  start(
    name: string,
    options: { cluster?: ClusterId | null; incarnation?: Incarnation; versions?: VersionRange } = {},
  ): Citizen {
    const links = new PeerLinks({
      name: named(name),
      incarnation: options.incarnation ?? incarnationOf(name),
      cluster: options.cluster === undefined ? cluster : options.cluster,
      limits: this.limits,
      random: this.random,
      ...(options.versions === undefined ? {} : { versions: options.versions }),
    });
    const citizen: Citizen = {
      name: named(name),
      links,
      news: [],
      out: new Map(),
      dirty: new Set(),
      isRunning: true,
    };
    this.citizens.set(name, citizen);
    return citizen;
  }

  /** The process dies; its machine tells the others. */
  kill(citizen: Citizen): void {
    citizen.isRunning = false;
    for (const channel of citizen.out.values()) {
      channel.items = channel.items.slice(0, this.random.whole(channel.items.length + 1));
      channel.items.push({ end: "reset" });
      channel.isOpen = false;
    }
  }

  /** One stream breaks; each side is told when chance lets it know. */
  breakLink(citizen: Citizen, other: string): boolean {
    const connection = citizen.links.connectionOf(named(other));
    const out = connection === null ? undefined : citizen.out.get(connection);
    if (connection === null || out === undefined) return false;
    for (const channel of [out, this.#reverse(citizen, connection)]) {
      if (channel === undefined) continue;
      channel.items = channel.items.slice(0, this.random.whole(channel.items.length + 1));
      channel.items.push({ end: "reset" });
      channel.isOpen = false;
    }
    return true;
  }

  /** A stream that is dead for one side and stands for the other. */
  breakFor(citizen: Citizen, other: string): void {
    const connection = citizen.links.connectionOf(named(other))!;
    for (const channel of [citizen.out.get(connection), this.#reverse(citizen, connection)]) {
      if (channel !== undefined) channel.isOpen = false;
    }
    this.step(citizen, { type: "closed", now: this.now, connection, why: "reset" });
  }

  know(citizen: Citizen, other: string): void {
    this.perform(citizen, citizen.links.addPeer(this.now, named(other), { host: other, port: 1 }));
  }

  step(citizen: Citizen, event: LinkEvent): void {
    this.perform(citizen, citizen.links.step(event));
  }

  perform(citizen: Citizen, effects: readonly LinkEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "dial":
          this.#dial(citizen, effect.connection, effect.address.host);
          break;
        case "write":
          this.#send(citizen, effect.connection, { bytes: effect.bytes });
          break;
        case "end":
        case "destroy": {
          this.#send(citizen, effect.connection, { end: effect.type === "end" ? "closed" : "reset" });
          const channel = citizen.out.get(effect.connection);
          if (channel !== undefined) channel.isOpen = false;
          break;
        }
        case "output":
          citizen.dirty.add(effect.connection);
          break;
        case "frame":
          citizen.news.push({ ...effect, payload: effect.payload.slice() });
          break;
        default:
          citizen.news.push(effect);
      }
    }
  }

  /** What a server may write goes out. */
  flush(citizen: Citizen, bufferedBytes = 0): void {
    for (const connection of citizen.dirty) {
      const pieces = citizen.links.takeOutput(this.now, connection, bufferedBytes);
      for (const bytes of pieces) this.#send(citizen, connection, { bytes });
      this.perform(citizen, citizen.links.roomAgain(connection));
    }
    citizen.dirty.clear();
  }

  send(citizen: Citizen, to: string, frame: Partial<SentFrame>): string {
    const outcome = citizen.links.send(named(to), {
      lane: "append",
      kind: 1,
      payload: new Uint8Array(0),
      tag: 0,
      subject: null,
      ...frame,
    });
    const connection = citizen.links.connectionOf(named(to));
    if (connection !== null) citizen.dirty.add(connection);
    return outcome;
  }

  /** Something that is on its way arrives, drawn by chance; false when nothing is. */
  deliverOne(): boolean {
    this.#channels = this.#channels.filter((channel) => channel.isOpen || channel.items.length > 0);
    const busy = this.#channels.filter((channel) => channel.items.length > 0);
    const channel = busy[this.random.whole(Math.max(1, busy.length))];
    if (channel === undefined) return false;
    const item = channel.items.shift()!;
    const { to, connection } = channel;
    if (!to.isRunning) return true;
    if ("end" in item) {
      this.step(to, { type: "closed", now: this.now, connection, why: item.end });
      const back = to.out.get(connection);
      if (back?.isOpen === true) {
        back.isOpen = false;
        back.items.push({ end: "closed" });
      }
    } else {
      this.step(to, { type: "received", now: this.now, connection, bytes: item.bytes });
    }
    return true;
  }

  /** Everything arrives and everything is written, until nothing is on its way. */
  settle(): void {
    for (let steps = 0; ; steps++) {
      if (steps > 100_000) throw new Error("it does not come to rest");
      for (const citizen of this.citizens.values()) this.flush(citizen);
      if (!this.deliverOne()) return;
    }
  }

  /** Time passes, in ticks of 20 ms, with all that is due. */
  pass(forMs: number): void {
    for (let left = forMs; left > 0; left -= 20) {
      this.now = millis(this.now + 20);
      for (const citizen of this.citizens.values()) {
        if (citizen.isRunning) this.step(citizen, { type: "tick", now: this.now });
      }
      this.settle();
    }
  }

  frames(citizen: Citizen): Extract<LinkEffect, { type: "frame" }>[] {
    return citizen.news.filter((one) => one.type === "frame");
  }

  told<T extends LinkEffect["type"]>(citizen: Citizen, type: T): Extract<LinkEffect, { type: T }>[] {
    return citizen.news.filter((one): one is Extract<LinkEffect, { type: T }> => one.type === type);
  }

  #dial(from: Citizen, connection: ConnectionId, host: string): void {
    const target = this.citizens.get(host);
    if (target?.isRunning !== true) {
      this.#channels.push({ to: from, connection, items: [{ end: "refused" }], isOpen: false });
      return;
    }
    const far = target.links.nextConnection();
    from.out.set(connection, { to: target, connection: far, items: [], isOpen: true });
    target.out.set(far, { to: from, connection, items: [], isOpen: true });
    this.#channels.push(from.out.get(connection)!, target.out.get(far)!);
    this.step(target, { type: "accepted", now: this.now, connection: far, address: from.name });
    this.step(from, { type: "opened", now: this.now, connection });
  }

  #send(citizen: Citizen, connection: ConnectionId, item: Item): void {
    const channel = citizen.out.get(connection);
    if (channel?.isOpen === true) channel.items.push(item);
  }

  #reverse(citizen: Citizen, connection: ConnectionId): Channel | undefined {
    return this.#channels.find((channel) => channel.to === citizen && channel.connection === connection);
  }
}
