import { Command, Option } from "commander";
import { type ClientFlags, clientOptions, withClientOptions } from "./client-options.ts";
import { whole } from "./number-arguments.ts";
import { outputOption } from "./output-option.ts";

/** `synod tail` with its options and help. */
export function tailCommand(): Command {
  return withClientOptions(new Command("tail"))
    .helpGroup("Chat:")
    .description("print a room's messages in order")
    .argument("<room>", "a room, or @user")
    .addOption(new Option("--after <seq>", "everything after this place; 0 = from the beginning").argParser(whole))
    .addOption(new Option("-n, --lines <count>", "how many of the last").argParser(whole).default(20))
    .option("-f, --follow", "go on with what is said from now on")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod tail lobby -f
  synod tail ops --after 0 -o json | jq -r .body`,
    )
    .action(async (room: string, flags: ClientFlags & { after?: number; lines: number; follow?: boolean }) => {
      const { tail } = await import("../../terminal/tail.ts");
      const { after = null, lines: count, follow = false } = flags;
      await tail({ ...clientOptions(flags), room, after, count, follow });
    });
}
