import type { ChunkFooter } from "./chunk-layout.ts";

/** What a seal says of its chunk. */
export interface SealSaid {
  readonly from: number;
  readonly to: number;
  readonly day: number;
  readonly messages: number;
  readonly bytes: number;
}

/** What tells a chunk from the one that was sealed under its number, in words; null if nothing does. */
export function sealDifference(sealed: SealSaid, { meta, totals }: ChunkFooter): string | null {
  if (meta.from !== sealed.from || meta.to !== sealed.to) {
    return `it holds entries ${meta.from + 1} to ${meta.to}, the log sealed ${sealed.from + 1} to ${sealed.to}`;
  }
  if (meta.day !== sealed.day) return `it is of the day ${meta.day}, the log sealed ${sealed.day}`;
  const isSame = totals.messages === sealed.messages && totals.recordBytes === sealed.bytes;
  // What was removed since is not in a later generation.
  const isLess = meta.generation > 0 && totals.messages <= sealed.messages;
  if (isSame || isLess) return null;
  return (
    `it holds ${totals.messages} messages of ${totals.recordBytes} bytes, ` +
    `the log sealed ${sealed.messages} of ${sealed.bytes}`
  );
}
