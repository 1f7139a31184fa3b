import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { mergePublishResults, perMillion } from "../bench.ts";
import type { MergedPublishResult } from "../bench.ts";
import { Connection } from "../connection.ts";
import { runJobs } from "../generator-processes.ts";
import { interruptible } from "../interruptible.ts";
import type { FanOutJob, FanOutResult, IdleJob, JobResult, PublishJob, PublishResult } from "../job.ts";
import { LatencyHistogram } from "../latency-histogram.ts";
import { nowMs } from "../load-clock.ts";
import type { StartedProcess } from "../peers/server-process.ts";
import { startSynod, synodCommand } from "../peers/systems.ts";
import type { SynodPorts, World } from "../peers/systems.ts";
import { residentBytesOf } from "../process-usage.ts";
import { synodGreeting, synodHead, synodNewest } from "../wires/synod-greeting.ts";
import { growthMarkdown, growthRow } from "./growth-report.ts";
import type { GrowthRow } from "./growth-report.ts";

const usage = `npm run bench:growth -- [--quick] [--only WORDS] [--json FILE] [-o json] [--data DIR]

  --quick        a hundredth of the messages, a tenth of the rooms: shows that it works, not how cost grows
  --only WORDS   of rooms, members, readers, history, memory, flood; comma-separated
  --json FILE    also writes the rows there
  -o json        prints JSON instead of Markdown
  --data DIR     where the server keeps its files; not in memory
`;

interface Sizes {
  readonly rooms: number;
  readonly members: number;
  readonly readers: readonly [few: number, many: number];
  readonly messages: readonly [few: number, some: number, many: number];
  readonly measureMs: number;
  /** How often few and many are measured in turns, where the difference looked for is small; the medians count. */
  readonly rounds: number;
  /** Messages written by a server that was started anew, before its memory is read. */
  readonly workMessages: number;
}

const fullSizes: Sizes = {
  rooms: 10_000,
  members: 5_000,
  readers: [100, 5_000],
  messages: [10_000, 1_000_000, 10_000_000],
  measureMs: 4_000,
  rounds: 3,
  workMessages: 2_000_000,
};

const quickSizes: Sizes = {
  rooms: 1_000,
  members: 500,
  readers: [50, 500],
  messages: [1_000, 10_000, 100_000],
  measureMs: 1_000,
  rounds: 1,
  workMessages: 10_000,
};

const bodyBytes = 128;
const room = "bench";
const base = { host: "127.0.0.1", proof: null, nullServer: false } as const;

/** A server of ours and the folder it can be started in again. */
interface Server {
  readonly directory: string;
  started: StartedProcess;
  ports: SynodPorts;
}

/**
 * `npm run bench:growth`: what one message, one delivery, one start and one stored message cost when there are few and
 * when there are many. Synod against itself, in one run. Answers with the exit code: 1 when a part could not be measured.
 */
export async function benchGrowth(root: string, words: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...words],
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string", default: "rooms,members,readers,history,memory,flood" },
      json: { type: "string" },
      output: { type: "string", short: "o", default: "markdown" },
      data: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  if (!existsSync(synodCommand(root))) {
    process.stderr.write("Synod is not built; run npm run build first\n");
    return 3;
  }
  const sizes = values.quick ? quickSizes : fullSizes;
  const parts: Readonly<Record<string, Measure>> = { rooms, members, readers, history, memory, flood };
  let failures = 0;
  const code = await interruptible({ root, data: values.data }, async (world, directory) => {
    const rows: GrowthRow[] = [];
    for (const word of values.only.split(",")) {
      const measure = parts[word];
      if (measure === undefined) throw new Error(`--only takes ${Object.keys(parts).join(", ")}`);
      try {
        for (const row of await measure(world, directory, sizes)) {
          rows.push(row);
          process.stderr.write(`${growthMarkdown([row]).split("\n").at(-1) ?? ""}\n`);
        }
      } catch (cause) {
        world.signal.throwIfAborted();
        failures += 1;
        process.stderr.write(`${word}: ${cause instanceof Error ? cause.message : String(cause)}\n`);
      }
    }
    const json = `${JSON.stringify(rows, null, 2)}\n`;
    if (values.json !== undefined) writeFileSync(values.json, json);
    process.stdout.write(values.output === "json" ? json : `${growthMarkdown(rows)}\n`);
  });
  return code === 0 && failures > 0 ? 1 : code;
}

type Measure = (world: World, directory: string, sizes: Sizes) => Promise<GrowthRow[]>;

async function withServer<T>(world: World, parent: string, use: (server: Server) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(parent, "growth-"));
  try {
    const server: Server = { directory, ...(await startSynod(world, directory)) };
    try {
      return await use(server);
    } finally {
      await world.processes.end(server.started);
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function publishJob(server: Server, sizes: Sizes, changed: Partial<PublishJob>): PublishJob {
  return {
    kind: "publish",
    wire: "synod-binary",
    ...base,
    port: server.ports.tcpPort,
    rooms: [room],
    serverPids: [server.started.pid],
    warmupMs: 1_000,
    measureMs: sizes.measureMs,
    clients: 4,
    firstClient: 0,
    clientsInAll: 4,
    window: 1_000,
    bodyBytes,
    ratePerSecond: null,
    reader: false,
    ...changed,
  };
}

/** Publishes, and fails when anything went wrong: a cost of half a success says nothing. */
async function publish(world: World, job: PublishJob): Promise<MergedPublishResult> {
  return clean(mergePublishResults(await runJobs<PublishResult>([job], world.signal)));
}

function clean<R extends { readonly errors: number; readonly firstError: string | null }>(result: R): R {
  if (result.errors > 0) throw new Error(`${result.errors} errors, the first: ${result.firstError ?? ""}`);
  return result;
}

/** Until everything that runs often is compiled, and the first chunks are sealed. */
const longWarmupMs = 3_000;

/**
 * A cost with few and with many, a fresh server for each, in turns: F M F M F M. What a machine does besides meets both;
 * the medians count.
 */
async function inTurns(
  counts: readonly [few: number, many: number],
  rounds: number,
  measure: (count: number) => Promise<number | null>,
): Promise<(number | null)[]> {
  const costs: (number | null)[][] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    for (const [place, count] of counts.entries()) costs[place]!.push(await measure(count));
  }
  return costs.map((found) => {
    const known = found.filter((cost) => cost !== null).sort((one, other) => one - other);
    return known.length < rounds ? null : known[(rounds - 1) / 2]!;
  });
}

/** CPU of a durable publish, with one room and with many; sixteen users, since one may be in a thousand rooms only. */
async function rooms(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  const changed = { clients: 16, clientsInAll: 16, window: 250, warmupMs: longWarmupMs };
  const values = await inTurns([1, sizes.rooms], sizes.rounds, async (count) => {
    const names = Array.from({ length: count }, (_, place) => `room-${String(place).padStart(6, "0")}`);
    const result = await withServer(world, directory, (server) =>
      publish(world, publishJob(server, sizes, { ...changed, rooms: names })),
    );
    return result.serverCpuSecondsPerMillion;
  });
  const what = "server CPU of a durable publish";
  return [growthRow({ what, unit: "s/M", grows: "rooms", from: 1, to: sizes.rooms, values, allowed: 1.25 })];
}

/** CPU of a durable publish while nobody, and while many idle members of other rooms are connected. */
async function members(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  const values = await inTurns([0, sizes.members], sizes.rounds, async (count) => {
    const result = await withServer(world, directory, async (server) => {
      const load = publishJob(server, sizes, { warmupMs: longWarmupMs });
      const idle: IdleJob = {
        kind: "idle",
        wire: "synod-websocket",
        ...base,
        port: server.ports.port,
        rooms: Array.from({ length: 1_000 }, (_, place) => `other-${place}`),
        serverPids: [],
        connections: count,
        roomsPerConnection: 10,
        settleMs: load.warmupMs + load.measureMs + 500,
      };
      const results = await runJobs<JobResult>(count === 0 ? [load] : [load, idle], world.signal);
      for (const each of results) clean(each);
      return mergePublishResults(results.filter((each) => each.kind === "publish"));
    });
    return result.serverCpuSecondsPerMillion;
  });
  const what = "server CPU of a durable publish";
  const grows = "idle members of other rooms";
  return [growthRow({ what, unit: "s/M", grows, from: 0, to: sizes.members, values, allowed: 1.05 })];
}

/** CPU of a delivery to few and to many readers of one room. */
async function readers(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  const costs: (number | null)[] = [];
  for (const count of sizes.readers) {
    const result = await withServer(world, directory, async (server) => {
      const job: FanOutJob = {
        kind: "fan-out",
        wire: "synod-websocket",
        ...base,
        port: server.ports.port,
        publisherWire: "synod-binary",
        publisherPort: server.ports.tcpPort,
        rooms: [room],
        serverPids: [server.started.pid],
        readers: count,
        window: 8,
        bodyBytes,
        warmupMs: 1_000,
        measureMs: sizes.measureMs,
      };
      const [result] = await runJobs<FanOutResult>([job], world.signal);
      if (result === undefined) throw new Error("no result");
      return clean(result);
    });
    costs.push(perMillion(result.serverCpuSeconds, result.deliveries));
  }
  const [from, to] = sizes.readers;
  const what = "server CPU of a delivery, 8 outstanding";
  return [growthRow({ what, unit: "s/M", grows: "readers of the room", from, to, values: costs, allowed: 1.3 })];
}

/** Users who say little, as many do: what they have to wait is measured while others send as much as they can. */
const ordinary = { clients: 32, window: 16, ratePerSecond: 2_000 } as const;
/** Messages that others have in flight meanwhile: of one user on four connections, or of many users. */
const loudInFlight = 4_000;
const crowd = 250;

/** What ordinary users wait beside one user who floods: against nobody, and against the same load of many users. */
async function flood(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  const p99 = async (users: number): Promise<number | null> =>
    await withServer(world, directory, async (server) => {
      const names = { rooms: ["ordinary"], clientsInAll: ordinary.clients, warmupMs: longWarmupMs };
      const jobs = [publishJob(server, sizes, { ...ordinary, ...names })];
      const clients = users === 1 ? 4 : users;
      const loud = { clients, clientsInAll: clients, window: loudInFlight / clients, firstClient: ordinary.clients };
      const [measureMs, warmupMs] = [sizes.measureMs + 500, longWarmupMs];
      // Where names are believed, a token is not looked at.
      const proof = users === 1 ? ({ type: "token", user: "flooder", token: "" } as const) : null;
      if (users > 0) jobs.push(publishJob(server, sizes, { ...loud, rooms: ["loud"], measureMs, warmupMs, proof }));
      const results = await runJobs<PublishResult>(jobs, world.signal);
      for (const each of results) clean(each);
      return mergePublishResults(results.slice(0, 1)).ack.summary().p99;
    });
  const what = `p99 of ${ordinary.clients} users, ${ordinary.ratePerSecond.toLocaleString("en-US")} messages a second`;
  const row = async (grows: string, from: number, to: number): Promise<GrowthRow> => {
    const values = await inTurns([from, to], sizes.rounds, p99);
    return growthRow({ what, unit: "ms", grows, from, to, values, allowed: 1.5 });
  };
  return [
    await row("users who flood", 0, 1),
    await row(`users with ${loudInFlight.toLocaleString("en-US")} more in flight together`, crowd, 1),
  ];
}

interface Stage {
  readonly messages: number;
  readonly publishCpu: number | null;
  readonly newestP99Ms: number | null;
  readonly startMs: number;
}

const settleMs = 3_000;
/** An odd number of kills, each at another moment of what goes on between two seals; the median counts. */
const killsAfterMs = [900, 1_200, 1_500, 1_800, 2_100];

/** What a publish, a look at the newest messages and a start cost with little and with much history. */
async function history(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  return await withServer(world, directory, async (server) => {
    const stages: Stage[] = [];
    for (const messages of sizes.messages) stages.push(await historyStage(world, server, sizes, messages));
    const [few, some, many] = [stages[0]!, stages[1]!, stages[2]!];
    const grows = "stored messages";
    const row = (
      what: string,
      unit: string,
      stage: readonly [Stage, Stage],
      value: (stage: Stage) => number | null,
      allowed: number,
    ): GrowthRow => {
      const [from, to] = [stage[0].messages, stage[1].messages];
      return growthRow({ what, unit, grows, from, to, values: stage.map(value), allowed });
    };
    return [
      row("server CPU of a durable publish", "s/M", [few, many], (stage) => stage.publishCpu, 1.15),
      row("last 50 of a room, p99", "ms", [few, many], (stage) => stage.newestP99Ms, 1.5),
      row("start-up after SIGKILL under load", "ms", [some, many], (stage) => stage.startMs, 1.3),
    ];
  });
}

/** Publishes until at least so many messages are stored, and answers how many that are. */
async function fill(world: World, server: Server, sizes: Sizes, messages: number): Promise<number> {
  let stored = await headOf(server);
  while (stored < messages) {
    // Small steps where there is little to do, so that the first stage does not begin with a million.
    const measureMs = messages - stored > 500_000 ? 5_000 : 50;
    await publish(
      world,
      publishJob(server, sizes, { warmupMs: 0, measureMs, window: messages > 100_000 ? 1_000 : 50 }),
    );
    stored = await headOf(server);
  }
  return stored;
}

/**
 * Memory with some and with many messages stored, by a server that was started on them and then wrote as many more: what
 * a process has ever needed at once stays with it, so that one which wrote ten million is not compared with one which
 * wrote three.
 */
async function memory(world: World, directory: string, sizes: Sizes): Promise<GrowthRow[]> {
  return await withServer(world, directory, async (server) => {
    const [, some, many] = sizes.messages;
    const stored: number[] = [];
    const values: number[] = [];
    for (const messages of [some, many]) {
      stored.push(await fill(world, server, sizes, messages));
      await world.processes.end(server.started);
      Object.assign(server, await startSynod(world, server.directory));
      await fill(world, server, sizes, stored.at(-1)! + sizes.workMessages);
      await sleep(settleMs);
      values.push((residentBytesOf([server.started.pid]) ?? 0) / 2 ** 20);
    }
    const [from, to] = [stored[0]!, stored[1]!];
    const grows = "stored messages";
    return [growthRow({ what: "resident memory", unit: "MiB", grows, from, to, values, allowed: 1.2 })];
  });
}

async function historyStage(world: World, server: Server, sizes: Sizes, messages: number): Promise<Stage> {
  const stored = await fill(world, server, sizes, messages);
  // What was just published is still being sealed; that belongs to the publishing.
  await sleep(settleMs);
  const newestP99Ms = await newestP99(server);
  const { serverCpuSecondsPerMillion: publishCpu } = await publish(world, publishJob(server, sizes, {}));
  // What a start has to replay is what was not sealed at the moment of the kill: anything from nothing to a chunk.
  const starts: number[] = [];
  for (const afterMs of killsAfterMs) starts.push(await killAndStart(world, server, sizes, afterMs));
  const startMs = starts.sort((one, other) => one - other)[(starts.length - 1) / 2]!;
  return { messages: stored, publishCpu, newestP99Ms, startMs };
}

async function withClient<T>(server: Server, use: (connection: Connection) => Promise<T>): Promise<T> {
  const readInto = Buffer.alloc(64 * 1024);
  const connection = await Connection.open({ host: base.host, port: server.ports.tcpPort, readInto });
  try {
    await synodGreeting(connection, { user: "growth", token: null });
    return await use(connection);
  } finally {
    connection.end();
  }
}

const headOf = (server: Server): Promise<number> => withClient(server, (connection) => synodHead(connection, room));

/** A thousand times the last 50 messages, one after the other. */
async function newestP99(server: Server): Promise<number | null> {
  return await withClient(server, async (connection) => {
    const latencies = new LatencyHistogram();
    await synodHead(connection, room);
    for (let request = 0; request < 1_000; request += 1) {
      const askedAt = nowMs();
      const items = await synodNewest(connection, room, 50);
      latencies.recordMs(nowMs() - askedAt, 1);
      if (items !== 50) throw new Error(`asked for the last 50 messages, got ${items}`);
    }
    return latencies.percentileMs(99);
  });
}

/** Kills the server while it is written to, starts it again, and answers how long it took until a member was let in. */
async function killAndStart(world: World, server: Server, sizes: Sizes, afterMs: number): Promise<number> {
  // The generator's side of a killed server is errors; only what the server does next counts here.
  const load = runJobs<PublishResult>([publishJob(server, sizes, { warmupMs: 0, measureMs: 3_000 })], world.signal);
  await sleep(afterMs);
  server.started.child.kill("SIGKILL");
  await load;
  const startedAt = nowMs();
  const { started, ports } = await startSynod(world, server.directory);
  server.started = started;
  server.ports = ports;
  await headOf(server);
  return nowMs() - startedAt;
}
