import { checkLimits, defaultLimits, type Limits } from "../base/limits.ts";
import type { Random } from "../base/random.ts";

const KiB = 1024;

/**
 * Bounds so small that what is rare in production, a rolled segment, a sealed chunk, an id that left the window, a
 * full ring, a refused sender, happens many times in a simulated minute. They keep every rule of `checkLimits`.
 */
export function drawTinyLimits(random: Random): Limits {
  const pick = (...values: readonly number[]): number => values[random.whole(values.length)]!;
  const bodyBytesMax = pick(256, 512, 1 * KiB);
  const entryBytesMax = bodyBytesMax * pick(2, 4);
  // The smallest segment that the largest batch leaves: 9 to 16 KiB.
  const segmentBytes = Math.ceil((entryBytesMax * 2 + 8 * KiB) / KiB) * KiB;
  const chunkBytes = pick(8 * KiB, 16 * KiB);
  const limits: Limits = {
    ...defaultLimits,
    bodyBytesMax,
    frameBytesMax: bodyBytesMax * 6 + 4 * KiB,
    entryBytesMax,
    segmentBytes,
    chunkBytes,
    unsealedBytesMax: chunkBytes * pick(2, 4),
    uncommittedBytesMax: entryBytesMax * pick(1, 4, 16),
    idWindowEntries: pick(8, 16, 64),
    ringSlots: pick(4, 8, 16),
    ringBytesMax: pick(4 * KiB, 64 * KiB),
    histItemsMax: pick(3, 10, 50),
    histBytesMax: bodyBytesMax * pick(1, 4),
    requestsInFlightMax: pick(1, 4, 16),
    socketQueueBytesMax: bodyBytesMax * pick(1, 8, 64),
    diskReserveBytes: segmentBytes + chunkBytes,
  };
  checkLimits(limits);
  return limits;
}
