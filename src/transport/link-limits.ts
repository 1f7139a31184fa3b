import { assert } from "../base/assert.ts";
import { checkEachLimit } from "../base/limits.ts";

/**
 * Every bound of the links between servers, with its unit in its name and its reason beside it. What another server can
 * make this one hold, and what a caller can make it queue, is bounded here.
 */
export interface LinkLimits {
  /** Other servers this one may know or be dialled by. */
  readonly peersMax: number;

  // Before a link stands
  /** Longest frame of a greeting: two names, ids and a reason fit. Nothing longer is held before the greeting is done. */
  readonly greetingFrameBytesMax: number;
  /** From dial or accept to the end of the greeting. */
  readonly greetWithinMs: number;
  /** Accepted connections that have not finished their greeting. */
  readonly greetingConnectionsMax: number;
  /** How long an ended connection may stay, so that the other side can read why. */
  readonly lingerMs: number;

  // The control lane: small and urgent
  readonly controlFrameBytesMax: number;
  readonly controlQueueBytesMax: number;
  readonly controlQueueFramesMax: number;

  // The append lane: ordered, the most bytes
  /** An entry of the largest size and what stands around it. */
  readonly appendFrameBytesMax: number;
  readonly appendQueueBytesMax: number;
  readonly appendQueueFramesMax: number;
  /** Bytes sent that the other side has not said to have read: bounds what a control frame may have to wait behind. */
  readonly appendWindowBytes: number;

  // The bulk lane: pieces of snapshots and chunks
  readonly bulkFrameBytesMax: number;
  readonly bulkQueueBytesMax: number;
  readonly bulkQueueFramesMax: number;
  readonly bulkWindowBytes: number;
  /** Of all peers together, so that who catches up does not slow those who serve. */
  readonly bulkBytesPerSecond: number;
  /** What may go at once after a pause. */
  readonly bulkBurstBytes: number;
  /** After so many bytes of appends one waiting bulk frame goes, so that a busy link lets a learner catch up. */
  readonly appendBytesPerBulkFrame: number;

  // The socket
  /** Bytes handed to the socket and not taken by it, beyond which appends and bulk wait in their lanes. */
  readonly socketQueueBytesMax: number;

  // Relay
  /** Bytes of others' frames waiting here for one peer; more is dropped and counted. */
  readonly relayedQueueBytesMax: number;

  // Dialling again
  /** The bound of the first random wait; it doubles with each failure up to the highest. */
  readonly redialMsMin: number;
  readonly redialMsMax: number;
  /** The same for who was refused for a reason that an operator has to mend. */
  readonly redialRefusedMsMax: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const defaultLinkLimits: LinkLimits = {
  peersMax: 64,

  greetingFrameBytesMax: 512,
  greetWithinMs: 3_000,
  greetingConnectionsMax: 64,
  lingerMs: 1_000,

  controlFrameBytesMax: 64 * KiB,
  controlQueueBytesMax: 1 * MiB,
  controlQueueFramesMax: 4_096,

  appendFrameBytesMax: 2 * MiB,
  appendQueueBytesMax: 8 * MiB,
  appendQueueFramesMax: 1_024,
  appendWindowBytes: 4 * MiB,

  bulkFrameBytesMax: 64 * KiB,
  bulkQueueBytesMax: 512 * KiB,
  bulkQueueFramesMax: 64,
  bulkWindowBytes: 512 * KiB,
  bulkBytesPerSecond: 64 * MiB,
  bulkBurstBytes: 1 * MiB,
  appendBytesPerBulkFrame: 1 * MiB,

  socketQueueBytesMax: 256 * KiB,

  relayedQueueBytesMax: 1 * MiB,

  redialMsMin: 50,
  redialMsMax: 1_000,
  redialRefusedMsMax: 10_000,
};

/** Asserts the bounds against each other, so that a changed one cannot break a promise made by another. */
export function checkLinkLimits(limits: LinkLimits): void {
  checkEachLimit(limits);
  assert(limits.greetingFrameBytesMax >= 512, "greetingFrameBytesMax must hold two names and a reason");
  assert(limits.controlQueueBytesMax >= limits.controlFrameBytesMax, "controlQueueBytesMax must hold a frame");
  assert(limits.appendQueueBytesMax >= limits.appendFrameBytesMax, "appendQueueBytesMax must hold a frame");
  assert(limits.appendWindowBytes >= limits.appendFrameBytesMax, "appendWindowBytes must hold a frame");
  assert(limits.bulkFrameBytesMax <= 64 * KiB, "a bulk frame must not hold up control");
  assert(limits.bulkQueueBytesMax >= limits.bulkFrameBytesMax, "bulkQueueBytesMax must hold a frame");
  assert(limits.bulkWindowBytes >= limits.bulkFrameBytesMax, "bulkWindowBytes must hold a frame");
  assert(limits.bulkBurstBytes >= limits.bulkFrameBytesMax, "bulkBurstBytes must hold a frame");
  assert(limits.redialMsMax >= limits.redialMsMin, "redialMsMax must not be below redialMsMin");
  assert(limits.redialRefusedMsMax >= limits.redialMsMax, "redialRefusedMsMax must not be below redialMsMax");
}
