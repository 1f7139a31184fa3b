import { unreachable } from "../base/assert.ts";
import { putU16, putU32 } from "../base/byte-order.ts";
import type { NodeName } from "../base/ids.ts";
import type { LinkLimits } from "./link-limits.ts";
import { isServerName } from "./remote-server.ts";

/**
 * What stands on a link between two servers: frames back to back, little-endian.
 *
 * ```
 * 0  u32 length   whole frame, this field included
 * 4  u8  type     below
 * 5  u8  flags    1 = pass on to the server named first in the payload; 2 = was passed on for the server named there
 * 6  u16 kind     of control, append and bulk: the callers' own; else 0
 * 8  payload      with a flag: u8 length and a name, then the payload
 * ```
 *
 * No checksum: TLS authenticates every record, so bytes that arrive are the bytes that were sent. What rots in memory
 * or on a disk is caught by the checksums of the entries and chunks inside.
 */
export const frameTypes = {
  hello: 1,
  welcome: 2,
  confirm: 3,
  ready: 4,
  refuse: 5,
  credit: 6,
  control: 16,
  append: 17,
  bulk: 18,
} as const;

export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];

/** The ways for the callers' frames, in the order in which they are served. */
export type Lane = "control" | "append" | "bulk";

export const frameHeaderBytes = 8;
export const flagPassOn = 1;
export const flagPassedOn = 2;
/** A length byte and the longest name of a server. */
export const relayPrefixBytesMax = 61;

/** One frame as it came. `payload` is a view: whoever keeps it beyond the call copies it. */
export interface PeerFrame {
  readonly type: FrameType;
  readonly flags: number;
  readonly kind: number;
  readonly payload: Uint8Array;
}

const lanes: Readonly<Record<FrameType, Lane | null>> = {
  [frameTypes.hello]: null,
  [frameTypes.welcome]: null,
  [frameTypes.confirm]: null,
  [frameTypes.ready]: null,
  [frameTypes.refuse]: null,
  [frameTypes.credit]: null,
  [frameTypes.control]: "control",
  [frameTypes.append]: "append",
  [frameTypes.bulk]: "bulk",
};

/** The lane of a frame's type; null for frames that are the link's own. */
export const laneOf = (type: FrameType): Lane | null => lanes[type];

/** Longest payload that a caller may hand to a lane. */
export function payloadBytesMax(lane: Lane, limits: LinkLimits): number {
  switch (lane) {
    case "control":
      return limits.controlFrameBytesMax;
    case "append":
      return limits.appendFrameBytesMax;
    case "bulk":
      return limits.bulkFrameBytesMax;
    default:
      return unreachable(lane);
  }
}

/** Writes a frame's header at `at`. `payloadBytes` counts what follows it. */
export function putFrameHeader(
  into: Uint8Array,
  at: number,
  frame: { readonly type: FrameType; readonly flags: number; readonly kind: number; readonly payloadBytes: number },
): void {
  putU32(into, at, frameHeaderBytes + frame.payloadBytes);
  into[at + 4] = frame.type;
  into[at + 5] = frame.flags;
  putU16(into, at + 6, frame.kind);
}

/** A frame of the link itself, in one array. */
export function linkFrame(type: FrameType, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + payload.length);
  putFrameHeader(bytes, 0, { type, flags: 0, kind: 0, payloadBytes: payload.length });
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** What a first piece of frame says before anything is held for it; null when no link may send such a frame. */
export const frameTypeOf = (value: number): FrameType | null => (value in lanes ? (value as FrameType) : null);

/** Of a frame with a flag: the name, and what stands behind it. Null: it can't be read. */
export function relayedPayload(payload: Uint8Array): { name: NodeName; payload: Uint8Array } | null {
  const length = payload[0] ?? 0;
  if (length === 0 || payload.length < 1 + length) return null;
  const name = String.fromCharCode(...payload.subarray(1, 1 + length));
  return isServerName(name) ? { name: name as NodeName, payload: payload.subarray(1 + length) } : null;
}
