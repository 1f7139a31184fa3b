import type { Clock, Timer } from "../../src/base/clock.ts";
import type { NodeName, UserName } from "../../src/base/ids.ts";
import { checkLimits, defaultLimits, type Limits } from "../../src/base/limits.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { type Millis, millis, type Timestamp, timestamp } from "../../src/base/units.ts";
import type { PeerGround } from "../../src/server/peers.ts";
import type { Server } from "../../src/server/server.ts";
import { startServer } from "../../src/server/start-server.ts";
import type { CrashMode } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openDataDirectory } from "../../src/storage/data-directory.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { defaultLinkLimits } from "../../src/transport/link-limits.ts";
import { defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";
import { TestClient } from "../server/server-world.ts";
import { hold, Ledger, type Sent } from "./server-ledger.ts";

/** Bounds so small that a short life rolls segments, seals chunks, drops ids from the window and fills rings. */
const tinyLimits: Limits = {
  ...defaultLimits,
  bodyBytesMax: 512,
  frameBytesMax: 8 * 1024,
  entryBytesMax: 1024,
  segmentBytes: 10 * 1024,
  chunkBytes: 6 * 1024,
  unsealedBytesMax: 24 * 1024,
  uncommittedBytesMax: 8 * 1024,
  idWindowEntries: 16,
  ringSlots: 8,
  ringBytesMax: 4 * 1024,
  histItemsMax: 50,
  socketQueueBytesMax: 64 * 1024,
  diskReserveBytes: 16 * 1024,
};
checkLimits(tinyLimits);

/** Time that moves only from timer to timer. What is deferred runs at the end of the current microtask. */
class StepClock implements Clock {
  #now = 0;
  #wall: number;
  #timers: { at: number; task: () => void }[] = [];

  constructor(wall: number) {
    this.#wall = wall;
  }

  now(): Millis {
    return millis(this.#now);
  }

  wall(): Timestamp {
    return timestamp(this.#wall + this.#now);
  }

  after(delay: Millis, task: () => void): Timer {
    const timer = { at: this.#now + delay, task };
    let i = this.#timers.length;
    while (i > 0 && this.#timers[i - 1]!.at > timer.at) i--;
    this.#timers.splice(i, 0, timer);
    return {
      cancel: () => {
        const at = this.#timers.indexOf(timer);
        if (at >= 0) this.#timers.splice(at, 1);
      },
    };
  }

  defer(task: () => void): void {
    queueMicrotask(task);
  }

  /** Moves to the next timer that is due by `until`, and runs it. False, and time is `until`, when there is none. */
  step(until: number): boolean {
    const next = this.#timers[0];
    if (next === undefined || next.at > until) {
      this.#now = Math.max(this.#now, until);
      return false;
    }
    this.#timers.shift();
    this.#now = Math.max(this.#now, next.at);
    next.task();
    return true;
  }
}

/** Until every promise that can settle without time has settled. */
function quiet(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** A clock step longer than this without an answer: the server hangs. */
const patienceMs = 120_000;
const shortPatienceMs = 10_000;

/** A new one each time: one for all would keep everything that ever waited for it. */
const never = (): Promise<never> =>
  new Promise(() => {
    return;
  });

/** The process came to its end by itself: its journal failed, and it says so. */
export class ProcessEnded extends Error {}

export interface StartOptions {
  readonly acceptLoss?: boolean;
  readonly openRooms?: ReadonlySet<string>;
  readonly retentionDays?: number;
  /** Others may be added, and none is listed (`--topology leader`). @defaultValue false */
  readonly isOneOfMany?: boolean;
}

/** Others may come, and none is known. */
const nobodyElse: PeerGround = {
  dialler: {
    dial: () => {
      throw new Error("there is nobody to dial");
    },
  },
  addresses: new Map([["n1" as NodeName, { host: "127.0.0.1", port: 1 }]]),
  limits: defaultLinkLimits,
  timing: defaultLivenessTiming,
};

/**
 * One server on a simulated disk through many lives, its clients, and a ledger of what they were told. Every step of a
 * story goes through it; once the process has died no step settles any more.
 */
export class ServerLife {
  readonly fileSystem: SimFileSystem;
  readonly random: Random;
  readonly limits: Limits;
  ledger = new Ledger();
  clock: StepClock;
  #server: Server | null = null;
  #clients: TestClient[] = [];
  /** Whose sessions are open in this life. */
  readonly #byUser = new Map<string, TestClient>();
  /** Called once when the server has not answered for ten seconds: a disk that is full for so long gets space again. */
  onPatienceLost: (() => void) | null = null;
  /** Told by the server of this life that its journal failed. */
  failures: Error[] = [];
  #wall: number;
  /** Counts processes: what is under way in an older one never settles. */
  #generation = 0;

  constructor(options: { seed: number; wall: number; fileSystem?: SimFileSystem; limits?: Partial<Limits> }) {
    this.random = seededRandom(options.seed);
    this.fileSystem = options.fileSystem ?? new SimFileSystem({ random: seededRandom(options.seed + 99) });
    this.limits = { ...tinyLimits, ...options.limits };
    this.#wall = options.wall;
    this.clock = new StepClock(this.#wall);
  }

  get server(): Server {
    return this.#server!;
  }

  get wall(): number {
    return this.clock.wall();
  }

  /** Another world that begins where this one is: the same files, all of them durable, and the same promises. */
  fork(seed: number): ServerLife {
    const fork = new ServerLife({ seed, wall: this.wall, limits: this.limits });
    for (const [file, bytes] of this.fileSystem.files()) fork.fileSystem.plant(file, bytes);
    fork.ledger = this.ledger.copy();
    return fork;
  }

  /** This moment of the world again, with another disk and before the next start. */
  withDisk(fileSystem: SimFileSystem, seed: number): ServerLife {
    const other = new ServerLife({ seed, wall: this.wall, limits: this.limits, fileSystem });
    other.ledger = this.ledger.copy();
    return other;
  }

  /** The wall clock of the next life is this much later: the server was off. */
  pass(ms: number): void {
    this.#wall = this.wall + ms;
    this.clock = new StepClock(this.#wall);
  }

  /** Starts the server like the real program does. Rejects when it refuses to start. */
  async start(options: StartOptions = {}): Promise<Server> {
    this.pass(1);
    this.failures = [];
    this.#clients = [];
    this.#byUser.clear();
    this.#generation++;
    const server = await this.until(this.#start(options, this.#generation));
    this.#server = server;
    return server;
  }

  async #start(
    { acceptLoss = false, openRooms, retentionDays = 0, isOneOfMany = false }: StartOptions,
    generation: number,
  ): Promise<Server> {
    const disk = openDisk(this.fileSystem.attach());
    const node = "n1" as NodeName;
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const directory = await openDataDirectory({
      disk,
      lock: { acquire: () => Promise.resolve(), release: () => Promise.resolve() },
      random: this.random,
      node,
      groups: 1,
      found: true,
      now: this.clock.wall(),
    });
    const { cluster, incarnation } = directory.identity;
    return startServer(
      {
        disk,
        clock: this.clock,
        random: this.random,
        log,
        limits: this.limits,
        node,
        owner: { cluster, incarnation },
        acceptLoss,
        ...(openRooms === undefined ? {} : { openRooms }),
        ...(isOneOfMany ? { peers: nobodyElse } : {}),
        flush: { afterMs: 0, afterBytes: 0 },
      },
      {
        timeZone: "UTC",
        retentionDays,
        push: { afterMs: 0, afterCount: 0 },
        flushAfterMs: 0,
        flushAfterBytes: 0,
        advertise: [],
        openNames: true,
        authenticate: ({ user }) => Promise.resolve({ user: user ?? ("nobody" as UserName), expiresAt: null }),
        onFailed: (cause) => {
          if (generation === this.#generation) this.failures.push(cause);
        },
      },
    );
  }

  /** Settles like `work` does, letting time go on meanwhile. Never settles once the process has died. */
  async until<T>(work: Promise<T>): Promise<T> {
    const generation = this.#generation;
    const progress = { settled: false };
    const noted = work.finally(() => {
      progress.settled = true;
    });
    noted.catch(() => undefined);
    const deadline = this.clock.now() + patienceMs;
    await quiet();
    while (!progress.settled) {
      if (!this.#lives(generation)) return never();
      if (this.failures.length > 0) throw new ProcessEnded();
      if (this.clock.now() >= deadline) throw new Error("the server does not answer");
      if (this.onPatienceLost !== null && this.clock.now() >= deadline - patienceMs + shortPatienceMs) {
        this.onPatienceLost();
        this.onPatienceLost = null;
      }
      this.clock.step(deadline);
      await quiet();
    }
    return this.#lives(generation) ? noted : never();
  }

  #lives(generation: number): boolean {
    return generation === this.#generation && this.fileSystem.running;
  }

  /** Lets time go on. */
  async advance(ms: number): Promise<void> {
    const generation = this.#generation;
    const end = this.clock.now() + ms;
    await quiet();
    while (this.#lives(generation) && this.clock.step(end)) await quiet();
    if (!this.#lives(generation)) await never();
    if (this.failures.length > 0) throw new ProcessEnded();
  }

  /** Chunks and snapshots that wait are written. */
  async sealed(): Promise<void> {
    await this.until(this.server.sealer.idle());
  }

  async stop(): Promise<void> {
    await this.until(this.server.stop(0));
    this.#notice();
  }

  /** Ends the process at any moment, with what that leaves on the disk. */
  crash(mode: CrashMode, random: Random = this.random): void {
    this.#notice();
    this.#generation++;
    this.fileSystem.crash(random, mode);
  }

  /** After the process died: all that clients were told has reached the ledger. */
  async silence(): Promise<void> {
    await quiet();
    this.#notice();
  }

  #notice(): void {
    for (const client of this.#clients) this.ledger.notice(client.frames);
    this.#clients = [];
    this.#byUser.clear();
  }

  // Clients

  async client(user: string): Promise<TestClient> {
    const open = this.#byUser.get(user);
    if (open !== undefined) return open;
    const client = new TestClient(this.server);
    this.#clients.push(client);
    this.#byUser.set(user, client);
    client.say({ t: "hello", v: 1, user });
    await this.until(client.next((frame) => frame.t === "welcome"));
    return client;
  }

  /** Asks as `user`, and answers with the `ok` or `err`. */
  async ask(user: string, frame: object): Promise<Answer> {
    const client = await this.client(user);
    return this.until(client.ask(frame) as Promise<Answer>);
  }

  /** Sends messages of one user, pipelined on one connection; answers their answers, which the ledger has noted. */
  async send(
    user: string,
    ...messages: readonly { room?: string; to?: string; cid: string; body: string; prev?: string }[]
  ) {
    const client = await this.client(user);
    const answers = messages.map(async (message) => {
      const sent = this.ledger.sending(user, message);
      const answer = (await client.ask(frameOf(sent))) as Answer;
      this.ledger.answered(sent, answer);
      return answer;
    });
    return this.until(Promise.all(answers));
  }

  async join(user: string, room: string, isPrivate = false): Promise<void> {
    const answer = await this.ask(user, { t: "join", room, private: isPrivate });
    if (answer.t === "ok") this.ledger.joined(user, room);
    else this.ledger.refused(answer);
  }

  async mark(user: string, room: string, seq: number): Promise<void> {
    const answer = await this.ask(user, { t: "read", room, seq });
    if (answer.t === "ok") this.ledger.marked(user, room, seq);
    else this.ledger.refused(answer);
  }

  async subscribe(user: string, ...rooms: readonly string[]): Promise<void> {
    for (const room of rooms) {
      const answer = await this.ask(user, { t: "sub", room, after: 0 });
      if (answer.t !== "ok") this.ledger.refused(answer);
    }
  }

  // The check

  /**
   * Reads everything, as its readers do, and holds it against the ledger. What was read is promised from here on.
   */
  async check(): Promise<void> {
    hold(this.server.ready.ok, () => `the server is not ready: ${String(this.server.ready.reason)}`);
    await this.checkReading();
  }

  /** The same of a server that takes nothing. */
  async checkReading(): Promise<void> {
    for (const room of this.ledger.roomNames()) await this.#checkRoom(room);
    for (const user of this.ledger.users()) {
      const answer = await this.ask(user, { t: "rooms" });
      const rooms = answer["rooms"] as { room: string; head: number; read: number }[];
      for (const { room, read } of this.ledger.belongsTo(user)) {
        const told = rooms.find((one) => one.room === room);
        hold(told !== undefined, () => `${user} belongs to ${room}, and is not told so`);
        hold(told!.read >= read, () => `${user} had read ${room} up to ${read}, not ${told!.read}`);
      }
    }
  }

  async #checkRoom(room: string): Promise<void> {
    const items: object[] = [];
    let first = 1;
    let head = 0;
    for (let after = 0; ; ) {
      const page = await this.ask("alice", { t: "hist", room, after, limit: 50 });
      if (page.t === "err") {
        hold(page["code"] === "not_found", () => `the history of ${room}: ${JSON.stringify(page)}`);
        break;
      }
      first = page["first"] as number;
      head = page["head"] as number;
      const got = page["items"] as { seq: number }[];
      items.push(...got);
      if (page["more"] !== true) break;
      after = got.at(-1)!.seq;
    }
    this.ledger.checkRoom(room, { first, head, items: items as never });
  }

  /**
   * Sends again whatever was sent and not removed, in its order: what is stored is a repeat with its first seq, the rest
   * is stored. Like the SDK, a client that is told `order` sends again from there.
   */
  async resend(): Promise<void> {
    for (const user of this.ledger.senders()) {
      const client = await this.client(user);
      let left = this.ledger.guardedOf(user);
      for (let round = 0; left.length > 0; round++) {
        hold(round < 5, () => `${user} is told to try again and again`);
        const refused: Sent[] = [];
        const answers = left.map(async (sent) => {
          const answer = (await client.ask(frameOf(sent))) as Answer;
          if (answer["code"] === "order" || answer["code"] === "overloaded") refused.push(sent);
          else this.ledger.resent(sent, answer);
        });
        await this.until(Promise.all(answers));
        left = refused;
        // As long as a server may ask for.
        if (left.length > 0) await this.advance(1_000);
      }
    }
  }
}

// A repeat says what the first attempt said.
function frameOf({ to, room, cid, body, prev }: Sent): object {
  return { t: "send", ...(to === undefined ? { room } : { to }), cid, body, ...(prev === undefined ? {} : { prev }) };
}

export type Answer = { t: "ok" | "err" } & Record<string, unknown>;
