/**
 * The process ends, and its page cache lives on, still unsynced:
 * - `before`, `after`: the call did not happen at all, or whole;
 * - `half`: of a write the first half of the bytes;
 * - `cached`: all of it is in the cache, and nothing of it on the platter, though a durable write was asked for.
 */
const processEndModes = ["before", "after", "half", "cached"] as const;

/**
 * Power is lost, during the call, which had begun:
 * - `torn`: everything unsynced happens to be there, but the last write only in some of its 512-byte sectors;
 * - `lost`: nothing unsynced is there;
 * - `subset`: any part of what was unsynced, applied in any order;
 * - `renames-undone`: everything but the unsynced renames;
 * - `names-lost`: everything but the unsynced new names.
 */
export const powerLossModes = ["torn", "lost", "subset", "renames-undone", "names-lost"] as const;
export type PowerLossMode = (typeof powerLossModes)[number];

/** What a crash leaves. */
export const crashModes = [...processEndModes, ...powerLossModes] as const;
export type CrashMode = (typeof crashModes)[number];

export function isPowerLoss(mode: CrashMode): mode is PowerLossMode {
  return powerLossModes.some((one) => one === mode);
}
