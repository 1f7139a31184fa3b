import { FanOutLoad } from "./fan-out-load.ts";
import { IdleLoad } from "./idle-load.ts";
import type { GeneratorMessage, GeneratorOrder, Job, JobResult } from "./job.ts";
import { PublishLoad } from "./publish-load.ts";

/**
 * A generator process: gets one job from its parent, connects, says that it is ready, runs when told to, answers with
 * the result and ends. It also ends when the parent is gone.
 */
function main(): void {
  const say = (message: GeneratorMessage): void => {
    process.send?.(message);
  };
  const fail = (cause: unknown): void => {
    process.exitCode = 1;
    const why = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    process.send?.({ t: "failed", why } satisfies GeneratorMessage, () => process.exit(1));
  };
  process.on("uncaughtException", fail);
  process.on("disconnect", () => process.exit(1));
  let start: (() => Promise<JobResult>) | null = null;
  process.on("message", (order: GeneratorOrder) => {
    if (order.t === "prepare") {
      prepared(order.job).then((run) => {
        start = run;
        say({ t: "ready" });
      }, fail);
    } else if (start !== null) {
      start().then((result) => say({ t: "done", result }), fail);
    }
  });
}

async function prepared(job: Job): Promise<() => Promise<JobResult>> {
  switch (job.kind) {
    case "publish": {
      const load = new PublishLoad(job);
      await load.prepare();
      return () => load.run();
    }
    case "fan-out": {
      const load = new FanOutLoad(job);
      await load.prepare();
      return () => load.run();
    }
    case "idle": {
      const load = new IdleLoad(job);
      await load.prepare();
      return () => load.run();
    }
  }
}

main();
