import { assert } from "../base/assert.ts";
import { fraction, type Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import type { CrashKind, SimHost } from "./host.ts";
import { toMicros } from "./host.ts";
import { ConnectionEnd, type EndPort, type SimStream } from "./connection-end.ts";
import { calmLink, type LinkConditions } from "./link.ts";
import { exponential, Pipe } from "./pipe.ts";
import type { Scheduler } from "./scheduler.ts";

export interface Listener {
  /** Stops accepting; connections that stand stay. */
  close(): void;
}

interface Connection {
  readonly ends: readonly [ConnectionEnd, ConnectionEnd];
}

/**
 * The network of a simulated world: ordered streams of bytes between hosts, and everything that can go wrong with them
 * except what TCP rules out. Bytes arrive late, in pieces, or not at all; they never arrive twice or out of order.
 *
 * A killed process: its listeners are gone at once and its peers get a part of what was under way, then a reset. A host
 * without power: peers learn nothing until the host is back and answers what they sent with a reset.
 */
export class Network implements EndPort {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #listeners = new Map<string, { readonly host: SimHost; readonly onStream: (stream: SimStream) => void }>();
  readonly #links = new Map<string, Link>();
  readonly #known = new Set<SimHost>();
  #conditions: LinkConditions = calmLink;
  /** Replaced as a whole when one is forgotten, so that a loop over it may end connections. */
  #connections: Connection[] = [];

  /** `random` belongs to the network alone. */
  constructor(options: { readonly scheduler: Scheduler; readonly random: Random }) {
    this.#scheduler = options.scheduler;
    this.#random = options.random;
  }

  /** Accepts connections to a port. The listener vanishes when the host crashes. Throws when the port is taken. */
  listen(host: SimHost, port: number, onStream: (stream: SimStream) => void): Listener {
    const address = `${host.name}:${port}`;
    assert(!this.#listeners.has(address), `${address} is taken`);
    assert(host.alive, `${host.name} is down`);
    this.#know(host);
    const listener = { host, onStream };
    this.#listeners.set(address, listener);
    return {
      close: () => {
        if (this.#listeners.get(address) === listener) this.#listeners.delete(address);
      },
    };
  }

  /**
   * Opens a connection. Ends with `onClose("refused")` when nobody listens there; on a blocked link, or towards a host
   * without power, nothing happens until that changes: the caller needs a timeout of its own.
   */
  dial(from: SimHost, to: { readonly host: string; readonly port: number }): SimStream {
    const target = this.#scheduler.hostNamed(to.host);
    this.#know(from);
    this.#know(target);
    assert(from.alive, `${from.name} is down`);
    const near = new ConnectionEnd(from, target, this);
    this.#knock(near, `${to.host}:${to.port}`);
    return near;
  }

  /** Sets what links are like. Without hosts: all links that have no conditions of their own. */
  shape(conditions: Partial<LinkConditions>, link: { readonly from: string; readonly to: string } | null = null): void {
    if (link === null) {
      this.#conditions = { ...this.#conditions, ...conditions };
      return;
    }
    const shaped = this.#link(link.from, link.to);
    shaped.conditions = { ...(shaped.conditions ?? this.#conditions), ...conditions };
  }

  /** Nothing moves in this direction for so long; then everything goes on where it was. */
  clog(link: { readonly from: string; readonly to: string; readonly forMs: number }): void {
    const clogged = this.#link(link.from, link.to);
    clogged.cloggedUntil = Math.max(clogged.cloggedUntil, this.#scheduler.nowMicros() + toMicros(link.forMs));
  }

  /** Nothing moves in this direction until `unblock`; one way of a partition. Blocks add up: each needs its own `unblock`. */
  block(link: { readonly from: string; readonly to: string }): void {
    this.#link(link.from, link.to).blocks++;
  }

  unblock(link: { readonly from: string; readonly to: string }): void {
    const blocked = this.#link(link.from, link.to);
    if (blocked.blocks === 0) return;
    blocked.blocks--;
    if (blocked.blocks === 0) this.#poke();
  }

  /** Cuts every connection between two hosts: a part of what is under way arrives, then both ends get a reset. */
  cut(one: string, other: string): void {
    for (const { ends } of this.#connections) {
      if (!joins(ends, one, other)) continue;
      ends[0].cut();
      ends[1].cut();
    }
  }

  /**
   * A bit of the next piece that goes this way over a sealed stream is turned. The seal finds that, as TLS would: nothing
   * of the piece is given to anybody, and the connection is reset. TCP itself sees to streams without a seal.
   */
  flip(link: { readonly from: string; readonly to: string }): void {
    this.#link(link.from, link.to).flips++;
  }

  /** Makes every present connection silently dead in this direction, for good: neither side is told. */
  halfOpen(link: { readonly from: string; readonly to: string }): void {
    for (const { ends } of this.#connections) {
      for (const end of ends) {
        if (end.host.name === link.from && end.remote === link.to) end.fallSilent();
      }
    }
  }

  /**
   * All links are calm and open again. Connections that died silently stay dead, as they would, unless `resetDead`
   * asks that both ends be told.
   */
  heal(options: { readonly resetDead: boolean; readonly conditions?: LinkConditions }): void {
    this.#links.clear();
    this.#conditions = options.conditions ?? calmLink;
    if (options.resetDead) {
      for (const { ends } of this.#connections) {
        if (!ends[0].isDead && !ends[1].isDead) continue;
        for (const end of ends) end.reset();
      }
    }
    this.#poke();
  }

  /** How many connections stand or are being closed. */
  get connectionCount(): number {
    return this.#connections.length;
  }

  // What follows is for the ends of connections.

  pipeTo(receiver: ConnectionEnd): Pipe {
    const from = receiver.remote;
    const to = receiver.host.name;
    // Asked at every write and delivery: the key is made once.
    const key = linkKey(from, to);
    return new Pipe(
      {
        random: this.#random,
        nowMicros: () => this.#scheduler.nowMicros(),
        conditions: () => this.#links.get(key)?.conditions ?? this.#conditions,
        stuckUntilMicros: () => stuckUntil(this.#links.get(key)),
        deliver: (bytes) => {
          const link = this.#links.get(key);
          if (link !== undefined && link.flips > 0 && receiver.isSealed) {
            link.flips--;
            receiver.sealBroken();
          } else receiver.received(this.#arrived(bytes, link?.conditions ?? this.#conditions));
        },
        ended: (how) => receiver.ended(how),
        drained: () => receiver.peer?.drained(),
      },
      receiver.host,
    );
  }

  /** A connection whose both ends are done is forgotten. */
  forget(end: ConnectionEnd): void {
    this.#connections = this.#connections.filter(({ ends }) => !ends.includes(end) || !ends.every((one) => one.isDone));
  }

  /** Tells an end that its peer is gone, after the time a packet needs; or when the link lets it through. */
  resetLater(end: ConnectionEnd): void {
    const from = end.remote;
    const to = end.host.name;
    const conditions = this.#conditionsOf(from, to);
    const life = end.host.life;
    const delay = conditions.latencyMs + exponential(this.#random, conditions.jitterMeanMs);
    this.#scheduler.after(millis(delay), "reset", () => {
      if (end.host.life !== life || this.#stuckUntilMicros(from, to) === Infinity) return;
      end.host.input(0, "reset", () => end.ended("reset"));
    });
  }

  #conditionsOf(from: string, to: string): LinkConditions {
    return this.#links.get(linkKey(from, to))?.conditions ?? this.#conditions;
  }

  #stuckUntilMicros(from: string, to: string): number {
    return stuckUntil(this.#links.get(linkKey(from, to)));
  }

  /** What arrives: traced, and with a bit flipped where that is asked for. */
  #arrived(bytes: Uint8Array, { corruptPerPiece }: LinkConditions): Uint8Array {
    this.#scheduler.traceBytes(bytes);
    if (corruptPerPiece > 0 && fraction(this.#random) < corruptPerPiece) {
      const at = this.#random.whole(bytes.length);
      bytes[at] = bytes[at]! ^ (1 << this.#random.whole(8));
      this.#scheduler.trace("corrupted", at);
    }
    return bytes;
  }

  #link(from: string, to: string): Link {
    // Asked for by name, so that a misspelt host fails here.
    const key = linkKey(this.#scheduler.hostNamed(from).name, this.#scheduler.hostNamed(to).name);
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { conditions: null, cloggedUntil: 0, blocks: 0, flips: 0 };
      this.#links.set(key, link);
    }
    return link;
  }

  /** A SYN on its way; asked again every second while the link or the host keeps silent, as TCP does. */
  #knock(near: ConnectionEnd, address: string): void {
    const { host } = near;
    const target = near.remoteHost;
    const life = host.life;
    const out = this.#conditionsOf(host.name, target.name);
    const travel = out.latencyMs + exponential(this.#random, out.jitterMeanMs);
    const stuck = this.#stuckUntilMicros(host.name, target.name) - this.#scheduler.nowMicros();
    const again = (): void => {
      this.#scheduler.after(millis(1_000), "dial", () => {
        if (!near.isDone && host.alive && host.life === life) this.#knock(near, address);
      });
    };
    if (stuck === Infinity) {
      again();
      return;
    }
    this.#scheduler.after(millis(travel + Math.max(0, stuck) / 1000), "dial", () => {
      if (near.isDone || !host.alive || host.life !== life) return;
      if (target.hasNoPower || this.#stuckUntilMicros(target.name, host.name) === Infinity) {
        again();
        return;
      }
      const back = this.#conditionsOf(target.name, host.name);
      const travelBack = back.latencyMs + exponential(this.#random, back.jitterMeanMs);
      const listener = this.#listeners.get(address);
      if (listener === undefined) {
        host.input(travelBack, "refused", () => near.refused());
        return;
      }
      // The kernel accepts; the process hears of it in its own time.
      const far = new ConnectionEnd(target, host, this);
      this.#connections.push({ ends: [near, far] });
      near.connect(far);
      far.connect(near);
      far.greeting = () => {
        if (this.#listeners.get(address) !== listener) {
          far.destroy();
          return;
        }
        listener.onStream(far);
        far.stand();
      };
      near.greeting = () => {
        near.stand();
        near.onOpen?.();
      };
      target.input(0, "accept", () => far.greet());
      host.input(travelBack, "open", () => near.greet());
    });
  }

  #poke(): void {
    for (const { ends } of this.#connections) {
      ends[0].outgoing.poke();
      ends[1].outgoing.poke();
    }
  }

  #know(host: SimHost): void {
    if (this.#known.has(host)) return;
    this.#known.add(host);
    host.onCrash((kind) => this.#crashed(host, kind));
    host.onStart(() => this.#started(host));
  }

  #crashed(host: SimHost, kind: CrashKind): void {
    for (const [address, listener] of this.#listeners) {
      if (listener.host === host) this.#listeners.delete(address);
    }
    for (const { ends } of this.#connections) {
      for (const end of ends) {
        if (end.host === host) end.crashed(kind);
      }
    }
  }

  /** A host that lost power answers again: connections of its past life that still have something to say get a reset. */
  #started(host: SimHost): void {
    for (const { ends } of this.#connections) {
      for (const end of ends) {
        if (end.host === host && end.lostPower && end.peer !== null && !end.peer.isDone) {
          if (end.peer.outgoing.waitingBytes > 0) this.resetLater(end.peer);
        }
      }
    }
  }
}

interface Link {
  conditions: LinkConditions | null;
  cloggedUntil: number;
  blocks: number;
  /** Sealed pieces that are to be damaged. */
  flips: number;
}

function linkKey(from: string, to: string): string {
  return `${from}>${to}`;
}

/** Until when nothing moves, in microseconds: Infinity while blocked, 0 for a link nothing was done to. */
function stuckUntil(link: Link | undefined): number {
  if (link === undefined) return 0;
  return link.blocks > 0 ? Infinity : link.cloggedUntil;
}

function joins(ends: readonly [ConnectionEnd, ConnectionEnd], one: string, other: string): boolean {
  return (
    (ends[0].host.name === one && ends[1].host.name === other) ||
    (ends[0].host.name === other && ends[1].host.name === one)
  );
}
