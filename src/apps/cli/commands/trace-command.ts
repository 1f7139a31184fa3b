import { Command } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import { dataOption, type OperatorsFlags, operatorsOptions } from "./operators-options.ts";
import { outputOption } from "./output-option.ts";

/** `synod trace` with its options and help. */
export function traceCommand(ended: (code: ExitCode) => void): Command {
  return new Command("trace")
    .helpGroup("Servers:")
    .description("where a message is, and when it went which step of its way")
    .argument("<cid>", "the id that its sender gave it")
    .option("--url <url>", "operators' port, such as http://127.0.0.1:7402; several with commas")
    .addOption(dataOption())
    .option("--token-file <file>", "what the servers ask operators for, where they do")
    .option("--room <room>", "where it was said, for a message that memory does not hold any more")
    .option("--from <user>", "who said it; with --room")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod trace 3f6c9a02
  synod trace 3f6c9a02 --url http://10.0.0.1:7402,http://10.0.0.2:7402,http://10.0.0.3:7402
  synod trace build-1234 --room ops --from robot

Times are kept for the last 4,096 entries of the log, each a batch of messages. Ends with 1 when no server knows the message.`,
    )
    .action(async (cid: string, flags: OperatorsFlags & { room?: string; from?: string }) => {
      const { trace } = await import("../trace.ts");
      const { room = null, from = null } = flags;
      ended(await trace({ ...operatorsOptions(flags), cid, room, from }));
    });
}
