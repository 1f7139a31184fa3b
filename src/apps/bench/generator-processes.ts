import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { GeneratorMessage, GeneratorOrder, Job, JobResult } from "./job.ts";

/** A module of this folder as the program of a process of its own. */
export function forkModule(name: "generator" | "null-server-process"): ChildProcess {
  return fork(new URL(`./${name}.js`, import.meta.url), [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

/** Ends a process by its id, hard if it must be; settles when it is gone. */
export async function endProcess(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const impatience = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await gone;
  clearTimeout(impatience);
}

/**
 * Runs the jobs at the same time, each in a process of its own: all connect, and only then all start. Settles with the
 * results in the order of the jobs, when no process is left; rejects when one of them fails or `signal` aborts.
 */
export async function runJobs<R extends JobResult>(
  jobs: readonly (Job & { readonly kind: R["kind"] })[],
  signal: AbortSignal,
): Promise<R[]> {
  signal.throwIfAborted();
  const children = jobs.map(() => forkModule("generator"));
  const end = (): void => {
    for (const child of children) child.kill("SIGKILL");
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    await Promise.all(children.map((child, place) => ordered(child, { t: "prepare", job: jobs[place]! }, "ready")));
    const results = await Promise.all(children.map((child) => ordered(child, { t: "start" }, "done")));
    return results.map((message) => (message as Extract<GeneratorMessage, { t: "done" }>).result as R);
  } catch (cause) {
    signal.throwIfAborted();
    throw cause;
  } finally {
    signal.removeEventListener("abort", end);
    await Promise.all(children.map((child) => endProcess(child, 1_000)));
  }
}

/** Gives one order and waits for its answer. */
function ordered(child: ChildProcess, order: GeneratorOrder, wanted: GeneratorMessage["t"]): Promise<GeneratorMessage> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      child.removeAllListeners("message");
      child.removeAllListeners("exit");
      finish();
    };
    child.on("message", (message: GeneratorMessage) => {
      if (message.t === "failed") settle(() => reject(new Error(message.why)));
      else if (message.t === wanted) settle(() => resolve(message));
    });
    child.on("exit", (code, ended) => {
      settle(() => reject(new Error(`a generator process ended with ${code ?? ended ?? "nothing"}`)));
    });
    child.send(order);
  });
}
