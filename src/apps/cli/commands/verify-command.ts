import { Command } from "commander";
import { CommandFailed, type ExitCode, exitCodes } from "../../terminal/exit-codes.ts";
import { outputOption } from "./output-option.ts";

interface VerifyFlags {
  readonly url?: string;
  readonly room?: string[];
  readonly user?: string;
  readonly tokenFile?: string;
  readonly output: string;
}

/** `synod verify` with its options and help. */
export function verifyCommand(ended: (code: ExitCode) => void): Command {
  return new Command("verify")
    .helpGroup("Servers:")
    .description("check every byte of a stopped server's data directory, or compare servers that run")
    .argument(
      "[dir-or-url...]",
      "a data directory, or a copy of one without its lock files; or public ports of servers, http://HOST:7400",
    )
    .option("--url <url>", "public ports of servers, the same as arguments; several with commas")
    .option("--room <name...>", "rooms to compare, besides those the user belongs to")
    .option("--user <name>", "who reads them (SYNOD_USER; else who a token is for, or who you are on this machine)")
    .option("--token-file <file>", "token to prove it with (or SYNOD_TOKEN)")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod verify ./synod-data
  synod verify /backup/synod -o json | jq .damage
  synod verify http://10.0.0.1:7400 http://10.0.0.2:7400 http://10.0.0.3:7400 --user alice
  synod verify --url http://10.0.0.1:7400,http://10.0.0.2:7400,http://10.0.0.3:7400 --user alice

Changes nothing. Ends with 1 when there is damage, or when servers differ, and lists where.`,
    )
    .action(async (named: string[], flags: VerifyFlags) => {
      const { url, room: rooms = [], user = null, tokenFile = null, output } = flags;
      const json = output === "json";
      const urls = url === undefined ? [] : url.split(",").map(withScheme);
      // All that are named: one that is left out would pass for one that is equal.
      if (named.length + urls.length > 0 && named.every((text) => text.includes("://"))) {
        const { verifyServers } = await import("../verify-servers.ts");
        ended(await verifyServers({ urls: [...named, ...urls], rooms, user, tokenFile, json }));
        return;
      }
      const { verify } = await import("../verify.ts");
      ended(await verify({ directory: oneDirectory([...named, ...urls]), json }));
    });
}

/** What `--url` names is an address and no directory, also without its beginning. */
function withScheme(text: string): string {
  const trimmed = text.trim();
  return trimmed.includes("://") ? trimmed : `http://${trimmed}`;
}

function oneDirectory([directory, ...others]: readonly string[]): string {
  if (directory !== undefined && others.length === 0) return directory;
  throw new CommandFailed(exitCodes.usage, "name one data directory, or addresses of servers such as http://HOST:7400");
}
