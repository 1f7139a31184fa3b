import { type RunOptions, type RunResult, runSeed } from "../../sim/run-seed.ts";

export interface AttributedRun extends RunResult {
  readonly wallSeconds: number;
  /** Of this process while the run went on. */
  readonly cpuSeconds: number;
}

/**
 * Runs one seed, and counts what nobody caught meanwhile, an assertion in a task that nothing awaits, as a violation of
 * this seed. The hooks are the process's, so one run at a time.
 */
export async function runAttributed(options: RunOptions): Promise<AttributedRun> {
  const uncaught: string[] = [];
  const note = (cause: unknown): void => {
    uncaught.push(`uncaught: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`);
  };
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
  const began = performance.now();
  const cpuBegan = process.cpuUsage();
  try {
    const result = await runSeed(options);
    // A rejection that nobody handles is told only after its turn.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    const { user, system } = process.cpuUsage(cpuBegan);
    return {
      ...result,
      violations: [...result.violations, ...uncaught],
      wallSeconds: (performance.now() - began) / 1_000,
      cpuSeconds: (user + system) / 1e6,
    };
  } finally {
    process.off("unhandledRejection", note);
    process.off("uncaughtException", note);
  }
}
