import { Command, Option } from "commander";
import type { ExitCode } from "./exit-codes.ts";
import { settings } from "./settings.ts";
import { version } from "./version.ts";

/**
 * All commands with their options and help. What a command needs beyond that is loaded when it runs: `--help` and a
 * message of one line must not wait for a server.
 */
export function makeProgram(ended: (code: ExitCode) => void): Command {
  const program = new Command("synod")
    .description("A chat server whose rooms are replicated logs: no message lost, no order scrambled.")
    .version(version)
    .showSuggestionAfterError(true)
    .showHelpAfterError("(synod COMMAND --help tells more)")
    .exitOverride();
  program.addCommand(serveCommand(ended));
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

function serveCommand(ended: (code: ExitCode) => void): Command {
  const command = new Command("serve").description("run a server in the foreground").helpGroup("Servers:");
  command.option("--config <file>", "configuration file (YAML); flags and SYNOD_… variables win over it");
  for (const setting of settings) {
    if (setting.flag === null) continue;
    const { default: fallback } = setting;
    const shown = fallback === null || Array.isArray(fallback) ? "" : ` (default: ${String(fallback)})`;
    command.addOption(new Option(setting.flag, `${setting.meaning}${shown}`));
  }
  command.option("--accept-loss", "go on without what is damaged: it is moved aside, and its messages are gone");
  command.addHelpText(
    "after",
    `
Examples:
  synod serve                                     on 127.0.0.1:7400, data in ./synod-data
  synod serve --data /var/lib/synod --port 8080
  synod serve --config synod.yaml --log json
  synod serve --host 0.0.0.0 --auth token --auth-algorithm HS256 --auth-secret-file secret

Every setting: docs/reference/configuration.md`,
  );
  command.action(async (flags: Record<string, unknown>) => {
    const [{ readConfiguration }, { serve }] = await Promise.all([
      import("./read-configuration.ts"),
      import("./serve.ts"),
    ]);
    const file = flags["config"] ?? process.env["SYNOD_CONFIG"] ?? null;
    const { configuration, warnings } = await readConfiguration({
      flags,
      environment: process.env,
      file: typeof file === "string" ? file : null,
    });
    ended(await serve(configuration, { acceptLoss: flags["acceptLoss"] === true, warnings }));
  });
  return command;
}
