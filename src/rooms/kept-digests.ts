import { getU48 } from "../base/byte-order.ts";
import { linkBytes, linkMessages } from "./digest-link.ts";
import { isSaved } from "../base/sha256.ts";

/**
 * What a room keeps of the digests of messages that it no longer keeps. It comes with the `trim` that removes them: the
 * orderer reads them once more before it proposes that they go, and from then on the log remembers. 32 bytes for 1024
 * messages, and one link half-way. Never changed: a trim puts another in its place.
 */
export interface KeptDigests {
  /** The last message that went into these: the one before the room's `first`, unless one was lost or the room deleted. */
  readonly through: number;
  /** The whole links up to there, back to back. */
  readonly links: Uint8Array;
  /** The link behind them, put aside half-way; empty when `through` is 0. */
  readonly saved: Uint8Array;
}

export const noKeptDigests: KeptDigests = { through: 0, links: new Uint8Array(0), saved: new Uint8Array(0) };

/** Links that one trim brings at most: a trim is a small command, and a bounded piece of work. */
export const trimLinksMax = 256;

/** The last message that a trim may remove when digests are kept through `base`. */
export const trimmedThroughMax = (base: number): number =>
  (Math.floor(base / linkMessages) + trimLinksMax) * linkMessages;

/** Whole links between two places. */
const linksBetween = (base: number, through: number): number =>
  Math.floor(through / linkMessages) - Math.floor(base / linkMessages);

/** What one trim adds: the links that end behind `base`, up to `through`, and what is half-way there. */
export interface DigestStep {
  readonly base: number;
  readonly links: Uint8Array;
  readonly saved: Uint8Array;
}

/** Whether `length` bytes at `start` are the links and the saved state of a trim through `through`. */
export function isDigestStep(b: Uint8Array, start: number, length: number, base: number, through: number): boolean {
  const links = linksBetween(base, through);
  if (through <= base || links > trimLinksMax || length < links * linkBytes) return false;
  const saved = b.subarray(start + links * linkBytes, start + length);
  return isSaved(saved) && getU48(saved, 0) >= linkBytes;
}

/** The digests kept after a trim through `through`, whose links and saved state are `bytes`. */
export function withDigestStep(before: KeptDigests, through: number, bytes: Uint8Array): KeptDigests {
  const added = linksBetween(before.through, through) * linkBytes;
  const links = new Uint8Array(before.links.length + added);
  links.set(before.links);
  links.set(bytes.subarray(0, added), before.links.length);
  return { through, links, saved: bytes.slice(added) };
}
