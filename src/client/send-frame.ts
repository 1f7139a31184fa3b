import type { Seq } from "../base/ids.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import type { Timeline } from "./timeline.ts";

/** What asks the server for the next step of an entry: to store the message, or whether it is stored. */
export function sendFrame(entry: OutboxEntry, timeline: Timeline | undefined): ClientFrame {
  const { send } = entry;
  const { cid, room } = send;
  if (entry.step === "lookup") return { t: "lookup", id: entry.request, room, cid };
  const place = send.to === null ? { room } : { to: send.to };
  return {
    t: "send",
    id: entry.request,
    ...place,
    cid,
    kind: send.kind ?? undefined,
    ref: send.ref ?? undefined,
    // A head of another line says nothing about this one: then the server must look through all of it.
    since: sinceOf(entry, timeline),
    prev: entry.prev ?? undefined,
    body: send.body,
  };
}

/** A head of another line says nothing about this one: then the message may stand anywhere. */
const sinceOf = ({ send }: OutboxEntry, timeline: Timeline | undefined): Seq =>
  send.line !== null && timeline?.line === send.line ? send.since : (0 as Seq);
