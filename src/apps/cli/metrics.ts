import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
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
  gauge("synod_connections", "clients connected, all doors together", () => server.sessions.size);
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
  counter("synod_deliveries_total", "messages handed to readers", () => fanOut.delivered);
  counter("synod_readers_paused_total", "times a slow reader was moved to history", () => fanOut.paused);
  counter("synod_readers_dropped_total", "readers ended because they took nothing", () => counts.slowDropped);
  counter(
    "synod_connections_rejected_total",
    "connections refused before they greeted",
    () => server.admission.rejected,
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
  // Before anything was measured a mean is no number: a value that is not there yet is not told.
  return async () => (await register.metrics()).replaceAll(/^\S+ nan\n/gimu, "");
}
