import type { Clock } from "../../src/base/clock.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { type Millis, millis, type Timestamp } from "../../src/base/units.ts";
import type { PeerStream, PeerStreamReceiver, StreamEnd } from "../../src/transport/peer-stream.ts";
import { mortalClock, type PeerHost, type PeerWorld } from "./peer-world.ts";

interface Task {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
  isOff: boolean;
}

/**
 * Streams in memory, under a clock of their own. Every piece of news on its way is a task; among those that are due,
 * chance decides, but a stream keeps its order. Bytes arrive in one piece for each write, or chopped.
 */
export class MemoryWorld implements PeerWorld {
  readonly random: Random;
  readonly #listeners = new Map<string, { accept: (stream: PeerStream) => void; secret: string }>();
  #now = 1_000;
  #order = 0;
  #tasks: Task[] = [];
  readonly #delayMsMax: number;
  readonly #chopped: boolean;

  constructor(options: { seed: number; delayMsMax?: number; chopped?: boolean }) {
    this.random = seededRandom(options.seed);
    this.#delayMsMax = options.delayMsMax ?? 3;
    this.#chopped = options.chopped ?? false;
  }

  get now(): Millis {
    return millis(this.#now);
  }

  host(name: string, secret = "one secret"): PeerHost {
    let isAlive = true;
    const streams: PeerStream[] = [];
    const clock: Clock = {
      now: () => this.now,
      wall: () => this.#now as Timestamp,
      after: (delay, task) => {
        const asked = this.ask(delay, task);
        return { cancel: () => void (asked.isOff = true) };
      },
      defer: (task) => void this.ask(0, task),
    };
    return {
      clock: mortalClock(clock, () => isAlive),
      random: this.random,
      dialler: {
        dial: ({ host }) => {
          const stream = this.#dial(name, host, secret);
          streams.push(stream);
          return stream;
        },
      },
      listen: (onStream) => {
        const accept = (stream: PeerStream): void => {
          streams.push(stream);
          onStream(stream);
        };
        this.#listeners.set(name, { accept, secret });
        return Promise.resolve({ host: name, port: 1 });
      },
      crash: () => {
        isAlive = false;
        this.#listeners.delete(name);
        for (const stream of streams) stream.destroy();
        return Promise.resolve();
      },
      stopListening: () => {
        this.#listeners.delete(name);
        return Promise.resolve();
      },
    };
  }

  ask(delay: number, task: () => void): Task {
    const asked = { at: this.#now + delay, order: this.#order++, task, isOff: false };
    // The next one is the last: whatever is due no later stands behind.
    let [low, high] = [0, this.#tasks.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#tasks[middle]!.at > asked.at) low = middle + 1;
      else high = middle;
    }
    this.#tasks.splice(low, 0, asked);
    return asked;
  }

  /** The next thing happens. False: nothing is left. */
  step(): boolean {
    const next = this.#tasks.pop();
    if (next === undefined) return false;
    this.#now = Math.max(this.#now, next.at);
    if (!next.isOff) next.task();
    return true;
  }

  async until(done: () => boolean): Promise<void> {
    for (let steps = 0; !done(); steps++) {
      if (steps > 100_000 || !this.step()) throw new Error(`it did not come to that in ${steps} steps`);
      // What waits for a promise goes on.
      await Promise.resolve();
    }
  }

  /** Everything that is due within this time. */
  pass(forMs: number): void {
    const until = this.#now + forMs;
    while ((this.#tasks.at(-1)?.at ?? Infinity) <= until) this.step();
    this.#now = until;
  }

  rest(): Promise<void> {
    this.pass(200);
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #dial(from: string, to: string, secret: string): PeerStream {
    const near = new MemoryEnd(this, to, this.#chopped);
    this.ask(this.delay(), () => {
      if (near.isOver) return;
      const listener = this.#listeners.get(to);
      if (listener === undefined || listener.secret !== secret) {
        near.over(listener === undefined ? "refused" : "unauthenticated");
        return;
      }
      const far = new MemoryEnd(this, from, this.#chopped);
      near.peer = far;
      far.peer = near;
      listener.accept(far);
      near.receiver?.opened();
    });
    return near;
  }

  delay(): number {
    return this.random.whole(this.#delayMsMax * 10 + 1) / 10;
  }
}

class MemoryEnd implements PeerStream {
  readonly address: string;
  readonly #world: MemoryWorld;
  readonly #chopped: boolean;
  receiver: PeerStreamReceiver | null = null;
  peer: MemoryEnd | null = null;
  isOver = false;
  #hasEnded = false;
  #arrivesAt = 0;
  #onTheWay = 0;

  constructor(world: MemoryWorld, address: string, chopped: boolean) {
    this.#world = world;
    this.address = address;
    this.#chopped = chopped;
  }

  get bufferedBytes(): number {
    return this.#onTheWay;
  }

  attach(receiver: PeerStreamReceiver): void {
    this.receiver = receiver;
  }

  write(pieces: readonly Uint8Array[]): void {
    if (this.isOver || this.#hasEnded) return;
    for (const piece of pieces) {
      const size = this.#chopped ? 300 + this.#world.random.whole(3_000) : piece.length;
      for (let at = 0; at < piece.length; at += size) this.#send(piece.slice(at, at + size));
    }
  }

  end(): void {
    if (this.isOver || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#later((peer) => {
      peer.over("closed");
      this.over("closed");
    });
  }

  destroy(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.receiver = null;
    this.#later((peer) => peer.over("reset"));
  }

  over(why: StreamEnd): void {
    if (this.isOver) return;
    this.isOver = true;
    this.receiver?.closed(why);
  }

  #send(bytes: Uint8Array): void {
    this.#onTheWay += bytes.length;
    this.#later((peer) => {
      this.#onTheWay -= bytes.length;
      if (!peer.isOver) peer.receiver?.data(bytes);
      if (this.#onTheWay === 0 && !this.isOver) this.receiver?.drained();
    });
  }

  /** In the order in which it was asked for. */
  #later(task: (peer: MemoryEnd) => void): void {
    const { peer } = this;
    if (peer === null) return;
    this.#arrivesAt = Math.max(this.#arrivesAt, this.#world.now + this.#world.delay());
    this.#world.ask(this.#arrivesAt - this.#world.now, () => task(peer));
  }
}
