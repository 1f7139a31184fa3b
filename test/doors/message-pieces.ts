import type { Cid, RoomName, UserName } from "../../src/base/ids.ts";
import { messageRanges } from "../../src/protocol/message-bytes.ts";
import type { FrameWriter } from "../../src/server/frame-writer.ts";

/** A message as an event, as the server's writer makes it. */
export function encodeMessage(
  writer: FrameWriter,
  message: { room: RoomName; from: UserName; cid: Cid; seq: number; body: string },
): Uint8Array {
  const names = Buffer.from(message.room + message.from + message.cid);
  const ranges = messageRanges();
  ranges.source = Buffer.concat([names, Buffer.from(message.body)]);
  ranges.roomLength = Buffer.byteLength(message.room);
  ranges.fromLength = Buffer.byteLength(message.from);
  ranges.cidLength = Buffer.byteLength(message.cid);
  ranges.bodyStart = names.length;
  ranges.bodyLength = Buffer.byteLength(message.body);
  ranges.seq = message.seq;
  ranges.ts = 1_764_000_000_000;
  ranges.epoch = 3;
  const { slab, at } = writer;
  writer.message("event-stream", ranges);
  return writer.slab.slice(writer.slab === slab ? at : 0, writer.at);
}
