import type { Fault } from "../../src/base/error-codes.ts";
import type { Clock, Timer } from "../../src/base/clock.ts";
import { defaultLimits, type Limits } from "../../src/base/limits.ts";
import { millis, timestamp } from "../../src/base/units.ts";
import type { ConnectionPort } from "../../src/doors/server-port.ts";
import { encodeBinary } from "../../src/protocol/binary-codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import type { ClientLink, ClientSession } from "../../src/server/client-link.ts";
import type { Log } from "../../src/server/log.ts";

/** A clock that stands still until it is told to go on; deferred tasks run when the test says that the turn ended. */
export class ManualClock implements Clock {
  #now = 0;
  #timers: { due: number; task: () => void }[] = [];
  #deferred: (() => void)[] = [];

  now(): ReturnType<Clock["now"]> {
    return millis(this.#now);
  }

  wall(): ReturnType<Clock["wall"]> {
    return timestamp(1_764_000_000_000 + this.#now);
  }

  after(delay: number, task: () => void): Timer {
    const timer = { due: this.#now + delay, task };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  get timerCount(): number {
    return this.#timers.length;
  }

  endTurn(): void {
    for (let task = this.#deferred.shift(); task !== undefined; task = this.#deferred.shift()) task();
  }

  advance(by: number): void {
    this.#now += by;
    const due = this.#timers.filter((timer) => timer.due <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.due > this.#now);
    for (const timer of due) timer.task();
    this.endTurn();
  }
}

/** The machine's own clock, for tests over real sockets. */
export const realClock: Clock = {
  now: () => millis(performance.now()),
  wall: () => timestamp(Date.now()),
  after: (delay, task) => {
    const timer = setTimeout(task, delay);
    return { cancel: () => clearTimeout(timer) };
  },
  defer: (task) => void setImmediate(task),
};

/** Remembers what was logged. */
export class RememberingLog implements Log {
  readonly events: string[] = [];

  info(event: string): void {
    this.events.push(event);
  }

  warn(event: string): void {
    this.events.push(event);
  }

  error(event: string): void {
    this.events.push(event);
  }
}

/** What the session of one connection was told. `onReceived` is the test's. */
export class FakeSession implements ClientSession {
  readonly link: ClientLink;
  readonly received_: Uint8Array[] = [];
  drainedCount = 0;
  closedCount = 0;
  onReceived: ((bytes: Uint8Array, session: FakeSession) => void) | null = null;

  constructor(link: ClientLink) {
    this.link = link;
  }

  received(bytes: Uint8Array): void {
    // They are lent.
    this.received_.push(bytes.slice());
    this.onReceived?.(bytes, this);
  }

  inputEnded(): void {
    this.link.close(1000, "");
  }

  drained(): void {
    this.drainedCount++;
  }

  closed(): void {
    this.closedCount++;
  }

  /** What came, as texts. */
  get texts(): string[] {
    return this.received_.map((bytes) => new TextDecoder().decode(bytes));
  }

  /** All bytes that came, one behind the other. */
  get bytes(): Uint8Array {
    return concat(this.received_);
  }

  /** Answers a frame, wrapped as the link's format wants it. */
  say(frame: Parameters<typeof encodeJson<"server">>[1]): void {
    this.link.write([wrapped(this.link.format, frame)]);
  }
}

/** Takes connections and remembers them. */
export class FakeServer implements ConnectionPort {
  readonly sessions: FakeSession[] = [];
  refusal: Fault | null = null;
  onSession: ((session: FakeSession) => void) | null = null;

  connect(link: ClientLink): ClientSession | Fault {
    if (this.refusal !== null) return this.refusal;
    const session = new FakeSession(link);
    this.sessions.push(session);
    this.onSession?.(session);
    return session;
  }

  get only(): FakeSession {
    const [session] = this.sessions;
    if (session === undefined || this.sessions.length > 1) throw new Error(`${this.sessions.length} sessions`);
    return session;
  }
}

export const smallLimits: Limits = {
  ...defaultLimits,
  bodyBytesMax: 1_000,
  frameBytesMax: 12_000,
  helloBytesMax: 200,
  socketQueueBytesMax: 4_096,
};

function wrapped(format: ClientLink["format"], frame: Parameters<typeof encodeJson<"server">>[1]): Uint8Array {
  const utf8 = new TextEncoder();
  switch (format) {
    case "json-lines":
      return utf8.encode(`${encodeJson("server", frame)}\n`);
    case "event-stream":
      return utf8.encode(`event: ${frame.t}\ndata: ${encodeJson("server", frame)}\n\n`);
    case "binary-stream":
      return encodeBinary("server", frame);
    case "json-websocket":
      return headed(0x81, utf8.encode(encodeJson("server", frame)));
    case "binary-websocket":
      return headed(0x82, encodeBinary("server", frame));
  }
}

/** An unmasked WebSocket frame. */
export function headed(first: number, payload: Uint8Array): Uint8Array {
  const length = payload.length;
  const header = length < 126 ? [first, length] : [first, 126, length >> 8, length & 255];
  return concat([Uint8Array.from(header), payload]);
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Waits, turn by turn, until something is so. The test's own timeout ends it when it never is. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo())
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
}
