import type { ServerResponse } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { Hono } from "hono";
import type { Clock, Timer } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import type { NodeName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import type { JsonObject } from "../protocol/check-frame.ts";
import { isCid, isRoomName, isUserName } from "../protocol/names.ts";
import type { Log } from "../server/log.ts";
import { addressOf } from "../server/peer-list.ts";
import { type HttpContext, queryOf } from "./http-request.ts";
import { answerHeaders, json } from "./json-response.ts";
import type { ClusterPort } from "./server-port.ts";

type AdminApp = Hono<{ Bindings: HttpBindings }>;

/** How often those who watch are told how the cluster stands. */
const statusEveryMs = 1_000;
/** What may wait for a watcher that does not read; beyond that it is let go, and resumes by the number it has. */
const watcherBytesMax = 256 * 1024;

/** The operators' port as far as it is about the cluster: how it stands, who belongs to it, who leads, and what happened. */
export function clusterRoutes(
  app: AdminApp,
  options: {
    readonly cluster: ClusterPort;
    readonly clock: Clock;
    readonly log: Log;
    readonly fieldsOf: (context: HttpContext) => Promise<JsonObject>;
  },
): void {
  const { cluster, clock, log, fieldsOf } = options;

  app.get("/admin/v1/cluster", () => json(cluster.status()));

  app.put("/admin/v1/cluster/servers/:node", async (context) => {
    const node = serverNamed(context.req.param("node"));
    const text = (await fieldsOf(context))["address"];
    const address = typeof text === "string" ? addressOf(text) : null;
    if (address === null)
      throw new Fault("bad_request", '"address" must be HOST:PORT, where others reach its peer port');
    await cluster.add(node, address);
    log.info("operation.done", { type: "cluster.add", node, address: text });
    return json(cluster.status());
  });

  app.delete("/admin/v1/cluster/servers/:node", async (context) => {
    const node = serverNamed(context.req.param("node"));
    await cluster.remove(node);
    log.info("operation.done", { type: "cluster.remove", node });
    return json(cluster.status());
  });

  app.post("/admin/v1/cluster/transfer", async (context) => {
    const { to = null } = await fieldsOf(context);
    if (to !== null && typeof to !== "string") throw new Fault("bad_request", '"to" must be the name of a server');
    const leader = await cluster.transfer(to === null ? null : serverNamed(to));
    log.info("operation.done", { type: "cluster.transfer", to, leader });
    return json({ ...cluster.status(), leader });
  });

  app.get("/admin/v1/cluster/events", (context) => {
    const { began, last } = cluster.told;
    return json({ began, last, events: cluster.told.after(afterOf(context, began)) });
  });

  app.get("/admin/v1/cluster/watch", (context) => {
    watch(context.env.outgoing, { cluster, clock, after: afterOf(context, cluster.told.began) });
    return RESPONSE_ALREADY_SENT;
  });

  app.get("/admin/v1/trace/:cid", async (context) => {
    const cid = context.req.param("cid");
    const { room = null, from = null } = queryOf(context, ["room", "from"]);
    if (!isCid(cid)) throw new Fault("bad_request", "this is not the id of a message");
    if (room !== null && !isRoomName(room)) throw new Fault("bad_request", "this is not the name of a room");
    if (from !== null && !isUserName(from)) throw new Fault("bad_request", '"from" must be the name of a user');
    if ((room === null) !== (from === null)) throw new Fault("bad_request", '"room" and "from" go together');
    return json(await cluster.trace({ cid, room, from }));
  });
}

function serverNamed(text: string): NodeName {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/.test(text)) return text as NodeName;
  throw new Fault("bad_request", "this is not the name of a server: 1 to 60 letters, digits, dots, - or _");
}

/**
 * From the query, or from what a reader that resumes says it has. Numbers begin anew with a process: what was read of
 * another one, as `began` says, is no place in this one's.
 */
function afterOf(context: HttpContext, began: number): number {
  const { after = "0", began: of } = queryOf(context, ["after", "began"]);
  const text = context.req.header("last-event-id") ?? after;
  if (!/^\d{1,15}$/.test(text)) throw new Fault("bad_request", '"after" must be the number of an event');
  return of === undefined || of === String(began) ? Number(text) : 0;
}

/** Server-sent events: what happened, each with its number as id, and every second how the cluster stands. */
function watch(
  outgoing: ServerResponse,
  { cluster, clock, after }: { cluster: ClusterPort; clock: Clock; after: number },
): void {
  outgoing.writeHead(200, { ...answerHeaders, "content-type": "text/event-stream; charset=utf-8" });
  const write = (text: string): void => {
    if (outgoing.writableLength > watcherBytesMax) outgoing.destroy();
    else outgoing.write(text);
  };
  const tell = (event: ReturnType<ClusterPort["told"]["after"]>[number]): void =>
    write(`id: ${event.number}\nevent: told\ndata: ${JSON.stringify(event)}\n\n`);
  const { began } = cluster.told;
  const status = (): void => write(`event: status\ndata: ${JSON.stringify({ began, ...cluster.status() })}\n\n`);
  // First who speaks, then what happened to it.
  status();
  for (const event of cluster.told.after(after)) tell(event);
  const unlisten = cluster.told.listen(tell);
  let timer: Timer;
  const later = (): void => {
    timer = clock.after(millis(statusEveryMs), () => {
      status();
      later();
    });
  };
  later();
  outgoing.once("close", () => {
    timer.cancel();
    unlisten();
  });
}
