import { execFileSync, fork } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "../../../platform/node/free-ports.ts";
import { Connection } from "../connection.ts";
import { natsRequest } from "../wires/nats.ts";
import { endOfLine, respCommand } from "../wires/resp.ts";
import { synodGreeting, synodHead } from "../wires/synod-greeting.ts";
import type { LoadClient } from "../job.ts";
import type { WireName } from "../wires/wire.ts";
import { listens, untilReady } from "./server-process.ts";
import type { ServerProcesses, StartedProcess } from "./server-process.ts";

/** What a system needs to start: processes that will be ended, and where the project stands. */
export interface World {
  readonly processes: ServerProcesses;
  readonly root: string;
  readonly signal: AbortSignal;
}

/** A server that runs, on the loopback, with a fresh directory. */
export interface RunningSystem {
  readonly pids: readonly number[];
  /** The port of each wire it speaks. */
  readonly ports: Readonly<Partial<Record<WireName, number>>>;
  /** Ports of several servers, over which those who publish are spread; without it they are at the wire's port. */
  readonly spreadPorts?: readonly number[] | null;
  /** How many messages of the room it has stored; `null` when it stores none. */
  stored(): Promise<number | null>;
  stop(): Promise<void>;
}

/** A server in one way of running it. */
export interface System {
  readonly name: string;
  /** Who speaks these wires in the generator's processes. @defaultValue "frames" */
  readonly client?: LoadClient;
  /** What it speaks with those who publish and wait for the answer; `null` when it does not answer. */
  readonly publishWire: WireName | null;
  /** What it speaks with readers, and with the one who publishes to them. */
  readonly fanOut: { readonly readerWire: WireName; readonly publisherWire: WireName } | null;
  /** What its idle connections speak, and in how many rooms each is. */
  readonly idle: { readonly wire: WireName; readonly roomsPerConnection: number } | null;
  start(world: World, directory: string): Promise<RunningSystem>;
}

export const room = "bench";
export const host = "127.0.0.1";

/** Where a program of the machine is; `null` when it is not installed. */
export function programPath(name: string): string | null {
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const path = join(folder, name);
    if (folder !== "" && existsSync(path)) return path;
  }
  return null;
}

/** A connection for some questions, ended when `use` settles. */
export async function withConnection<T>(port: number, use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await Connection.open({ host, port, readInto: Buffer.alloc(64 * 1024) });
  try {
    return await use(connection);
  } finally {
    connection.end();
  }
}

export type AppendFsync = "always" | "everysec" | "no";

/** Redis Streams, one `XADD` a message; `appendfsync always` answers after the flush, the others before. */
export function redisStreams(appendFsync: AppendFsync): System {
  return {
    name: `Redis Streams, appendfsync ${appendFsync}`,
    publishWire: "redis-stream",
    fanOut: null,
    idle: null,
    start: async (world, directory) => {
      const durable = ["--appendonly", "yes", "--appendfsync", appendFsync, "--auto-aof-rewrite-percentage", "0"];
      const { started, port } = await startRedis(world, directory, durable);
      return {
        pids: [started.pid],
        ports: { "redis-stream": port },
        stored: () => withConnection(port, (connection) => redisNumber(connection, "XLEN", room)),
        stop: () => world.processes.end(started),
      };
    },
  };
}

/** Redis PUBLISH and SUBSCRIBE; nothing is stored. */
export function redisPubSub(): System {
  return {
    name: "Redis pub/sub",
    publishWire: null,
    fanOut: { readerWire: "redis-pubsub", publisherWire: "redis-pubsub" },
    idle: null,
    start: async (world, directory) => {
      const { started, port } = await startRedis(world, directory, ["--appendonly", "no"]);
      return {
        pids: [started.pid],
        ports: { "redis-pubsub": port },
        stored: () => Promise.resolve(null),
        stop: () => world.processes.end(started),
      };
    },
  };
}

async function startRedis(
  world: World,
  directory: string,
  durable: readonly string[],
): Promise<{ started: StartedProcess; port: number }> {
  const port = (await freePorts(1))[0]!;
  const place = ["--port", String(port), "--bind", host, "--dir", directory, "--daemonize", "no"];
  const limits = ["--save", "", "--maxclients", "15000", "--tcp-backlog", "4096"];
  const started = world.processes.start("redis-server", [...place, ...limits, ...durable], directory);
  await untilReady(started, "redis-server", world.signal, () => listens(port));
  return { started, port };
}

async function redisNumber(connection: Connection, ...words: string[]): Promise<number> {
  connection.write(respCommand(...words));
  let number = Number.NaN;
  await connection.expect(words.join(" "), (bytes, length) => {
    const stop = endOfLine(bytes, 0, length);
    if (stop === -1) return 0;
    number = Number(Buffer.from(bytes.subarray(1, stop - 2)).toString());
    return stop;
  });
  return number;
}

/** JetStream with one replica in a file; `sync: "always"` only where `natsSyncsAlways` says that the version has it. */
export function jetStream(sync: "default" | "always"): System {
  return {
    name: `JetStream R1, ${sync === "always" ? "sync_interval always" : "default (flushed every 2 min)"}`,
    publishWire: "nats-jetstream",
    fanOut: null,
    idle: null,
    start: async (world, directory) => {
      const { started, port } = await startNats(world, directory, jetStreamBlock(directory, sync));
      const configuration = { name: "BENCH", subjects: [room], retention: "limits", storage: "file", num_replicas: 1 };
      const limits = { max_consumers: -1, max_msgs: -1, max_bytes: -1, max_age: 0, discard: "old" };
      const created = await withConnection(port, (connection) =>
        natsRequest(connection, "$JS.API.STREAM.CREATE.BENCH", JSON.stringify({ ...configuration, ...limits })),
      );
      if (created.includes('"error"')) throw new Error(`JetStream made no stream: ${created}`);
      return {
        pids: [started.pid],
        ports: { "nats-jetstream": port },
        stored: async () => {
          const info = await withConnection(port, (connection) =>
            natsRequest(connection, "$JS.API.STREAM.INFO.BENCH", ""),
          );
          return (JSON.parse(info) as { state: { messages: number } }).state.messages;
        },
        stop: () => world.processes.end(started),
      };
    },
  };
}

const jetStreamBlock = (directory: string, sync: "default" | "always"): string =>
  `jetstream { store_dir: "${join(directory, "jetstream")}"${sync === "always" ? ", sync_interval: always" : ""} }\n`;

/** Whether the installed nats-server knows `sync_interval: always`; asked by letting it check such a configuration. */
export function natsSyncsAlways(directory: string): boolean {
  const file = join(directory, "sync-always.conf");
  writeFileSync(file, jetStreamBlock(directory, "always"));
  try {
    execFileSync("nats-server", ["-t", "-c", file], { stdio: "pipe" });
    return true;
  } catch (cause) {
    if ((cause as { status?: unknown }).status === 1) return false;
    throw cause;
  }
}

/** NATS without JetStream; nothing is stored. */
export function natsCore(): System {
  return {
    name: "NATS core",
    publishWire: null,
    fanOut: { readerWire: "nats-core", publisherWire: "nats-core" },
    idle: null,
    start: async (world, directory) => {
      const { started, port } = await startNats(world, directory, "");
      return {
        pids: [started.pid],
        ports: { "nats-core": port },
        stored: () => Promise.resolve(null),
        stop: () => world.processes.end(started),
      };
    },
  };
}

async function startNats(
  world: World,
  directory: string,
  configuration: string,
): Promise<{ started: StartedProcess; port: number }> {
  const port = (await freePorts(1))[0]!;
  const file = join(directory, "nats.conf");
  writeFileSync(file, `host: "${host}"\nport: ${port}\n${configuration}`);
  const started = world.processes.start("nats-server", ["-c", file], directory);
  await untilReady(started, "nats-server", world.signal, () => listens(port));
  return { started, port };
}

/** Socket.IO's own server in Node. Bare, nobody is in a room: what its connections cost at least. */
export function socketIo(options: { bare: boolean }): System {
  return {
    name: options.bare ? "Socket.IO, bare" : "Socket.IO",
    publishWire: null,
    fanOut: { readerWire: "socket-io", publisherWire: "socket-io" },
    idle: { wire: "socket-io", roomsPerConnection: 0 },
    start: async (world, directory) => {
      const child = fork(join(world.root, "scripts/bench-socket-io.mjs"), options.bare ? [] : [room], {
        cwd: directory,
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      });
      const started = world.processes.adopt(child);
      let port: number | null = null;
      child.on("message", (message: { port: number }) => {
        port = message.port;
      });
      const ready = await untilReady(started, "Socket.IO", world.signal, () => Promise.resolve(port));
      return {
        pids: [started.pid],
        ports: { "socket-io": ready },
        stored: () => Promise.resolve(null),
        stop: () => world.processes.end(started),
      };
    },
  };
}

/** What `synod serve` writes into its directory once it listens. */
export interface SynodPorts {
  readonly port: number;
  readonly tcpPort: number;
  readonly adminPort: number;
}

/** Where Synod's command is once it is built: the file that sizes the thread pool, where there is one, before the rest. */
export function synodCommand(root: string): string {
  const sizesPool = join(root, "dist/apps/cli/synod.cjs");
  return existsSync(sizesPool) ? sizesPool : join(root, "dist/apps/cli/main.js");
}

export async function startSynod(
  world: World,
  directory: string,
): Promise<{ started: StartedProcess; ports: SynodPorts }> {
  const data = join(directory, "synod");
  mkdirSync(data, { recursive: true });
  const place = ["--data", data, "--host", host, "--port", "0", "--tcp-port", "0", "--admin-port", "0"];
  const file = join(data, "ports.json");
  // That of a server which was killed names ports that nobody listens on.
  rmSync(file, { force: true });
  const started = world.processes.start(process.execPath, [synodCommand(world.root), "serve", ...place], directory);
  const ports = await untilReady(started, "synod serve", world.signal, async () => {
    const text = existsSync(file) ? readFileSync(file, "utf8") : "";
    if (!text.trimEnd().endsWith("}")) return null;
    const found = JSON.parse(text) as SynodPorts;
    return (await listens(found.tcpPort)) === null ? null : found;
  });
  return { started, ports };
}

/** How the clients of a Synod speak to it. */
const synodNames = { binary: "Synod", json: "Synod, JSON frames", sdk: "Synod, SDK" } as const;

/** Synod, one server, acknowledging after the flush, deduplication and rooms on; `sdk`: binary, by the shipped SDK. */
export function synod(clients: keyof typeof synodNames): System {
  const encoding = clients === "json" ? "json" : "binary";
  return {
    name: synodNames[clients],
    client: clients === "sdk" ? "sdk" : "frames",
    publishWire: encoding === "binary" ? "synod-binary" : "synod-json",
    fanOut: encoding === "binary" ? { readerWire: "synod-websocket", publisherWire: "synod-binary" } : null,
    idle: clients === "binary" ? { wire: "synod-websocket", roomsPerConnection: 10 } : null,
    start: async (world, directory) => {
      const { started, ports } = await startSynod(world, directory);
      return {
        pids: [started.pid],
        ports: { "synod-binary": ports.tcpPort, "synod-json": ports.tcpPort, "synod-websocket": ports.port },
        stored: () =>
          withConnection(ports.tcpPort, async (connection) => {
            await synodGreeting(connection, { user: "bench-checker", token: null });
            return await synodHead(connection, room);
          }),
        stop: () => world.processes.end(started),
      };
    },
  };
}
