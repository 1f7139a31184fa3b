import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { synodGreeting, synodHead } from "../wires/synod-greeting.ts";
import { askJson, Cluster, portsOf } from "./cluster.ts";
import type { ClusterOptions, ClusterSystem } from "./cluster.ts";
import { CuttableLinks } from "./cuttable-links.ts";
import type { StartedProcess } from "./server-process.ts";
import { host, room, synodCommand, withConnection } from "./systems.ts";

interface SynodStatus {
  readonly node: string;
  readonly ready: { readonly ok: boolean };
  readonly leader: string | null;
  readonly term: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly servers: readonly { readonly node: string; readonly role: string | null }[];
}

/** Synod in topology leader: acknowledged after a flush on a quorum, deduplication and rooms on. Clients at the leader, or spread over all. */
export function synodCluster(options: {
  readonly servers: number;
  readonly clients: "leader" | "spread";
}): ClusterSystem {
  const { servers } = options;
  const isSpread = options.clients === "spread";
  return {
    name: `Synod × ${servers}, clients ${isSpread ? "spread" : "at the leader"}`,
    publishWire: "synod-binary",
    fanOut: null,
    idle: null,
    manyAtOnce: null,
    start: async (world, directory, { isCuttable } = { isCuttable: false }) => {
      const [tcpPorts, ports, adminPorts, peerPorts] = await portsOf(servers, 4);
      const links = isCuttable ? await CuttableLinks.between(peerPorts!) : null;
      const cluster = new SynodCluster(
        { world, wire: "synod-binary", ports: tcpPorts!, links },
        { directory, ports: ports!, adminPorts: adminPorts!, peerPorts: peerPorts!, isSpread },
      );
      await cluster.beginAll();
      await cluster.whole();
      return cluster;
    },
  };
}

interface SynodPlaces {
  readonly directory: string;
  readonly ports: readonly number[];
  readonly adminPorts: readonly number[];
  readonly peerPorts: readonly number[];
  readonly isSpread: boolean;
}

class SynodCluster extends Cluster {
  protected readonly name = "synod serve";
  private readonly place: SynodPlaces;

  constructor(options: ClusterOptions, place: SynodPlaces) {
    super(options);
    this.place = place;
    writeFileSync(this.secretFile, "of the benchmark alone, of the benchmark alone", { mode: 0o600 });
  }

  private get secretFile(): string {
    return join(this.place.directory, "cluster.secret");
  }

  get spreadPorts(): readonly number[] | null {
    return this.place.isSpread ? this.members.map(({ port }) => port) : null;
  }

  protected spawn(place: number): StartedProcess {
    const { directory, ports, adminPorts, peerPorts } = this.place;
    const data = join(directory, `synod-${place}`);
    mkdirSync(data, { recursive: true });
    const peers = peerPorts.map((port, other) => {
      const dialled = other === place || this.links === null ? port : this.links.portFrom(place, other);
      return `n${other}=${host}:${dialled}`;
    });
    const words = ["--data", data, "--host", host, "--port", `${ports[place]}`, "--admin-port", `${adminPorts[place]}`];
    const tcp = ["--tcp-port", `${this.members[place]!.port}`, "--node", `n${place}`, "--topology", "leader"];
    const others = ["--secret-file", this.secretFile, "--peer-host", host, "--peer-port", `${peerPorts[place]}`];
    const list = ["--peers", peers.join(",")];
    const command = [synodCommand(this.world.root), "serve", ...words, ...tcp, ...others, ...list];
    return this.world.processes.start(process.execPath, command, directory);
  }

  private status(place: number): Promise<SynodStatus | null> {
    return askJson<SynodStatus>(`http://${host}:${this.place.adminPorts[place]}/admin/v1/cluster`, null);
  }

  private statuses(): Promise<(SynodStatus | null)[]> {
    return Promise.all(this.members.map((_, place) => this.status(place)));
  }

  async leader(): Promise<number> {
    const all = await this.statuses();
    const newest = all.filter((one) => one !== null).sort((one, other) => other.term - one.term)[0];
    const place = all.findIndex((_, at) => `n${at}` === newest?.leader);
    if (place < 0) throw new Error("nobody leads");
    return place;
  }

  async hasAll(place: number): Promise<boolean> {
    const all = await this.statuses();
    const own = all[place];
    if (own === null || own === undefined || !own.ready.ok || own.leader === null) return false;
    const leader = all[Number(own.leader.slice(1))];
    if (leader === null || leader === undefined || leader.leader !== own.leader || own.term !== leader.term)
      return false;
    const voters = leader.servers.filter(({ role }) => role === "voter").length;
    return voters === this.members.length && own.appliedIndex >= leader.lastIndex;
  }

  stored(): Promise<number> {
    return withConnection(this.leaderPort, async (connection) => {
      await synodGreeting(connection, { user: "bench-checker", token: null });
      return await synodHead(connection, room);
    });
  }
}
