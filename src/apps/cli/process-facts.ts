import { readdirSync } from "node:fs";
import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { ProcessFacts } from "../../server/status.ts";
import { version } from "./version.ts";

/** How often the event loop is looked at, in milliseconds. */
const resolutionMs = 20;
/** The delays told are of the last minute or two, not of the whole life. */
const windowMs = 60_000;

/** What this process can tell about itself. Runs from now on until the process ends. */
export function watchProcess(): () => ProcessFacts {
  let recent = startedHistogram();
  let before: IntervalHistogram | null = null;
  setInterval(() => {
    before?.disable();
    [before, recent] = [recent, startedHistogram()];
  }, windowMs).unref();
  return () => {
    const delays = [recent, ...(before === null ? [] : [before])].map((histogram) => histogram.percentile(99) / 1e6);
    return {
      version,
      rss: process.memoryUsage.rss(),
      fds: openFiles(),
      uptimeMs: Math.round(process.uptime() * 1_000),
      // The histogram counts from its own timer, which is asked for every `resolutionMs`.
      loopDelayP99Ms: Math.max(0, Math.round((Math.max(...delays) - resolutionMs) * 10) / 10),
    };
  };
}

function startedHistogram(): IntervalHistogram {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  return histogram;
}

/** 0 where the system does not tell. */
function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch (cause) {
    if (cause instanceof Error && "code" in cause) return 0;
    throw cause;
  }
}
