import { randomInt } from "node:crypto";
import { readFile } from "node:fs/promises";
import picocolors from "picocolors";
import type { RunOptions } from "../../sim/run-seed.ts";
import { faultKinds, type Schedule } from "../../sim/faults.ts";
import { addedUp, type CoverageCounts, coverageTable } from "../../sim/coverage.ts";
import { shrink } from "../../sim/shrink.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { type AttributedRun, runAttributed } from "./attributed-run.ts";

export interface SimCommand {
  /** The first; null: drawn. */
  readonly seed: number | null;
  readonly seeds: number;
  /** How long faults go on; null: as long as is usual for so many servers. */
  readonly forMs: number | null;
  readonly servers: 1 | 3 | 5;
  readonly shrink: boolean;
  /** A file with faults to run instead of those that are drawn. */
  readonly schedule: string | null;
  readonly json: boolean;
  /** Prints in the end which operations met which faults. */
  readonly coverage: boolean;
}

/** How often a failing seed is run again at most in search of a shorter schedule. */
const shrinkTriesMax = 200;

/** `synod sim`: runs seeds and prints a line for each. Code 1 when one of them found something. */
export async function sim(command: SimCommand): Promise<0 | 1> {
  const first = command.seed ?? randomInt(2 ** 26);
  const { servers, forMs } = command;
  const world = { servers, ...(forMs === null ? {} : { forMs }) };
  const drawn = command.schedule === null ? {} : { schedule: await readSchedule(command.schedule) };
  const met: CoverageCounts[] = [];
  let failed = 0;
  for (let seed = first; seed < first + command.seeds; seed++) {
    const run = await runAttributed({ seed, ...world, ...drawn });
    process.stdout.write(command.json ? `${JSON.stringify(protocolLine(run))}\n` : textLines(run));
    met.push(run.coverage);
    if (run.violations.length > 0) failed++;
    if (process.stdout.errored !== null) break;
    if (run.violations.length > 0 && command.shrink) await printShrunken(run, world);
  }
  if (command.coverage) process.stdout.write(`${coverageTable(addedUp(met), faultKinds)}\n`);
  return failed === 0 ? exitCodes.ok : exitCodes.failed;
}

/** The line that scripts may rely on. */
function protocolLine(run: AttributedRun): object {
  const { seed, virtualSeconds, wallSeconds, events, faults, traceHash, violations } = run;
  return { seed, virtualSeconds, wallSeconds: Number(wallSeconds.toFixed(3)), events, faults, traceHash, violations };
}

function textLines(run: AttributedRun): string {
  const { green, red, dim } = picocolors;
  const { seed, virtualSeconds, wallSeconds, events, faults, traceHash, violations, seen, seals, starts } = run;
  const faultCount = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const verdict = violations.length === 0 ? green("ok") : red(`${violations.length} violations`);
  const lines = [
    `seed ${seed}  ${verdict}  ${virtualSeconds} s in ${wallSeconds.toFixed(1)} s, ${events} events, ${faultCount} faults, ` +
      `${starts} starts, ${seals} seals, ${seen.acknowledged} of ${seen.sends} sends stored  ${dim(`trace ${traceHash}`)}`,
    ...violations.flatMap((violation) => violation.split("\n")).map((line) => `  ${visibleText(line)}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** Searches for the smallest schedule that still finds the same, and prints it as a file for `--schedule`. */
async function printShrunken(run: AttributedRun, world: Pick<RunOptions, "servers" | "forMs">): Promise<void> {
  const { seed } = run;
  const wanted = nameOf(run.violations[0]!);
  process.stderr.write(`shrinking ${run.schedule.length} faults of seed ${seed} (${wanted})\n`);
  const fails = async (schedule: Schedule): Promise<boolean> => {
    const { violations } = await runAttributed({ seed, ...world, schedule });
    return violations.some((violation) => nameOf(violation) === wanted);
  };
  const kept = await shrink(run.schedule, fails, { triesMax: shrinkTriesMax });
  process.stderr.write(
    `${kept.length} faults are enough; repeat with: synod sim ${topologyFlags(world.servers)}--seed ${seed} --schedule FILE\n`,
  );
  process.stdout.write(`${JSON.stringify(kept)}\n`);
}

/** What was found, without where and when. */
function nameOf(violation: string): string {
  return /^\{"name":"([^"]+)"/.exec(violation)?.[1] ?? /^[^\d:]*/.exec(violation)![0];
}

async function readSchedule(file: string): Promise<Schedule> {
  const wrong = (cause?: unknown): CommandFailed =>
    new CommandFailed(exitCodes.usage, `${file} holds no schedule; name a file with what --shrink printed`, { cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(file, "utf8"));
  } catch (cause) {
    throw wrong(cause);
  }
  if (!Array.isArray(parsed) || !parsed.every(isFault)) throw wrong();
  return parsed;
}

function isFault(value: unknown): value is Schedule[number] {
  if (typeof value !== "object" || value === null || !("at" in value) || !("kind" in value)) return false;
  return typeof value.at === "number" && (faultKinds as readonly unknown[]).includes(value.kind);
}

function topologyFlags(servers = 1): string {
  return servers === 1 ? "" : `--topology leader --servers ${servers} `;
}
