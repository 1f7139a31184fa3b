import type { Clock } from "../../src/base/clock.ts";
import { millis } from "../../src/base/units.ts";
import type { SimStream } from "../../src/sim/connection-end.ts";
import type { SimHost } from "../../src/sim/host.ts";
import type { Network } from "../../src/sim/network.ts";
import type { SeenMessage } from "../../src/sim/room-history.ts";
import type { SendOutcome, SimClient, SubscriptionSink } from "../../src/sim/sim-client.ts";

/**
 * A chat server and client of two hundred lines, right as long as no bug is asked for, so that the simulated world can
 * be tried before and apart from the real ones. Its "disk" is a variable that outlives the process.
 */
export interface ToyBugs {
  /** Repeats are stored again. */
  readonly forgetsIds?: boolean;
  /** What was stored in the last 20 ms is gone after a crash. */
  readonly losesTail?: boolean;
  /** Every 50th message is not pushed to followers. */
  readonly skipsPush?: boolean;
  /** Time comes from the wall clock as it is. */
  readonly trustsClock?: boolean;
  /** Every 40th message is put before the one that precedes it, for those who read it later. */
  readonly reorders?: boolean;
  /** A new connection is followed from one place too early. */
  readonly resumesTooEarly?: boolean;
}

export interface ToyState {
  readonly rooms: Map<string, SeenMessage[]>;
  /** When each message was stored, by the true time. */
  readonly storedAt: Map<SeenMessage, number>;
}

type Request = { readonly id: number; readonly user: string } & (
  | { readonly t: "send"; readonly message: Omit<SeenMessage, "seq" | "ts" | "epoch"> }
  | { readonly t: "sub"; readonly room: string; readonly after: number | "latest" }
  | { readonly t: "unsub"; readonly room: string }
  | {
      readonly t: "hist";
      readonly room: string;
      readonly before?: number;
      readonly after?: number;
      readonly around?: number;
      readonly limit: number;
    }
  | { readonly t: "lookup"; readonly room: string; readonly from: string; readonly cid: string }
  | { readonly t: "nothing" }
);

type Answer =
  | { readonly t: "ok"; readonly id: number; readonly value: unknown }
  | { readonly t: "msg"; readonly id: number; readonly message: SeenMessage }
  | { readonly t: "caught-up"; readonly id: number; readonly seq: number };

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value)}\n`);

/** Calls `take` for each whole line. */
function lines(take: (value: never) => void): (bytes: Uint8Array) => void {
  let rest = new Uint8Array(0);
  return (bytes) => {
    const whole = new Uint8Array(rest.length + bytes.length);
    whole.set(rest);
    whole.set(bytes, rest.length);
    let from = 0;
    for (let end = whole.indexOf(10, rest.length); end >= 0; end = whole.indexOf(10, from)) {
      const line = new TextDecoder().decode(whole.subarray(from, end));
      from = end + 1;
      take(JSON.parse(line) as never);
    }
    rest = whole.slice(from);
  };
}

export function serveToy(options: {
  host: SimHost;
  network: Network;
  state: ToyState;
  bugs: ToyBugs;
  trueNow: () => number;
}): void {
  const { host, network, state, bugs, trueNow } = options;
  const followers = new Map<SimStream, Map<string, { id: number; position: number }>>();
  if (bugs.losesTail === true && host.life > 1) {
    for (const log of state.rooms.values())
      while (log.length > 0 && trueNow() - state.storedAt.get(log.at(-1)!)! < 800) log.pop();
  }
  const logOf = (room: string): SeenMessage[] => {
    let log = state.rooms.get(room);
    if (log === undefined) state.rooms.set(room, (log = []));
    return log;
  };
  let stored = 0;
  let pushed = 0;
  const push = (): void => {
    for (const [stream, rooms] of followers) {
      for (const [room, following] of rooms) {
        const log = logOf(room);
        for (; following.position < log.length; following.position++) {
          if (bugs.skipsPush === true && ++pushed % 50 === 0) continue;
          stream.write(encode({ t: "msg", id: following.id, message: log[following.position]! }));
        }
      }
    }
  };
  const store = (message: Omit<SeenMessage, "seq" | "ts" | "epoch">): SendOutcome => {
    const log = logOf(message.room);
    const found =
      bugs.forgetsIds === true ? undefined : log.find((one) => one.cid === message.cid && one.from === message.from);
    if (found !== undefined) {
      const same = found.body === message.body && found.kind === message.kind && found.ref === message.ref;
      if (!same) return { outcome: "refused", code: "id_conflict" };
      return { outcome: "stored", seq: found.seq, ts: found.ts, epoch: found.epoch, dup: true };
    }
    const wall = host.clock.wall();
    const ts = bugs.trustsClock === true ? wall : Math.max(wall, log.at(-1)?.ts ?? 0);
    const entry: SeenMessage = { ...message, seq: log.length + 1, ts, epoch: 1 };
    log.push(entry);
    state.storedAt.set(entry, trueNow());
    if (bugs.reorders === true && ++stored % 40 === 0 && log.length > 2) {
      const [one, other] = log.splice(-2);
      log.push({ ...other!, seq: one!.seq, ts: one!.ts }, { ...one!, seq: other!.seq, ts: other!.ts });
    }
    return { outcome: "stored", seq: entry.seq, ts, epoch: 1, dup: false };
  };
  const handle = (stream: SimStream, request: Request): void => {
    const ok = (value: unknown): void => stream.write(encode({ t: "ok", id: request.id, value }));
    switch (request.t) {
      case "send":
        ok(store(request.message));
        host.clock.defer(push);
        return;
      case "sub": {
        const log = logOf(request.room);
        const asked = request.after === "latest" ? log.length : request.after;
        ok({ first: 1, head: log.length, after: asked });
        const position = bugs.resumesTooEarly === true ? Math.max(0, asked - 1) : asked;
        followers.get(stream)?.set(request.room, { id: request.id, position });
        push();
        stream.write(encode({ t: "caught-up", id: request.id, seq: log.length }));
        return;
      }
      case "unsub":
        followers.get(stream)?.delete(request.room);
        ok(null);
        return;
      case "hist": {
        const log = logOf(request.room);
        const { limit } = request;
        let from = request.after ?? Math.max(0, (request.around ?? 1) - 1 - Math.floor(limit / 2));
        let to = from + limit;
        if (request.before !== undefined) {
          to = Math.max(0, Math.min(log.length, request.before - 1));
          from = Math.max(0, to - limit);
        }
        ok({ items: log.slice(from, to), first: 1, head: log.length });
        return;
      }
      case "lookup": {
        const log = logOf(request.room);
        ok({
          seq: log.find((one) => one.cid === request.cid && one.from === request.from)?.seq ?? null,
          head: log.length,
        });
        return;
      }
      default:
        ok(null);
    }
  };
  network.listen(host, 1, (stream) => {
    followers.set(stream, new Map());
    stream.onData = lines((request: Request) => handle(stream, request));
    stream.onClose = () => followers.delete(stream);
  });
}

interface Followed {
  readonly id: number;
  readonly room: string;
  readonly sink: SubscriptionSink;
  position: number | "latest";
}

/** Keeps one connection, sends everything unanswered again after a reconnect, in order, and resumes what it follows. */
export class ToyClient implements SimClient {
  readonly user: string;
  connections = 0;
  readonly #host: SimHost;
  readonly #clock: Clock;
  readonly #network: Network;
  #stream: SimStream | null = null;
  #heard = 0;
  #ids = 0;
  readonly #waiting = new Map<number, { readonly request: Request; readonly done: (value: never) => void }>();
  readonly #followed = new Map<number, Followed>();

  constructor(options: { user: string; host: SimHost; network: Network }) {
    this.user = options.user;
    this.#host = options.host;
    this.#clock = options.host.clock;
    this.#network = options.network;
    this.#dial();
    this.#watch();
  }

  send(message: Omit<SeenMessage, "seq" | "ts" | "epoch" | "from">): Promise<SendOutcome> {
    return this.#ask({ t: "send", message: { ...message, from: this.user } });
  }

  subscribe(
    request: { readonly room: string; readonly after: number | "latest" },
    sink: SubscriptionSink,
  ): { end(): void } {
    const id = ++this.#ids;
    const followed: Followed = { id, room: request.room, sink, position: request.after };
    this.#followed.set(id, followed);
    this.#follow(followed);
    return {
      end: () => {
        this.#followed.delete(id);
        void this.#ask({ t: "unsub", room: request.room });
      },
    };
  }

  history(request: {
    readonly room: string;
    readonly limit: number;
  }): Promise<{ items: SeenMessage[]; first: number; head: number }> {
    return this.#ask({ t: "hist", ...request });
  }

  lookup(request: {
    readonly room: string;
    readonly from: string;
    readonly cid: string;
  }): Promise<{ seq: number | null; head: number }> {
    return this.#ask({ t: "lookup", ...request });
  }

  markRead(): Promise<void> {
    return this.#ask({ t: "nothing" });
  }

  join(): Promise<void> {
    return this.#ask({ t: "nothing" });
  }

  leave(): Promise<void> {
    return this.#ask({ t: "nothing" });
  }

  invite(): Promise<void> {
    return this.#ask({ t: "nothing" });
  }

  remove(): Promise<void> {
    return this.#ask({ t: "nothing" });
  }

  async members(): Promise<{ members: string[]; more: boolean }> {
    await this.#ask({ t: "nothing" });
    return { members: [], more: false };
  }

  reconnect(): void {
    this.#stream?.destroy();
    this.#dial();
  }

  readSlowly(isSlow: boolean): void {
    if (isSlow) this.#stream?.pauseReading();
    else this.#stream?.resumeReading();
  }

  #ask<T>(request: Record<string, unknown> & { readonly t: string }): Promise<T> {
    const id = ++this.#ids;
    const full = { ...request, id, user: this.user } as unknown as Request;
    return new Promise<T>((resolve) => {
      this.#waiting.set(id, { request: full, done: resolve });
      this.#stream?.write(encode(full));
    });
  }

  #follow(followed: Followed): void {
    this.#stream?.write(
      encode({ t: "sub", id: followed.id, user: this.user, room: followed.room, after: followed.position }),
    );
  }

  #dial(): void {
    this.connections++;
    const stream = this.#network.dial(this.#host, { host: "server", port: 1 });
    this.#stream = stream;
    this.#heard = this.#clock.now();
    for (const { request } of this.#waiting.values()) stream.write(encode(request));
    for (const followed of this.#followed.values()) {
      if (followed.position !== "latest") followed.sink.resumed(followed.position);
      this.#follow(followed);
    }
    stream.onData = lines((answer: Answer) => {
      if (this.#stream === stream) this.#take(answer);
    });
    stream.onClose = () => {
      if (this.#stream === stream) this.#clock.after(millis(50), () => this.#stream === stream && this.#dial());
    };
  }

  /** A connection that is silent for 2 s is given up. */
  #watch(): void {
    this.#clock.after(millis(500), () => {
      if (this.#clock.now() - this.#heard > 2_000) this.reconnect();
      else this.#stream?.write(encode({ t: "nothing", id: 0, user: this.user }));
      this.#watch();
    });
  }

  #take(answer: Answer): void {
    this.#heard = this.#clock.now();
    const followed = this.#followed.get(answer.id);
    switch (answer.t) {
      case "ok": {
        const waiting = this.#waiting.get(answer.id);
        this.#waiting.delete(answer.id);
        waiting?.done(answer.value as never);
        if (followed === undefined) return;
        const { first, head, after } = answer.value as { first: number; head: number; after: number };
        if (followed.position === "latest") {
          followed.position = after;
          followed.sink.answered({ first, head });
        }
        return;
      }
      case "msg":
        followed?.sink.message(answer.message);
        if (followed !== undefined) followed.position = answer.message.seq;
        return;
      default:
        followed?.sink.caughtUp(answer.seq);
    }
  }
}
