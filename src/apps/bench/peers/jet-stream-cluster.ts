import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { natsRequest } from "../wires/nats.ts";
import { Cluster, portsOf, until } from "./cluster.ts";
import type { ClusterOptions, ClusterSystem } from "./cluster.ts";
import type { StartedProcess } from "./server-process.ts";
import { host, room, withConnection } from "./systems.ts";

/** JetStream, a stream with three replicas, as it ships: acknowledged before any flush. Clients are at the stream's leader. */
export function jetStreamCluster(): ClusterSystem {
  return {
    name: "JetStream R3, default (flushed every 2 min)",
    publishWire: "nats-jetstream",
    fanOut: null,
    idle: null,
    manyAtOnce: null,
    start: async (world, directory) => {
      const [ports, routePorts] = await portsOf(3, 2);
      const cluster = new JetStreamCluster(
        { world, wire: "nats-jetstream", ports: ports!, links: null },
        directory,
        routePorts!,
      );
      await cluster.beginAll();
      await cluster.makeStream();
      await cluster.whole();
      return cluster;
    },
  };
}

interface StreamInfo {
  readonly error?: { readonly description: string };
  readonly state?: { readonly messages: number };
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly {
      readonly name: string;
      readonly current: boolean;
      readonly offline?: boolean;
      readonly lag?: number;
    }[];
  };
}

class JetStreamCluster extends Cluster {
  protected readonly name = "nats-server";
  private readonly directory: string;
  private readonly routePorts: readonly number[];

  constructor(options: ClusterOptions, directory: string, routePorts: readonly number[]) {
    super(options);
    this.directory = directory;
    this.routePorts = routePorts;
  }

  protected spawn(place: number): StartedProcess {
    const own = join(this.directory, `nats-${place}`);
    mkdirSync(own, { recursive: true });
    const file = join(own, "nats.conf");
    const routes = this.routePorts.map((port) => `"nats-route://${host}:${port}"`).join(", ");
    writeFileSync(
      file,
      `server_name: n${place}\nhost: "${host}"\nport: ${this.members[place]!.port}\n` +
        `jetstream { store_dir: "${join(own, "jetstream")}" }\n` +
        `cluster { name: bench, host: "${host}", port: ${this.routePorts[place]}, routes: [${routes}] }\n`,
    );
    return this.world.processes.start("nats-server", ["-c", file], own);
  }

  async makeStream(): Promise<void> {
    const configuration = { name: "BENCH", subjects: [room], retention: "limits", storage: "file", num_replicas: 3 };
    const limits = { max_consumers: -1, max_msgs: -1, max_bytes: -1, max_age: 0, discard: "old" };
    // The servers have to find one another, and a leader, first; until then nobody answers, or with an error.
    await until("JetStream made no stream", this.world.signal, async () => {
      const answer = await this.request("$JS.API.STREAM.CREATE.BENCH", { ...configuration, ...limits });
      return answer !== null && answer.error === undefined;
    });
  }

  /** To any server that runs. */
  private async request(subject: string, body: object | null): Promise<StreamInfo | null> {
    const text = body === null ? "" : JSON.stringify(body);
    for (const { started, port } of this.members) {
      if (started === null) continue;
      const answer = withConnection(port, (connection) => natsRequest(connection, subject, text));
      const late = sleep(1_000).then(() => null);
      const said = await Promise.race([answer.catch(() => null), late]);
      if (said !== null) return JSON.parse(said) as StreamInfo;
    }
    return null;
  }

  private info(): Promise<StreamInfo | null> {
    return this.request("$JS.API.STREAM.INFO.BENCH", null);
  }

  async leader(): Promise<number> {
    const name = (await this.info())?.cluster?.leader;
    if (name === undefined) throw new Error("the stream has no leader");
    return Number(name.slice(1));
  }

  async hasAll(place: number): Promise<boolean> {
    const cluster = (await this.info())?.cluster;
    if (cluster?.leader === undefined) return false;
    if (cluster.leader === `n${place}`) return true;
    const replica = cluster.replicas?.find(({ name }) => name === `n${place}`);
    return replica !== undefined && replica.current && replica.offline !== true && (replica.lag ?? 0) === 0;
  }

  async stored(): Promise<number> {
    return (await this.info())?.state?.messages ?? 0;
  }
}
