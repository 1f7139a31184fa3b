import type { HistogramCounts } from "./latency-histogram.ts";
import type { Proof } from "./identity.ts";
import type { WireName } from "./wires/wire.ts";

/** What a generator process is told to do, and what it answers; both travel as JSON between processes. */

/** Who speaks to the server: the generator itself, which builds and cuts frames as bytes, or the shipped SDK, which is measured then, too. */
export type LoadClient = "frames" | "sdk";

/** Where the server is and how to be let in. */
export interface Target {
  readonly wire: WireName;
  readonly host: string;
  /** Port of the wire's protocol. */
  readonly port: number;
  /** Rooms, streams or subjects; client i uses number i modulo their count, or its share of them. */
  readonly rooms: readonly string[];
  /** `null` where names are believed. */
  readonly proof: Proof | null;
  /** The server's processes, where they run on this machine: their CPU is read beside the load. */
  readonly serverPids: readonly number[];
  /** The peer is a server that answers without working: nobody greets. */
  readonly nullServer: boolean;
  /** The SDK for wires of Synod only, and not with a server that does not work. @defaultValue "frames" */
  readonly client?: LoadClient;
}

interface Timing {
  readonly warmupMs: number;
  readonly measureMs: number;
}

/** Some connections publish, each with a window of requests that are not answered yet. */
export interface PublishJob extends Target, Timing {
  readonly kind: "publish";
  readonly clients: number;
  /** Added to the number of a client, so that no two of several processes are equal. */
  readonly firstClient: number;
  /** Clients of all processes together: rooms are shared out among them. */
  readonly clientsInAll: number;
  readonly window: number;
  readonly bodyBytes: number;
  /** Messages per second of this process, whatever the server answers; `null` for as fast as the window allows. */
  readonly ratePerSecond: number | null;
  /** Ends when each client has sent its share of so many messages, at `measureMs` at the latest. @defaultValue null */
  readonly messages?: number | null;
  /** Ports of several servers, over which the clients are spread; left out, all are at `port`. */
  readonly ports?: readonly number[];
  /** Whether a subscriber of the first room measures delivery. */
  readonly reader: boolean;
}

/** One publisher, many readers of one room, `window` messages on their way. */
export interface FanOutJob extends Target, Timing {
  readonly kind: "fan-out";
  readonly readers: number;
  /** Ports of several servers, over which the readers are spread; left out, all are at `port`. */
  readonly ports?: readonly number[];
  /** The publisher's port and wire, when they differ from the readers'. */
  readonly publisherWire: WireName;
  readonly publisherPort: number;
  readonly window: number;
  readonly bodyBytes: number;
}

/** Many connections that do nothing but be there. */
export interface IdleJob extends Target {
  readonly kind: "idle";
  readonly connections: number;
  readonly roomsPerConnection: number;
  readonly settleMs: number;
}

export type Job = PublishJob | FanOutJob | IdleJob;

export interface PublishResult {
  readonly kind: "publish";
  readonly seconds: number;
  readonly acked: number;
  /** Acknowledged in all, warm-up and end included: what must be stored. */
  readonly ackedInAll: number;
  readonly ack: HistogramCounts;
  readonly deliver: HistogramCounts;
  readonly serverCpuSeconds: number | null;
  /** Memory of the servers' processes at the end. */
  readonly serverResidentBytes: number | null;
  readonly clientCpuSeconds: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly topology: string | null;
  readonly nodes: number | null;
}

export interface FanOutResult {
  readonly kind: "fan-out";
  readonly seconds: number;
  readonly deliveries: number;
  /** Until the last reader had a message. */
  readonly lastReader: HistogramCounts;
  readonly serverCpuSeconds: number | null;
  readonly clientCpuSeconds: number;
  readonly errors: number;
  readonly firstError: string | null;
}

export interface IdleResult {
  readonly kind: "idle";
  readonly connections: number;
  readonly residentBytesBefore: number | null;
  readonly residentBytesAfter: number | null;
  readonly connectsPerSecond: number;
  readonly errors: number;
  readonly firstError: string | null;
}

export type JobResult = PublishResult | FanOutResult | IdleResult;

/** From a generator process: it stands ready to start, it is done, or it could not do it. */
export type GeneratorMessage =
  | { readonly t: "ready" }
  | { readonly t: "done"; readonly result: JobResult }
  | { readonly t: "failed"; readonly why: string };

/** To a generator process. */
export type GeneratorOrder = { readonly t: "prepare"; readonly job: Job } | { readonly t: "start" };
