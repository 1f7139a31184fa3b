import { Command, Option } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import { whole } from "./number-arguments.ts";
import { outputOption } from "./output-option.ts";

interface DemoFlags {
  readonly port: number;
  readonly keep?: string;
  readonly open: boolean;
  readonly output: string;
}

/** `synod demo` with its options and help. */
export function demoCommand(ended: (code: ExitCode) => void): Command {
  return new Command("demo")
    .helpGroup("Servers:")
    .description("three servers on this machine, two people who talk, and a page to break them with")
    .addOption(new Option("--port <n>", "of the page; 0 = a free one").argParser(whole).default(0))
    .option("--keep <dir>", "write everything there, and leave it (default: a temporary folder that goes with it)")
    .option("--no-open", "do not show the page in this machine's browser")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Runs until Ctrl-C. Ends with 1 when a message was lost, came twice or out of order.`,
    )
    .action(async (flags: DemoFlags) => {
      const { demo } = await import("../demo/demo.ts");
      const { port, keep = null, open, output } = flags;
      ended(await demo({ port, keep, open, json: output === "json" }));
    });
}
