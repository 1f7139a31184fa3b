import { join } from "node:path";
import { askJson, Cluster, portsOf } from "./cluster.ts";
import type { ClusterOptions, ClusterSystem } from "./cluster.ts";
import type { StartedProcess } from "./server-process.ts";
import { host } from "./systems.ts";

/**
 * etcd, a put for each message, acknowledged after a flush on a quorum. No TLS between its servers. Clients are at the
 * leader, as 1,000 that share 25 HTTP/2 connections: so many streams of one connection as its window holds.
 */
export function etcdCluster(): ClusterSystem {
  return {
    name: "etcd × 3",
    publishWire: "etcd",
    fanOut: null,
    idle: null,
    manyAtOnce: { clients: 25, window: 40 },
    start: async (world, directory) => {
      const [ports, peerPorts] = await portsOf(3, 2);
      const cluster = new EtcdCluster({ world, wire: "etcd", ports: ports!, links: null }, directory, peerPorts!);
      await cluster.beginAll();
      await cluster.whole();
      return cluster;
    },
  };
}

interface EtcdStatus {
  readonly header: { readonly member_id: string; readonly revision?: string };
  readonly leader?: string;
  readonly raftIndex?: string;
  readonly raftAppliedIndex?: string;
}

class EtcdCluster extends Cluster {
  protected readonly name = "etcd";
  private readonly directory: string;
  private readonly peerPorts: readonly number[];
  private readonly begun = new Set<number>();

  constructor(options: ClusterOptions, directory: string, peerPorts: readonly number[]) {
    super(options);
    this.directory = directory;
    this.peerPorts = peerPorts;
  }

  protected spawn(place: number): StartedProcess {
    const [client, peer] = [`http://${host}:${this.members[place]!.port}`, `http://${host}:${this.peerPorts[place]}`];
    const all = this.peerPorts.map((port, other) => `n${other}=http://${host}:${port}`).join(",");
    const clients = ["--listen-client-urls", client, "--advertise-client-urls", client];
    const peers = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", all];
    const state = ["--initial-cluster-state", this.begun.has(place) ? "existing" : "new", "--log-level", "error"];
    const data = ["--name", `n${place}`, "--data-dir", join(this.directory, `etcd-${place}`), "--logger", "zap"];
    this.begun.add(place);
    return this.world.processes.start("etcd", [...data, ...clients, ...peers, ...state], this.directory);
  }

  private status(place: number): Promise<EtcdStatus | null> {
    return askJson<EtcdStatus>(`http://${host}:${this.members[place]!.port}/v3/maintenance/status`, {});
  }

  async leader(): Promise<number> {
    const all = await Promise.all(this.members.map((_, place) => this.status(place)));
    const said = all.find((one) => one?.leader !== undefined && one.leader !== "0")?.leader;
    const place = all.findIndex((one) => one !== null && one.header.member_id === said);
    if (place < 0) throw new Error("nobody leads");
    return place;
  }

  async hasAll(place: number): Promise<boolean> {
    const [own, leader] = await Promise.all([this.status(place), this.leader().then((at) => this.status(at))]);
    if (own === null || leader === null || own.leader !== leader.header.member_id) return false;
    return Number(own.raftAppliedIndex ?? 0) >= Number(leader.raftIndex ?? 0);
  }

  /** Every put is a revision; the first is 2. */
  async stored(): Promise<number> {
    const answer = await askJson<EtcdStatus>(`http://${host}:${this.leaderPort}/v3/kv/range`, { key: "YQ==" });
    return Number(answer?.header.revision ?? 0) - 1;
  }
}
