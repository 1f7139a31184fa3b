import { assert } from "../base/assert.ts";
import { checkEachLimit } from "../base/limits.ts";

/**
 * What a group waits for and how much it holds. None of it matters for safety: with any values nothing is lost, only
 * later or not at all decided.
 */
export interface GroupSettings {
  /** How long a leader is believed after its last word where nothing else vouches for it, and how long votes are waited for. */
  readonly electionTimeoutMs: number;
  /** How long a leader that lost its quorum refuses work before it gives up leading. */
  readonly stepDownAfterMs: number;
  /** After this long without an answer what may have been lost is asked for again. */
  readonly resendAfterMs: number;
  /** How long proposals are refused for the sake of a transfer before it is given up. */
  readonly transferWithinMs: number;
  /** After this long a read is confirmed anew, with a fresh context. */
  readonly readRetryAfterMs: number;
  /** After this long a read is refused. */
  readonly readWithinMs: number;
  /** Entries of one message, by bytes of payload; one entry always goes. */
  readonly appendBytesMax: number;
  /** The same while it is not known where the follower's log agrees. */
  readonly probeBytesMax: number;
  /** Messages and bytes of payload on their way to one follower. */
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  /** Bytes of proposals not yet committed; an entry without payload is never refused for it. */
  readonly uncommittedBytesMax: number;
  /** The newest entries are kept at hand for followers, by number and bytes of payload; older ones are fetched. */
  readonly tailEntriesMax: number;
  readonly tailBytesMax: number;
  /** Reads that wait at the same time. */
  readonly readsMax: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const defaultGroupSettings: GroupSettings = {
  electionTimeoutMs: 600,
  stepDownAfterMs: 600,
  resendAfterMs: 250,
  transferWithinMs: 600,
  readRetryAfterMs: 200,
  readWithinMs: 2_000,
  appendBytesMax: 1 * MiB,
  probeBytesMax: 64 * KiB,
  inFlightMessagesMax: 256,
  inFlightBytesMax: 4 * MiB,
  uncommittedBytesMax: 64 * MiB,
  tailEntriesMax: 4_096,
  tailBytesMax: 8 * MiB,
  readsMax: 4_096,
};

export function checkGroupSettings(settings: GroupSettings): void {
  checkEachLimit(settings);
  assert(settings.inFlightBytesMax >= settings.appendBytesMax, "inFlightBytesMax must hold one message");
  assert(settings.appendBytesMax >= settings.probeBytesMax, "appendBytesMax must hold a probe");
  assert(settings.resendAfterMs < settings.electionTimeoutMs, "what was lost must be asked for before a vote is");
  assert(settings.readRetryAfterMs < settings.readWithinMs, "a read must be tried again before it is refused");
}
