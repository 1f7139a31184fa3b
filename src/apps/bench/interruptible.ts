import { rmSync } from "node:fs";
import { makeDataDirectory } from "./data-directory.ts";
import { ServerProcesses } from "./peers/server-process.ts";
import type { World } from "./peers/systems.ts";

/**
 * Runs a benchmark with servers and a folder of its own, and answers with the exit code. When it settles, all servers
 * are ended and all files removed, also when it failed or was interrupted.
 */
export async function interruptible(
  options: { readonly root: string; readonly data: string | undefined },
  run: (world: World, directory: string) => Promise<void>,
): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interrupted.abort(new Error(`interrupted by ${signal}`));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  const processes = new ServerProcesses();
  const directory = makeDataDirectory(options.root, options.data);
  try {
    await run({ processes, root: options.root, signal: interrupted.signal }, directory);
    return 0;
  } catch (cause) {
    if (!interrupted.signal.aborted) throw cause;
    process.stderr.write("\ninterrupted; servers ended, files removed\n");
    return 130;
  } finally {
    process.removeListener("SIGINT", interrupt);
    process.removeListener("SIGTERM", interrupt);
    await processes.endAll();
    rmSync(directory, { recursive: true, force: true });
  }
}
