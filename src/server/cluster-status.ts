import type { NodeName } from "../base/ids.ts";
import { incarnationOf, nodeOf } from "../consensus/replica.ts";
import type { Pace } from "./entry-times.ts";
import type { Cluster } from "./cluster.ts";
import type { Server } from "./server.ts";

/** One server of a cluster, as another one sees it. */
export interface SeenServer {
  readonly node: NodeName;
  /** Null: it is listed, and belongs to the group not yet or not any more. */
  readonly role: "voter" | "learner" | null;
  readonly incarnation: string | null;
  readonly isLeader: boolean;
  readonly isSelf: boolean;
  /** Where it is dialled; null: nobody said. */
  readonly address: string | null;
  /** `here` for the one that tells; else what its heartbeats say. */
  readonly state: "here" | "unknown" | "alive" | "suspected" | "dead";
  readonly link: "here" | "unreachable" | "waiting" | "dialling" | "linked";
  /** Up to which entry it is known to have the log; only the leader knows. */
  readonly matched: number | null;
  readonly lagEntries: number | null;
  /** Sealed files that it says it has not yet, or not whole; null: it has not said. */
  readonly lackingChunks: number | null;
  /** Bytes on their way to it. */
  readonly backlog: number;
  readonly diskIsStuck: boolean;
  readonly syncAgeMs: number;
  readonly loopLagMs: number;
  readonly hears: readonly NodeName[];
}

/** What `/admin/v1/cluster` shows. */
export interface ClusterStatus {
  readonly node: NodeName;
  /** This server's wall clock, in milliseconds. */
  readonly at: number;
  readonly cluster: string;
  readonly topology: string;
  readonly ready: { readonly ok: boolean; readonly reason: string | null };
  readonly leader: NodeName | null;
  readonly role: string;
  readonly term: number;
  readonly isAuthoritative: boolean;
  readonly transfersTo: NodeName | null;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  /** How fast this server is of late, and its disk. */
  readonly pace: Pace;
  readonly servers: readonly SeenServer[];
  readonly catchUp: object | null;
}

/** The cluster as this server sees it. Also of a server that is alone. */
export function clusterStatusOf(server: Server): ClusterStatus {
  const { standing } = server.driver.engine;
  const { leader, role, term, isAuthoritative, transfersTo } = standing;
  return {
    node: server.node,
    at: server.clock.wall(),
    cluster: server.state.cluster,
    topology: server.topology,
    ready: server.ready,
    leader,
    role,
    term,
    isAuthoritative,
    transfersTo,
    appliedIndex: server.state.appliedIndex,
    lastIndex: server.driver.lastIndex,
    pace: server.recent.pace(server.clock.now()),
    servers: serversOf(server),
    catchUp: server.cluster?.catchUp.progress ?? null,
  };
}

/** null: this server. A server that is alone lacks nothing that it could get. */
function lackingOf(cluster: Cluster | null, node: NodeName | null): number | null {
  const lacked = cluster?.catchUp.lacked;
  if (node === null) return lacked?.own.count ?? 0;
  return lacked?.countOf(node) ?? null;
}

/** In the order of their names: members, and those that are to become some. */
export function serversOf(server: Server): SeenServer[] {
  const { cluster, node: self } = server;
  const { standing, members } = server.driver.engine;
  const { lastIndex } = server.driver;
  const links = new Map(cluster?.peers.transport.status().map((link) => [link.name, link]));
  const healths = new Map(cluster?.peers.transport.health().map((health) => [health.peer, health]));
  const lives = members.map((member) => ({ ...member, node: nodeOf(member.replica) }));
  const waiting = [...(cluster?.listed.keys() ?? [])].filter((name) => lives.every(({ node }) => node !== name));
  const all = [
    ...lives.map(({ node, replica, role, matched }) => ({ node, incarnation: incarnationOf(replica), role, matched })),
    ...waiting.map((node) => ({ node, incarnation: null, role: null, matched: null })),
  ];
  all.sort((one, other) => (one.node < other.node ? -1 : 1));
  return all.map(({ node, incarnation, role, matched }) => {
    const isSelf = node === self;
    const link = links.get(node);
    const health = healths.get(node);
    const dialled = isSelf ? cluster?.ownAddress : cluster?.listed.get(node);
    const address = server.state.addresses.get(node) ?? dialled ?? null;
    return {
      node,
      role,
      incarnation,
      isLeader: standing.leader === node,
      isSelf,
      address: address === null ? null : `${address.host}:${address.port}`,
      state: isSelf ? "here" : (health?.state ?? "unknown"),
      link: isSelf ? "here" : (link?.state ?? "unreachable"),
      matched,
      lagEntries: matched === null ? null : Math.max(0, lastIndex - matched),
      lackingChunks: lackingOf(cluster, isSelf ? null : node),
      backlog: (link?.waitingBytes ?? 0) + (link?.unconfirmedBytes ?? 0),
      diskIsStuck: health?.diskIsStuck ?? false,
      syncAgeMs: health?.syncAgeMs ?? 0,
      loopLagMs: isSelf ? (cluster?.peers.transport.loopLagMs ?? 0) : (health?.loopLagMs ?? 0),
      hears: health?.hears ?? [],
    };
  });
}
