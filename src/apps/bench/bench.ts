import type { Proof } from "./identity.ts";
import { runJobs } from "./generator-processes.ts";
import type { LoadClient, PublishJob, PublishResult } from "./job.ts";
import { LatencyHistogram } from "./latency-histogram.ts";
import type { LatencySummary } from "./latency-histogram.ts";
import { bodyBytesMin } from "./message-body.ts";

/** What `synod bench` may be asked. */
export interface BenchOptions {
  readonly host: string;
  /** The server's TCP port. */
  readonly tcpPort: number;
  /** How the clients prove who they are; `null` where names are believed. */
  readonly proof: Proof | null;
  /** Connections that publish. @defaultValue 4 */
  readonly clients?: number;
  /** Requests of one connection that are not answered yet. @defaultValue 1000 */
  readonly window?: number;
  /** Bytes of one body, 32 or more. @defaultValue 128 */
  readonly bodyBytes?: number;
  /** @defaultValue "binary" */
  readonly encoding?: "binary" | "json";
  /** Who sends and reads: the generator, or the shipped SDK. @defaultValue "frames" */
  readonly client?: LoadClient;
  /** How long is measured. @defaultValue 5 */
  readonly seconds?: number;
  /** How long runs before. @defaultValue 1 */
  readonly warmupSeconds?: number;
  /** Rooms, with names of one length. Client i sends to room i modulo their count; if there are more rooms than clients, each sends to its share of them in turn. JSON: to one. @defaultValue ["bench"] */
  readonly rooms?: readonly string[];
  /** Messages per second of all clients together: an open loop. Not given: as fast as the windows allow, a closed loop. */
  readonly ratePerSecond?: number;
  /** Processes that the clients are spread over. @defaultValue 1 */
  readonly processes?: number;
  /** Whether a subscriber of the first room measures delivery. @defaultValue true */
  readonly deliver?: boolean;
  /** The server's processes, when they run on this machine. Not given: server CPU is null. */
  readonly serverPids?: readonly number[];
  readonly signal?: AbortSignal;
}

/** What `synod bench -o json` prints. Times in milliseconds; `null` where nothing was measured. */
export interface BenchReport {
  readonly topology: string;
  readonly nodes: number;
  readonly clients: number;
  readonly window: number;
  readonly bodyBytes: number;
  readonly encoding: "binary" | "json";
  /** `sdk`: the numbers are those of the server and of the SDK together. */
  readonly client: LoadClient;
  readonly seconds: number;
  readonly acked: number;
  readonly ratePerSecond: number;
  readonly ackMs: LatencySummary;
  readonly deliverMs: LatencySummary;
  readonly serverCpuSecondsPerMillion: number | null;
  readonly clientCpuSecondsPerMillion: number | null;
  readonly errors: number;
}

/** The report, and the first of its errors in words. */
export interface BenchOutcome {
  readonly report: BenchReport;
  readonly firstError: string | null;
}

/**
 * Loads one server and measures. Latency counts from the intended start, also when it had to wait for the window.
 * Rejects when the server cannot be reached or refuses the clients.
 */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  return (await benchOutcome(options)).report;
}

export async function benchOutcome(options: BenchOptions): Promise<BenchOutcome> {
  const clients = atLeast(1, "clients", options.clients ?? 4);
  const window = atLeast(1, "window", options.window ?? 1000);
  const bodyBytes = atLeast(bodyBytesMin, "bodyBytes", options.bodyBytes ?? 128);
  const encoding = options.encoding ?? "binary";
  const client = options.client ?? "frames";
  const processes = Math.min(clients, atLeast(1, "processes", options.processes ?? 1));
  const rate = options.ratePerSecond ?? null;
  const serverPids = options.serverPids ?? [];
  const jobs = Array.from({ length: processes }, (_, place): PublishJob => {
    const firstClient = Math.floor((clients * place) / processes);
    const share = Math.floor((clients * (place + 1)) / processes) - firstClient;
    return {
      kind: "publish",
      wire: encoding === "json" ? "synod-json" : "synod-binary",
      host: options.host,
      port: options.tcpPort,
      rooms: options.rooms ?? ["bench"],
      proof: options.proof,
      // One process reads the servers' CPU; all measure the same seconds.
      serverPids: place === 0 ? serverPids : [],
      nullServer: false,
      client,
      warmupMs: (options.warmupSeconds ?? 1) * 1000,
      measureMs: (options.seconds ?? 5) * 1000,
      clients: share,
      firstClient,
      clientsInAll: clients,
      window,
      bodyBytes,
      ratePerSecond: rate === null ? null : (rate * share) / clients,
      reader: options.deliver ?? true,
    };
  });
  const results = await runJobs<PublishResult>(jobs, options.signal ?? new AbortController().signal);
  const merged = mergePublishResults(results);
  const report: BenchReport = {
    topology: results[0]?.topology ?? "unknown",
    nodes: Math.max(1, results[0]?.nodes ?? 1),
    clients,
    window,
    bodyBytes,
    encoding,
    client,
    seconds: merged.seconds,
    acked: merged.acked,
    ratePerSecond: merged.ratePerSecond,
    ackMs: merged.ack.summary(),
    deliverMs: merged.deliver.summary(),
    serverCpuSecondsPerMillion: merged.serverCpuSecondsPerMillion,
    clientCpuSecondsPerMillion: merged.clientCpuSecondsPerMillion,
    errors: merged.errors,
  };
  return { report, firstError: merged.firstError };
}

export interface MergedPublishResult {
  readonly seconds: number;
  readonly acked: number;
  readonly ackedInAll: number;
  readonly ratePerSecond: number;
  readonly ack: LatencyHistogram;
  readonly deliver: LatencyHistogram;
  readonly serverCpuSecondsPerMillion: number | null;
  readonly serverResidentBytes: number | null;
  readonly clientCpuSecondsPerMillion: number | null;
  readonly errors: number;
  readonly firstError: string | null;
}

/** The results of several processes as one. */
export function mergePublishResults(results: readonly PublishResult[]): MergedPublishResult {
  const ack = new LatencyHistogram();
  const deliver = new LatencyHistogram();
  let [seconds, acked, ackedInAll, ratePerSecond, clientCpuSeconds, errors] = [0, 0, 0, 0, 0, 0];
  let serverCpuSeconds: number | null = null;
  let serverResidentBytes: number | null = null;
  for (const result of results) {
    ack.add(result.ack);
    deliver.add(result.deliver);
    seconds = Math.max(seconds, result.seconds);
    acked += result.acked;
    ackedInAll += result.ackedInAll;
    ratePerSecond += result.acked / result.seconds;
    clientCpuSeconds += result.clientCpuSeconds;
    errors += result.errors;
    serverCpuSeconds ??= result.serverCpuSeconds;
    serverResidentBytes ??= result.serverResidentBytes;
  }
  return {
    seconds,
    acked,
    ackedInAll,
    ratePerSecond,
    ack,
    deliver,
    serverCpuSecondsPerMillion: perMillion(serverCpuSeconds, acked),
    serverResidentBytes,
    clientCpuSecondsPerMillion: perMillion(clientCpuSeconds, acked),
    errors,
    firstError: results.find((result) => result.firstError !== null)?.firstError ?? null,
  };
}

/** Seconds per million of what was done; `null` when nothing was done or nothing is known. */
export const perMillion = (seconds: number | null, count: number): number | null =>
  seconds === null || count === 0 ? null : (seconds * 1e6) / count;

function atLeast(least: number, name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < least)
    throw new RangeError(`${name} must be a whole number from ${least} on, not ${value}`);
  return value;
}
