import { Command } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import {
  dataOption,
  type OperatorsFlags,
  operatorsOptions,
  type WaitFlags,
  waitMsOf,
  waitOption,
} from "./operators-options.ts";
import { outputOption } from "./output-option.ts";

/** `synod status` with its options and help. */
export function statusCommand(ended: (code: ExitCode) => void): Command {
  return new Command("status")
    .helpGroup("Servers:")
    .description("what a server says of itself, or who is connected")
    .argument("[url]", "operators' port, such as http://127.0.0.1:7402")
    .option("--url <url>", "the same")
    .addOption(dataOption())
    .option("--token-file <file>", "what the server asks operators for, where it does")
    .option("--sessions", "who is connected, by which door, in which rooms")
    .addOption(waitOption())
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod status
  synod status --sessions
  synod status --wait 10
  synod status http://127.0.0.1:7402 -o json | jq .ready

Ends with 1 when the server can't take messages.`,
    )
    .action(async (url: string | undefined, flags: OperatorsFlags & WaitFlags & { sessions?: boolean }) => {
      const { status } = await import("../status.ts");
      const asked = operatorsOptions(flags);
      const { sessions = false } = flags;
      ended(await status({ ...asked, url: url ?? asked.url, sessions, waitMs: waitMsOf(flags) }));
    });
}
