import { Fault } from "../base/error-codes.ts";
import { addServer, removeServer, transferLeadership } from "../server/cluster-operations.ts";
import { clusterStatusOf } from "../server/cluster-status.ts";
import { traceMessage } from "../server/message-trace.ts";
import { operate, sessionList } from "../server/operator.ts";
import type { Server } from "../server/server.ts";
import { type ProcessFacts, statusOf } from "../server/status.ts";
import type { ToldEvents } from "../server/told-events.ts";
import type { OperatorPort, RequestPort } from "./server-port.ts";

/** Digests that are computed at the same time: the first of a long room reads all of its history. */
const digestsInFlightMax = 2;

/** What clients' doors need, from this server. */
export function requestPortOf(server: Server): RequestPort {
  let digestsInFlight = 0;
  return {
    connect: (link) => server.connections.connect(link),
    identify: (claim) => server.connections.identify(claim),
    turns: server.turns,
    held: server.held,
    requests: server.requests,
    send: (caller, frame) => server.singleSends.send(caller, frame),
    get ready() {
      return server.ready;
    },
    digest: async (caller, name, upto) => {
      const room = await server.requests.certain(() => server.requests.readable(caller, name));
      if (digestsInFlight >= digestsInFlightMax) {
        throw new Fault("overloaded", "other digests are being computed", { retryAfterMs: 1_000 });
      }
      digestsInFlight++;
      try {
        if (upto !== null && upto > room.head) await server.requests.reached(room, upto);
        const last = upto ?? room.head;
        const digest = await server.digests.of(room, last);
        return { room: name, line: room.line, upto: last, digest, node: server.node };
      } finally {
        digestsInFlight--;
      }
    },
  };
}

/** What the operators' door needs, from this server and the process it runs in. */
export function operatorPortOf(
  server: Server,
  told: { facts: () => ProcessFacts; metrics: () => Promise<string>; events: ToldEvents },
): OperatorPort {
  return {
    operate: (operation) => operate(server, operation),
    status: () => statusOf(server, told.facts()),
    sessionList: (limit) => sessionList(server, limit),
    metrics: () => told.metrics(),
    cluster: {
      status: () => clusterStatusOf(server),
      add: (node, address) => addServer(server, node, address),
      remove: (node) => removeServer(server, node),
      transfer: (to) => transferLeadership(server, to),
      told: told.events,
      trace: (wanted) => {
        const { node, clock, memory, driver, proposals, recent: entries, history } = server;
        return traceMessage({ node, clock, memory, applier: driver.applier, proposals, entries, history }, wanted);
      },
    },
  };
}
