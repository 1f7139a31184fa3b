import { checkLimits, defaultLimits, type Limits } from "../../../src/base/limits.ts";

const KiB = 1024;

/**
 * Limits so small that segments roll and chunks are sealed many times a second under load, so that a kill at any
 * moment often meets one. Everything else a client may grow stays as it ships.
 */
export function smallLimits(): Partial<Limits> {
  const small = {
    bodyBytesMax: 1 * KiB,
    frameBytesMax: 10 * KiB,
    entryBytesMax: 8 * KiB,
    segmentBytes: 32 * KiB,
    chunkBytes: 48 * KiB,
    unsealedBytesMax: 192 * KiB,
    uncommittedBytesMax: 128 * KiB,
    idWindowEntries: 128,
    ringSlots: 32,
    ringBytesMax: 64 * KiB,
    histItemsMax: 100,
    histBytesMax: 64 * KiB,
    diskReserveBytes: 1024 * KiB,
  } satisfies Partial<Limits>;
  checkLimits({ ...defaultLimits, ...small });
  return small;
}
