import { Command, Option } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import { settings } from "../settings.ts";

/** `synod serve`: each setting that has a flag is an option, and so is what holds for one start only. */
export function serveCommand(ended: (code: ExitCode) => void): Command {
  const command = new Command("serve").description("run a server in the foreground").helpGroup("Servers:");
  command.option("--config <file>", "configuration file (YAML); flags and SYNOD_… variables win over it");
  for (const setting of settings) {
    if (setting.flag === null) continue;
    const { default: fallback } = setting;
    const shown = fallback === null || Array.isArray(fallback) ? "" : ` (default: ${String(fallback)})`;
    command.addOption(new Option(setting.flag, `${setting.meaning}${shown}`));
  }
  command.option("--accept-loss", "go on without what is damaged: it is moved aside, and its messages are gone");
  command.option(
    "--open-room <room...>",
    "with --accept-loss, where the state is rebuilt: anybody may read this room; all others become private",
  );
  command.option("--restored", "the data is an older copy: rooms get another line, so that clients read anew; once");
  command.addHelpText(
    "after",
    `
Examples:
  synod serve                                     on 127.0.0.1:7400, data in ./synod-data
  synod serve --data /var/lib/synod --port 8080
  synod serve --config synod.yaml --log json
  synod serve --host 0.0.0.0 --auth token --auth-algorithm HS256 --auth-secret-file secret
  synod serve --node n1 --topology leader --secret-file cluster.secret --peer-host 10.0.0.1 \\
    --peers n1=10.0.0.1:7401,n2=10.0.0.2:7401,n3=10.0.0.3:7401        one of three; the others the same

Every setting: docs/reference/configuration.md`,
  );
  command.action(async (flags: Record<string, unknown>) => {
    const [{ readConfiguration }, { serve }] = await Promise.all([
      import("../read-configuration.ts"),
      import("../serve.ts"),
    ]);
    const file = flags["config"] ?? process.env["SYNOD_CONFIG"] ?? null;
    const { configuration, given, warnings } = await readConfiguration({
      flags,
      environment: process.env,
      file: typeof file === "string" ? file : null,
    });
    const openRooms = new Set((flags["openRoom"] as string[] | undefined) ?? []);
    const once = { acceptLoss: flags["acceptLoss"] === true, restored: flags["restored"] === true, openRooms };
    ended(await serve(configuration, { ...once, given, warnings }));
  });
  return command;
}
