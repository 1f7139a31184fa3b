import { CommanderError } from "commander";
import { visibleLines } from "../terminal/visible-text.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { makeProgram } from "./program.ts";

/** Runs the command line. What fails is told in one place: on standard error, without a stack unless it is our fault. */
async function main(): Promise<number> {
  let code: number = exitCodes.ok;
  const program = makeProgram((ended) => {
    code = ended;
  });
  try {
    await program.parseAsync(process.argv);
    return code;
  } catch (cause) {
    // Commander has said it already.
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (cause instanceof CommandFailed) {
      const lines = cause.message.split("\n").flatMap(visibleLines);
      process.stderr.write(`synod: ${lines.join("\n  ")}\n`);
      return cause.exitCode;
    }
    const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    process.stderr.write(`synod: something went wrong that should not\n${visibleLines(text).join("\n")}\n`);
    return exitCodes.failed;
  }
}

// Whoever read it has gone, as `| head` does: there is nothing to print for any more, and what the command does otherwise,
// such as storing what was said, goes on. Commands that only print look at `process.stdout.errored`, or listen too.
process.stdout.on("error", (cause: NodeJS.ErrnoException) => {
  if (cause.code !== "EPIPE") throw cause;
});

process.exitCode = await main();
