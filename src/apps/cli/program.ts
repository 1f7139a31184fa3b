import { Command } from "commander";
import type { ExitCode } from "../terminal/exit-codes.ts";
import { benchCommand } from "./commands/bench-command.ts";
import { chatCommand } from "./commands/chat-command.ts";
import { clusterCommand } from "./commands/cluster-command.ts";
import { demoCommand } from "./commands/demo-command.ts";
import { sendCommand } from "./commands/send-command.ts";
import { serveCommand } from "./commands/serve-command.ts";
import { simCommand } from "./commands/sim-command.ts";
import { statusCommand } from "./commands/status-command.ts";
import { tailCommand } from "./commands/tail-command.ts";
import { traceCommand } from "./commands/trace-command.ts";
import { verifyCommand } from "./commands/verify-command.ts";
import { version } from "./version.ts";

/**
 * All commands. `commands/` has the words of each: its options, its help. What it does is in a file of its own, loaded
 * when it runs: `--help` and a message of one line must not wait for a server.
 */
export function makeProgram(ended: (code: ExitCode) => void): Command {
  const program = new Command("synod")
    .description("A chat server whose rooms are replicated logs: no message lost, no order scrambled.")
    .version(version)
    .showSuggestionAfterError(true)
    .showHelpAfterError("(synod COMMAND --help tells more)")
    .exitOverride();
  program.addCommand(serveCommand(ended));
  program.addCommand(chatCommand());
  program.addCommand(sendCommand());
  program.addCommand(tailCommand());
  program.addCommand(statusCommand(ended));
  program.addCommand(clusterCommand(ended));
  program.addCommand(traceCommand(ended));
  program.addCommand(verifyCommand(ended));
  program.addCommand(demoCommand(ended));
  program.addCommand(benchCommand(ended));
  program.addCommand(simCommand(ended));
  for (const command of program.commands) {
    command.copyInheritedSettings(program);
    for (const part of command.commands) part.copyInheritedSettings(program);
  }
  return program;
}
