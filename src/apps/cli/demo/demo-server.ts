import { nodeFileSystem } from "../../../platform/node/node-file-system.ts";
import { readConfiguration } from "../read-configuration.ts";
import { serve } from "../serve.ts";
import { CommandFailed, exitCodes } from "../../terminal/exit-codes.ts";
import { SlowDisk } from "./slow-disk.ts";

/**
 * One server of the demonstration: `synod serve`, in a process of its own, on the configuration file it is given, but that
 * its disk can be made slow from outside. It ends when whoever started it is gone.
 */
async function main(file: string): Promise<number> {
  const slow = new SlowDisk();
  process.on("message", (told: unknown) => {
    if (typeof told === "object" && told !== null && "delayMs" in told) slow.delayMs = Number(told.delayMs);
  });
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
  // The channel alone keeps no server alive.
  process.channel?.unref();
  const { configuration, given, warnings } = await readConfiguration({ flags: {}, environment: {}, file });
  const fileSystem = (data: string) => slow.over(nodeFileSystem(data));
  return serve(configuration, { acceptLoss: false, restored: false, given, warnings, fileSystem });
}

try {
  process.exitCode = await main(process.argv[2] ?? "");
} catch (cause) {
  if (!(cause instanceof CommandFailed)) throw cause;
  process.stderr.write(`${cause.message}\n`);
  process.exitCode = cause.exitCode;
}
// It has ended, and so has the channel to whoever started it.
process.removeAllListeners("disconnect");
if (process.connected) process.disconnect();
if (process.exitCode !== exitCodes.ok) process.exit();
