import { Command, Option } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import { whole } from "./number-arguments.ts";
import {
  dataOption,
  type OperatorsFlags,
  operatorsOptions,
  type WaitFlags,
  waitMsOf,
  waitOption,
} from "./operators-options.ts";
import { outputOption } from "./output-option.ts";

/** `synod cluster` with its options and help. */
export function clusterCommand(ended: (code: ExitCode) => void): Command {
  const part = (name: string, description: string): Command =>
    new Command(name)
      .description(description)
      .option("--url <url>", "operators' port of a server of the cluster, such as http://127.0.0.1:7402")
      .addOption(dataOption())
      .option("--token-file <file>", "what the server asks operators for, where it does")
      .addOption(outputOption());
  const afterOption = (): Option =>
    new Option("--after <number>", "what came after this event").argParser(whole).default(0);
  return new Command("cluster")
    .helpGroup("Servers:")
    .description("who belongs to a cluster and who leads it, and how to change that")
    .addCommand(
      part("status", "who belongs, who leads, who lags")
        .addOption(waitOption())
        .action(async (flags: OperatorsFlags & WaitFlags) => {
          const { clusterStatus } = await import("../cluster.ts");
          ended(await clusterStatus(operatorsOptions(flags), waitMsOf(flags)));
        }),
    )
    .addCommand(
      part("add", "have a server belong to the cluster; it is admitted as soon as it is there")
        .argument("<name>", "its --node")
        .argument("<address>", "HOST:PORT where the others reach its peer port")
        .action(async (node: string, address: string, flags: OperatorsFlags) => {
          const { clusterAdd } = await import("../cluster.ts");
          await clusterAdd(operatorsOptions(flags), { node, address });
        }),
    )
    .addCommand(
      part("remove", "take a server out of the cluster, also one that is gone for good")
        .argument("<name>", "its --node")
        .action(async (node: string, flags: OperatorsFlags) => {
          const { clusterRemove } = await import("../cluster.ts");
          await clusterRemove(operatorsOptions(flags), node);
        }),
    )
    .addCommand(
      part("transfer", "have another server lead")
        .argument("[name]", "which one; left out: whoever is fittest")
        .action(async (to: string | undefined, flags: OperatorsFlags) => {
          const { clusterTransfer } = await import("../cluster.ts");
          await clusterTransfer(operatorsOptions(flags), to ?? null);
        }),
    )
    .addCommand(
      part("events", "what happened of late, as this server saw it")
        .addOption(afterOption())
        .action(async (flags: OperatorsFlags & { after: number }) => {
          const { clusterEvents } = await import("../cluster.ts");
          await clusterEvents(operatorsOptions(flags), flags.after);
        }),
    )
    .addCommand(
      part("watch", "what happens, as it happens; ends with the server, or with Ctrl-C")
        .addOption(afterOption())
        .action(async (flags: OperatorsFlags & { after: number }) => {
          const { clusterWatch } = await import("../cluster.ts");
          ended(await clusterWatch(operatorsOptions(flags), flags.after));
        }),
    )
    .addHelpText(
      "after",
      `
Examples:
  synod cluster status --wait 10
  synod cluster add n4 10.0.0.4:7401
  synod cluster transfer n2
  synod cluster remove n3 --url http://127.0.0.1:7402
  synod cluster watch -o json

Members are changed, and the lead is handed over, at the server that leads; status says which one it is.
status ends with 1 when the server that was asked can't take messages.`,
    );
}
