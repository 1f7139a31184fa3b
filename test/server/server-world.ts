import { seededRandom } from "../../src/base/random.ts";
import type { Clock } from "../../src/base/clock.ts";
import type { ClusterId, Incarnation, NodeName, UserName } from "../../src/base/ids.ts";
import { defaultLimits, type Limits } from "../../src/base/limits.ts";
import { nodeClock } from "../../src/platform/node/node-clock.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";
import type { ServerFrame } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import type { ClientLink, ClientSession } from "../../src/server/client-link.ts";
import type { Log } from "../../src/server/log.ts";
import type { Server } from "../../src/server/server.ts";
import type { ServerSettings } from "../../src/server/server-settings.ts";
import { startServer } from "../../src/server/start-server.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { openDisk } from "../../src/storage/disk.ts";

export const quietLog: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };

export interface WorldOptions {
  limits?: Partial<Limits>;
  settings?: Partial<ServerSettings>;
  fileSystem?: SimFileSystem;
  acceptLoss?: boolean;
  log?: Log;
  /** Else the machine's. */
  clock?: Clock;
}

/** A server on a simulated disk. */
export async function startTestServer(
  options: WorldOptions = {},
): Promise<{ server: Server; fileSystem: SimFileSystem }> {
  const random = seededRandom(7);
  const fileSystem = options.fileSystem ?? new SimFileSystem({ random });
  const server = await startServer(
    {
      disk: openDisk(fileSystem.attach()),
      clock: options.clock ?? nodeClock(),
      random,
      log: options.log ?? quietLog,
      limits: { ...defaultLimits, segmentBytes: 4 * 1024 * 1024, diskReserveBytes: 1, ...options.limits },
      node: "n1" as NodeName,
      owner: {
        cluster: "00112233445566778899aabbccddeeff" as ClusterId,
        incarnation: "ffeeddccbbaa99887766554433221100" as Incarnation,
      },
      acceptLoss: options.acceptLoss ?? false,
      flush: { afterMs: 0, afterBytes: 0 },
    },
    {
      timeZone: "UTC",
      retentionDays: 0,
      push: { afterMs: 0, afterCount: 0 },
      flushAfterMs: 0,
      flushAfterBytes: 0,
      advertise: [],
      openNames: true,
      authenticate: async ({ user }) => ({ user: user ?? ("anybody" as UserName), expiresAt: null }),
      onFailed: () => undefined,
      ...options.settings,
    },
  );
  return { server, fileSystem };
}

/** One client that speaks JSON lines without a socket. */
export class TestClient implements ClientLink {
  readonly door = "tcp";
  readonly format = "json-lines";
  readonly address: string;
  readonly frames: ServerFrame[] = [];
  closed: { code: number; reason: string } | null = null;
  /** What the client's side has not taken yet, while it does not read. */
  queued = 0;
  reading = true;
  #session: ClientSession;
  #nextId = 1;
  #waiting: { matches: (frame: ServerFrame) => boolean; resolve: (frame: ServerFrame) => void }[] = [];

  constructor(server: Server, address = "127.0.0.1") {
    this.address = address;
    const session = server.connections.connect(this);
    if (session instanceof Error) throw session;
    this.#session = session;
  }

  static async open(server: Server, user: string): Promise<TestClient> {
    const client = new TestClient(server);
    client.say({ t: "hello", v: 1, user });
    await client.next((frame) => frame.t === "welcome");
    return client;
  }

  say(frame: object): void {
    this.#session.received(utf8(JSON.stringify(frame)));
  }

  /** Asks and answers with the `ok` or `err` of the same id. */
  async ask(frame: object): Promise<ServerFrame & Record<string, unknown>> {
    const id = this.#nextId++;
    this.say({ ...frame, id });
    const answer = await this.next((one) => "id" in one && one.id === id);
    return answer;
  }

  /** The first frame, of those that came or are to come, that matches. It is taken out. */
  next(matches: (frame: ServerFrame) => boolean): Promise<ServerFrame> {
    const at = this.frames.findIndex(matches);
    if (at >= 0) return Promise.resolve(this.frames.splice(at, 1)[0]!);
    return new Promise((resolve) => {
      this.#waiting.push({ matches, resolve });
    });
  }

  messages(room: string): string[] {
    return this.frames.flatMap((frame) =>
      frame.t === "msg" && frame.room === room ? [`${frame.seq} ${frame.body}`] : [],
    );
  }

  write(pieces: readonly Uint8Array[]): void {
    const text = Buffer.concat(pieces).toString("utf8");
    if (!this.reading) this.queued += text.length;
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const frames: (ServerFrame | { t: "refused" })[] = [];
      decodeJson("server", line, { ...defaultLimits, frameBytesMax: 100_000_000 }, frames as never);
      for (const frame of frames as ServerFrame[]) {
        const at = this.#waiting.findIndex(({ matches }) => matches(frame));
        if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(frame);
        else this.frames.push(frame);
      }
    }
  }

  /** Takes what was queued. */
  drain(): void {
    this.queued = 0;
    this.#session.drained();
  }

  queuedBytes(): number {
    return this.queued;
  }
  pause(): void {}
  resume(): void {}
  close(code: number, reason: string): void {
    this.closed = { code, reason };
  }
  destroy(): void {
    this.closed = { code: 1006, reason: "" };
  }
  hangUp(): void {
    this.#session.closed();
  }
}
