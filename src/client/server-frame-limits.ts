import { defaultLimits } from "../base/limits.ts";
import { type FrameLimits, limitsOfServerFrames } from "../protocol/check-frame.ts";
import type { ServerFrame, ServerFrameOf } from "../protocol/schema.ts";

/** Below the longest text that a JavaScript engine takes: no page may be longer, whatever a server says of itself. */
const longestTextMax = 500 * 1024 * 1024;

/** How long a server's frames may be before it has said anything of itself. */
export const unwelcomedLimits: FrameLimits = limitsOfServerFrames(defaultLimits);

/**
 * How long the frames of the server may be that has sent these. An operator may raise what a body takes, and then each
 * reader must take it as well. The bounds are never below those of a server as it is shipped: a lowered one may still
 * hold what it took before. A page holds `histItemsMax` bodies at most, whatever its own bound in bytes.
 */
export function limitsAfter(frames: readonly ServerFrame[], before: FrameLimits): FrameLimits {
  let limits = before;
  for (const frame of frames) if (frame.t === "welcome") limits = limitsOf(frame.limits);
  return limits;
}

function limitsOf(told: ServerFrameOf<"welcome">["limits"]): FrameLimits {
  const bodyBytesMax = Math.max(told.bodyBytesMax, defaultLimits.bodyBytesMax);
  const histItemsMax = Math.max(told.histItemsMax, defaultLimits.histItemsMax);
  const limits = limitsOfServerFrames({
    ...defaultLimits,
    bodyBytesMax,
    histItemsMax,
    frameBytesMax: Math.max(told.frameBytesMax, defaultLimits.frameBytesMax),
    histBytesMax: bodyBytesMax * histItemsMax,
    roomsMax: Math.max(told.roomsMax, defaultLimits.roomsMax),
  });
  return { ...limits, frameBytesMax: Math.min(limits.frameBytesMax, longestTextMax) };
}
