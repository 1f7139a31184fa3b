import { Command, Option } from "commander";
import { CommandFailed, type ExitCode, exitCodes } from "../../terminal/exit-codes.ts";
import { wholeBelow } from "./number-arguments.ts";
import { outputOption } from "./output-option.ts";

interface SimFlags {
  readonly seed?: number;
  readonly seeds: number;
  readonly minutes?: number;
  readonly topology: "solo" | "leader";
  readonly servers?: "3" | "5";
  readonly shrink?: boolean;
  readonly schedule?: string;
  readonly coverage?: boolean;
  readonly output: string;
}

/** The most that a seed can be: each draws its own chance from it. */
const seedMax = 2 ** 27;

/** `synod sim` with its options and help. The simulator is loaded when it runs. */
export function simCommand(ended: (code: ExitCode) => void): Command {
  return new Command("sim")
    .helpGroup("Servers:")
    .description("run server and clients in a simulated world of faults")
    .addOption(
      new Option("--seed <n>", "the world to run; left out: one drawn by chance").argParser(wholeBelow(seedMax)),
    )
    .addOption(
      new Option("--seeds <count>", "how many, one after the other").argParser(wholeBelow(1_000_000)).default(1),
    )
    .addOption(
      new Option(
        "--minutes <n>",
        "virtual minutes of faults in each; left out: 2 for one server, 5 for several",
      ).argParser(wholeBelow(10_000)),
    )
    .addOption(
      new Option("--topology <name>", "one server alone, or several that elect a leader")
        .choices(["solo", "leader"])
        .default("solo"),
    )
    .addOption(new Option("--servers <count>", "how many elect a leader; left out: 3").choices(["3", "5"]))
    .option("--shrink", "leave out of a failing seed's faults what it does not need in order to fail")
    .option("--schedule <file>", "faults to run instead of those the seed draws: what --shrink printed")
    .option("--coverage", "print in the end which operations met which faults, over all seeds")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod sim
  synod sim --seed 4711
  synod sim --topology leader --servers 5 --seed 4711
  synod sim --seeds 100 -o json | jq -c 'select(.violations != [])'
  synod sim --seed 4711 --shrink

The same seed of the same version gives the same run, with the same trace hash. Nothing outside is touched.
Ends with 1 when anything was found that must not be.`,
    )
    .action(async (flags: SimFlags) => {
      const { sim } = await import("../sim-runs.ts");
      const { seed = null, seeds, minutes = null, shrink = false, coverage = false, schedule = null, output } = flags;
      const forMs = minutes === null ? null : minutes * 60_000;
      const json = output === "json";
      ended(await sim({ seed, seeds, forMs, servers: serversOf(flags), shrink, schedule, json, coverage }));
    });
}

/** A topology of several has three servers unless it is told otherwise; one that is alone has no number. */
function serversOf({ topology, servers }: SimFlags): 1 | 3 | 5 {
  if (topology === "leader") return servers === "5" ? 5 : 3;
  if (servers !== undefined) throw new CommandFailed(exitCodes.usage, "--servers goes with --topology leader");
  return 1;
}
