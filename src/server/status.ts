import { nodeOf } from "../consensus/replica.ts";
import { serversOf } from "./cluster-status.ts";
import type { Member } from "../topology/engine.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { Server } from "./server.ts";

/** What only the process can tell. */
export interface ProcessFacts {
  readonly version: string;
  readonly rss: number;
  readonly fds: number;
  readonly uptimeMs: number;
  readonly loopDelayP99Ms: number;
}

/** What `/admin/v1/status` shows (PROTOCOL: Admin). */
export function statusOf(server: Server, facts: ProcessFacts): object {
  const { standing } = server.driver.engine;
  const { state, upkeep, sealer, memory, fanOut, counts } = server;
  const journal = server.journal.stats();
  const { version, ...processFacts } = facts;
  return {
    node: server.node,
    incarnation: server.incarnation,
    version,
    topology: server.topology,
    cluster: state.cluster,
    wallClock: server.clock.wall(),
    ready: server.ready,
    groups: [
      {
        group: state.group,
        role: standing.role,
        term: standing.term,
        leader: standing.leader,
        commitIndex: state.appliedIndex,
        appliedIndex: state.appliedIndex,
        lastIndex: server.driver.lastIndex,
        voters: namesOf(server, "voter"),
        learners: namesOf(server, "learner"),
        logTs: state.lastTs,
        logDay: state.lastDay,
        timeZone: state.timeZone,
        retentionDays: state.retentionDays,
        bounds: state.bounds,
        clockAheadMs: server.logClock.aheadMs(),
        clockDoubtedMs: server.logClock.doubtedMs(),
        lastChunk: state.lastChunk,
        snapshotIndex: sealer.snapshotIndex,
      },
    ],
    peers: serversOf(server).filter(({ isSelf }) => !isSelf),
    storage: {
      journalBytes: journal.bytes,
      journal,
      chunks: server.chunkCount,
      chunkBytes: recordBytes(state),
      diskFree: upkeep.freeBytes,
      readOnly: upkeep.isFull,
      corruptDetected: server.damagedReads.places + upkeep.scrubbed.damaged,
      scrubbedChunks: upkeep.scrubbed.whole,
      repaired: 0,
      quarantined: counts.movedAside,
      fsyncErrors: server.ready.reason === "the journal failed" ? 1 : 0,
      sealBacklog: sealer.backlog,
      unsealedBytes: memory.unsealedBytes,
      ringBytes: memory.ringBytes,
    },
    rings: memory.rings(),
    clients: {
      connections: server.connections.all.size,
      slowDropped: counts.slowDropped,
      slowPaused: fanOut.paused,
      heldBytes: server.held.bytes,
      delivered: fanOut.delivered,
      rejected: server.connections.rejected,
    },
    process: processFacts,
  };
}

function namesOf(server: Server, role: Member["role"]): string[] {
  const { members } = server.driver.engine;
  return members.filter((member) => member.role === role).map(({ replica }) => nodeOf(replica));
}

/** Bytes of the records that sealed chunks hold, uncompressed: what the log says of them, the same on every server. */
function recordBytes(state: GroupState): number {
  let sum = 0;
  for (const chunk of state.chunks()) sum += chunk.bytes;
  return sum;
}
