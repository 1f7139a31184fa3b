import type { Seq } from "../base/ids.ts";
import type { ClientFrame } from "../protocol/schema.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import type { Timeline } from "./timeline.ts";

/** What asks the server for the next step of an entry: to store the message, or whether it is stored. */
export function sendFrame(entry: OutboxEntry, timeline: Timeline | undefined): ClientFrame {
  const { send, request: id } = entry;
  const { cid, room, to } = send;
  if (entry.step === "lookup") return { t: "lookup", id, room, cid };
  return {
    t: "send",
    id,
    room: to === null ? room : undefined,
    to: to ?? undefined,
    cid,
    kind: send.kind ?? undefined,
    ref: send.ref ?? undefined,
    // A head of another line says nothing about this one: then the message may stand anywhere, and the server must look.
    since: send.line !== null && timeline?.line === send.line ? send.since : (0 as Seq),
    prev: entry.prev ?? undefined,
    body: send.body,
  };
}
