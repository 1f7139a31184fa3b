import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import { type SeenServer, serversOf } from "../../server/cluster-status.ts";
import type { Server } from "../../server/server.ts";

/**
 * What a server counts, as Prometheus text. Nothing is labelled by room or user: their number has no bound. Names are
 * stable; values are read from the server when they are asked for, so that the hot path counts nothing twice.
 */
export function serverMetrics(server: Server): () => Promise<string> {
  const register = new Registry();
  register.setDefaultLabels({ node: server.node });
  collectDefaultMetrics({ register });
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [register],
      collect() {
        this.set(read());
      },
    });
  };
  const counter = (name: string, help: string, read: () => number): void => {
    new Counter({
      name,
      help,
      registers: [register],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  const { state, driver, counts, fanOut, memory, upkeep, sealer } = server;
  gauge("synod_ready", "1 while sends can succeed here", () => (server.ready.ok ? 1 : 0));
  gauge("synod_connections", "clients connected, all doors together", () => server.connections.all.size);
  gauge("synod_raft_term", "term of the group", () => driver.engine.standing.term);
  gauge("synod_raft_is_leader", "1 while this server orders", () => (driver.engine.standing.role === "leader" ? 1 : 0));
  gauge("synod_raft_applied_index", "last entry that was applied", () => state.appliedIndex);
  gauge("synod_raft_last_index", "last entry that was put in order", () => driver.lastIndex);
  gauge("synod_log_journal_bytes", "size of the journal on disk", () => server.journal.stats().bytes);
  gauge("synod_log_unsealed_bytes", "messages that are not yet in a durable chunk", () => memory.unsealedBytes);
  gauge("synod_log_chunks", "chunks of sealed history", () => server.chunkCount);
  gauge("synod_log_seal_backlog", "chunks that wait to be written", () => sealer.backlog);
  gauge("synod_ring_bytes", "recent messages in memory beyond the unsealed tail", () => memory.ringBytes);
  gauge("synod_ring_rooms", "rooms whose newest messages are followed in memory", () => memory.rings().rooms);
  gauge("synod_ring_kept", "recent messages in memory beyond the unsealed tail, counted", () => memory.rings().kept);
  gauge("synod_ring_head", "newest message in order, added up over these rooms", () => memory.rings().head);
  gauge("synod_ring_save_point", "newest saved message, added up over these rooms", () => memory.rings().savePoint);
  gauge("synod_disk_free_bytes", "free space under the data directory", () => upkeep.freeBytes ?? 0);
  gauge("synod_flush_p99_seconds", "99 of 100 flushes of the last seconds took at most so long", () => {
    const { flushMs } = server.recent.pace(server.clock.now());
    return flushMs === null ? 0 : flushMs.p99 / 1_000;
  });
  counter("synod_messages_stored_total", "messages stored here since the start", () => server.recent.stored);
  counter("synod_deliveries_total", "messages handed to readers", () => fanOut.delivered);
  counter("synod_readers_paused_total", "times a slow reader was moved to history", () => fanOut.paused);
  counter("synod_readers_dropped_total", "readers ended because they took nothing", () => counts.slowDropped);
  counter(
    "synod_connections_rejected_total",
    "connections refused before they greeted",
    () => server.connections.rejected,
  );
  counter(
    "synod_damage_detected_total",
    "places on disk that were found damaged",
    () => server.damagedReads.places + upkeep.scrubbed.damaged,
  );
  counter(
    "synod_damaged_reads_total",
    "pages, lookups and streams that met damaged history",
    () => server.damagedReads.reads,
  );
  peerMetrics(server, register);
  // Before anything was measured a mean is no number: a value that is not there yet is not told.
  return async () => (await register.metrics()).replaceAll(/^\S+ nan\n/gimu, "");
}

/** Of the other servers, by name: their number is bounded, and a server that is alone has none. */
function peerMetrics(server: Server, register: Registry): void {
  const { driver } = server;
  const of = (name: string, help: string, read: () => Iterable<readonly [peer: string, value: number]>): void => {
    new Gauge({
      name,
      help,
      labelNames: ["peer"],
      registers: [register],
      collect() {
        this.reset();
        for (const [peer, value] of read()) this.set({ peer }, value);
      },
    });
  };
  const others = (): SeenServer[] => serversOf(server).filter(({ isSelf }) => !isSelf);
  new Gauge({
    name: "synod_raft_knows_leader",
    help: "1 while this server knows who orders",
    registers: [register],
    collect() {
      this.set(driver.engine.standing.leader === null ? 0 : 1);
    },
  });
  new Gauge({
    name: "synod_raft_members",
    help: "servers of the group",
    labelNames: ["role"],
    registers: [register],
    collect() {
      for (const role of ["voter", "learner"]) {
        this.set({ role }, driver.engine.members.filter((member) => member.role === role).length);
      }
    },
  });
  of("synod_peer_alive", "1 while this server hears the other one", () =>
    others().map(({ node, state }) => [node, state === "alive" ? 1 : 0] as const),
  );
  of("synod_peer_linked", "1 while a link with it stands", () =>
    others().map(({ node, link }) => [node, link === "linked" ? 1 : 0] as const),
  );
  of("synod_peer_backlog_bytes", "bytes on their way to it", () =>
    others().map(({ node, backlog }) => [node, backlog] as const),
  );
  of("synod_peer_lag_entries", "entries that it lacks, as far as the leader knows; told by the leader only", () =>
    others().flatMap(({ node, lagEntries }) => (lagEntries === null ? [] : [[node, lagEntries] as const])),
  );
}
