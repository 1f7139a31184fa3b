import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mergePublishResults, perMillion } from "../bench.ts";
import { endProcess, forkModule, runJobs } from "../generator-processes.ts";
import type { FanOutJob, FanOutResult, IdleJob, IdleResult, PublishJob, PublishResult } from "../job.ts";
import { LatencyHistogram } from "../latency-histogram.ts";
import { makePublishWire, makeReaderWire } from "../make-wire.ts";
import type { NullServerPlan } from "../null-server.ts";
import type { WireName } from "../wires/wire.ts";
import type { FanOutRow, IdleRow, Plan, PublishRow } from "./plan.ts";
import type { RunningSystem, System, World } from "./systems.ts";
import { room } from "./systems.ts";

/** One run of one row by one system. */
export interface RunResult {
  /** Acknowledgements or deliveries in a second. */
  readonly ratePerSecond: number;
  /** Until the acknowledgement, or until the last reader had it. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  readonly serverCpuSecondsPerMillion: number | null;
  /** Of all processes of the server together, at the end of the measured time. */
  readonly serverResidentBytes: number | null;
  readonly clientCpuSecondsPerMillion: number | null;
  readonly errors: number;
  readonly firstError: string | null;
}

export interface IdleRun {
  readonly bytesPerConnection: number | null;
  readonly connectsPerSecond: number;
  readonly errors: number;
  readonly firstError: string | null;
}

export const base = { host: "127.0.0.1", rooms: [room], proof: null };
/** Rooms that idle connections are spread over. */
const idleRooms = Array.from({ length: 1_000 }, (_, place) => `room-${place}`);

export type Measuring = Pick<Plan, "warmupMs" | "measureMs">;

/** Starts the system in a fresh directory below `directory`, uses it, and leaves nothing of it. */
export async function withSystem<R extends RunningSystem, T>(
  directory: string,
  start: (own: string) => Promise<R>,
  use: (running: R) => Promise<T>,
): Promise<T> {
  const own = mkdtempSync(join(directory, "run-"));
  try {
    const running = await start(own);
    try {
      return await use(running);
    } finally {
      await running.stop();
    }
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

function portOf(running: RunningSystem, wire: WireName): number {
  const port = running.ports[wire];
  if (port === undefined) throw new Error(`the server has no port for ${wire}`);
  return port;
}

/**
 * Publishes as the row says. What was acknowledged must be stored afterwards, or the run is an error. `before` is a load
 * that is not measured: a server that was only just started runs code that is not compiled yet, each of several servers
 * for itself, and one client at a time would measure that.
 */
export async function measurePublish(
  world: World,
  directory: string,
  system: System,
  row: Pick<PublishRow, "clients" | "window" | "bodyBytes">,
  measuring: Measuring & { readonly before?: Pick<PublishRow, "clients" | "window"> },
): Promise<RunResult> {
  const { publishWire: wire, client = "frames" } = system;
  if (wire === null) throw new Error(`${system.name} does not acknowledge`);
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (running) => {
      const spread = running.spreadPorts ?? null;
      const place = spread === null ? {} : { ports: spread };
      const loads = measuring.before === undefined ? [row] : [{ ...row, ...measuring.before }, row];
      let results: PublishResult[] = [];
      let acknowledged = 0;
      for (const load of loads) {
        const job = { ...publishJob(wire, portOf(running, wire), load, measuring, running.pids), ...place, client };
        results = await runJobs<PublishResult>([job], world.signal);
        for (const { ackedInAll } of results) acknowledged += ackedInAll;
      }
      const stored = await running.stored();
      const run = publishRun(results);
      const missing = stored === null ? 0 : acknowledged - stored;
      if (missing <= 0) return run;
      return { ...run, errors: run.errors + missing, firstError: `${missing} acknowledged messages are not stored` };
    },
  );
}

/** A closed loop at one port. */
export function publishJob(
  wire: WireName,
  port: number,
  row: Pick<PublishRow, "clients" | "window" | "bodyBytes">,
  measuring: Measuring,
  serverPids: readonly number[],
): PublishJob {
  const { warmupMs, measureMs } = measuring;
  const { clients, window, bodyBytes } = row;
  const load = {
    clients,
    firstClient: 0,
    clientsInAll: clients,
    window,
    bodyBytes,
    ratePerSecond: null,
    reader: false,
  };
  return { kind: "publish", wire, ...base, port, serverPids, nullServer: false, warmupMs, measureMs, ...load };
}

export function publishRun(results: readonly PublishResult[]): RunResult {
  const merged = mergePublishResults(results);
  return {
    ratePerSecond: merged.ratePerSecond,
    p50Ms: merged.ack.percentileMs(50),
    p99Ms: merged.ack.percentileMs(99),
    serverCpuSecondsPerMillion: merged.serverCpuSecondsPerMillion,
    serverResidentBytes: merged.serverResidentBytes,
    clientCpuSecondsPerMillion: merged.clientCpuSecondsPerMillion,
    errors: merged.errors,
    firstError: merged.firstError,
  };
}

/** The same row against a server that answers without working: as fast as the generator can be. */
export async function measurePublishCeiling(
  world: World,
  wire: WireName,
  row: Pick<PublishRow, "clients" | "window" | "bodyBytes">,
  measuring: Measuring,
): Promise<RunResult> {
  const example = makePublishWire(wire, base, { client: 0, clients: 1, bodyBytes: row.bodyBytes });
  const { nullAnswer } = example;
  if (nullAnswer === null) throw new Error(`${wire} is not answered`);
  const plan: NullServerPlan = {
    mode: "answer",
    requestBytes: example.requestBytes,
    answer: Buffer.from(nullAnswer.answer).toString("base64"),
    copyFrom: nullAnswer.copyFrom,
    copyTo: nullAnswer.copyTo,
    copyBytes: nullAnswer.copyBytes,
  };
  return await withNullServer(world, plan, async (port, pid) => {
    const job = { ...publishJob(wire, port, row, measuring, [pid]), nullServer: true };
    return publishRun(await runJobs<PublishResult>([job], world.signal));
  });
}

async function withNullServer<T>(
  world: World,
  plan: NullServerPlan,
  use: (port: number, pid: number) => Promise<T>,
): Promise<T> {
  const child = forkModule("null-server-process");
  const started = world.processes.adopt(child);
  try {
    const port = await new Promise<number>((resolve, reject) => {
      child.once("message", (message: { port: number }) => resolve(message.port));
      child.once("exit", () => reject(new Error(`the null server did not start: ${started.said}`)));
      child.send(plan);
    });
    return await use(port, started.pid);
  } finally {
    await endProcess(child, 1_000);
  }
}

/** Publishes to many readers as the row says. */
export async function measureFanOut(
  world: World,
  directory: string,
  system: System,
  row: FanOutRow,
  measuring: Measuring,
): Promise<RunResult> {
  const { fanOut: wires, client = "frames" } = system;
  if (wires === null) throw new Error(`${system.name} has no readers`);
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (running) => {
      const [port, publisherPort] = [portOf(running, wires.readerWire), portOf(running, wires.publisherWire)];
      const job = { ...fanOutJob(wires, { port, publisherPort }, row, measuring, running.pids), client };
      return fanOutRun(await runJobs<FanOutResult>([job], world.signal));
    },
  );
}

export function fanOutJob(
  wires: { readonly readerWire: WireName; readonly publisherWire: WireName },
  ports: { readonly port: number; readonly publisherPort: number },
  row: Omit<FanOutRow, "systems">,
  measuring: Measuring,
  serverPids: readonly number[],
): FanOutJob {
  const { readers, window, bodyBytes } = row;
  const { warmupMs, measureMs } = measuring;
  const { readerWire: wire, publisherWire } = wires;
  const load = { readers, window, bodyBytes, warmupMs, measureMs };
  return { kind: "fan-out", wire, publisherWire, ...base, ...ports, serverPids, nullServer: false, ...load };
}

export function fanOutRun(results: readonly FanOutResult[]): RunResult {
  const result = results[0];
  if (result === undefined) throw new Error("no result");
  const lastReader = new LatencyHistogram();
  lastReader.add(result.lastReader);
  return {
    ratePerSecond: result.deliveries / result.seconds,
    p50Ms: lastReader.percentileMs(50),
    p99Ms: lastReader.percentileMs(99),
    serverCpuSecondsPerMillion: perMillion(result.serverCpuSeconds, result.deliveries),
    serverResidentBytes: null,
    clientCpuSecondsPerMillion: perMillion(result.clientCpuSeconds, result.deliveries),
    errors: result.errors,
    firstError: result.firstError,
  };
}

/** Readers that get deliveries from a server that only writes the same block to everybody, read as a window brings them. */
export async function measureFanOutCeiling(
  world: World,
  wire: WireName,
  row: FanOutRow,
  measuring: Measuring,
): Promise<RunResult> {
  const options = { reader: 0, rooms: [room], bodyBytes: row.bodyBytes };
  const { bytes, bodyAt } = makeReaderWire(wire, base, options).nullDelivery;
  const delivery = Buffer.from(bytes).toString("base64");
  return await withNullServer(world, { mode: "stream", delivery, bodyAt, readers: row.readers }, async (port, pid) => {
    const wires = { readerWire: wire, publisherWire: wire };
    const job = { ...fanOutJob(wires, { port, publisherPort: port }, row, measuring, [pid]), nullServer: true };
    return fanOutRun(await runJobs<FanOutResult>([job], world.signal));
  });
}

/** The server's memory before and after many connections have greeted, entered their rooms and fallen silent. */
export async function measureIdle(world: World, directory: string, system: System, row: IdleRow): Promise<IdleRun> {
  const { idle } = system;
  if (idle === null) throw new Error(`${system.name} keeps no idle connections`);
  return await withSystem(
    directory,
    (own) => system.start(world, own),
    async (running) => {
      const job: IdleJob = {
        kind: "idle",
        wire: idle.wire,
        ...base,
        rooms: idleRooms,
        port: portOf(running, idle.wire),
        serverPids: running.pids,
        nullServer: false,
        connections: row.connections,
        roomsPerConnection: idle.roomsPerConnection,
        settleMs: 3_000,
      };
      const [result] = await runJobs<IdleResult>([job], world.signal);
      if (result === undefined) throw new Error("no result");
      const { residentBytesBefore: before, residentBytesAfter: after } = result;
      return {
        bytesPerConnection: before === null || after === null ? null : (after - before) / result.connections,
        connectsPerSecond: result.connectsPerSecond,
        errors: result.errors,
        firstError: result.firstError,
      };
    },
  );
}
