import type { WireName } from "../wires/wire.ts";
import type { RunResult } from "./measure.ts";
import { median, rowOf } from "./report-row.ts";
import type { Measured, ReportRow } from "./report-row.ts";
import type { System, World } from "./systems.ts";

/** One row of a part's plan: systems that do the same work, each by a wire of its own. */
export interface Contest<S extends System> {
  readonly part: string;
  readonly work: string;
  readonly bodyBytes: number;
  readonly systems: readonly S[];
  /** Another name for its row than the system's own. */
  readonly nameOf?: (system: S) => string;
  readonly wireOf: (system: S) => WireName | null;
  /** @defaultValue the server alone */
  readonly measuresOf?: (system: S) => Measured;
  readonly measure: (system: S) => Promise<RunResult>;
  /** Against the null server of this wire. */
  readonly measureCeiling: (wire: WireName) => Promise<RunResult>;
}

/** Measures the systems in turns, and what the generator itself can do on each of their wires. */
export async function besideCeilings<S extends System>(
  world: World,
  plan: { readonly runs: number },
  contest: Contest<S>,
): Promise<ReportRow[]> {
  const { part, work, bodyBytes, systems, wireOf } = contest;
  const title = `${part} ${work}, ${bodyBytes} B`;
  const told = { signal: world.signal, failed: failedRun, said: saidRate };
  const measuresOf = contest.measuresOf ?? ((): Measured => "server");
  // What the generator can do with a server that costs nothing says nothing of an SDK.
  const measured = systems.filter((system) => measuresOf(system) === "server");
  const wires = wiresOf(measured.map(wireOf));
  const ceilings = await inTurns(title, wires, plan.runs, ({ wire }) => contest.measureCeiling(wire), told);
  const results = await inTurns(title, systems, plan.runs, contest.measure, told);
  return Array.from(results, ([system, runs]) =>
    rowOf(
      { system: contest.nameOf?.(system) ?? system.name, work, bodyBytes, runs },
      measuresOf(system) === "server" ? ceilingOf(ceilings, wireOf(system)) : null,
      measuresOf(system),
    ),
  );
}

const wiresOf = (wires: readonly (WireName | null)[]): { name: string; wire: WireName }[] =>
  [...new Set(wires)].flatMap((wire) => (wire === null ? [] : [{ name: nullServerName(wire), wire }]));

/** The median of the runs against the null server of this wire. */
function ceilingOf(
  ceilings: ReadonlyMap<{ wire: WireName }, readonly RunResult[]>,
  wire: WireName | null,
): number | null {
  for (const [each, runs] of ceilings) {
    if (each.wire === wire) return median(runs.map((run) => run.ratePerSecond));
  }
  return null;
}

export const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Every system once, then every system again: what the machine does in one minute then hits all of them. */
export async function inTurns<S extends { readonly name: string }, R>(
  work: string,
  systems: readonly S[],
  runs: number,
  measure: (system: S) => Promise<R>,
  kind: { readonly signal: AbortSignal; readonly failed: (why: string) => R; readonly said: (result: R) => string },
): Promise<Map<S, R[]>> {
  const results = new Map<S, R[]>(systems.map((system) => [system, []]));
  for (let run = 1; run <= runs; run += 1) {
    for (const system of systems) {
      // One that cannot do it is a row with an error; the others go on.
      const result = await measure(system).catch((cause: unknown) => {
        kind.signal.throwIfAborted();
        return kind.failed(cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause));
      });
      results.get(system)?.push(result);
      say(`${work}  run ${run}/${runs}  ${system.name.padEnd(46)} ${kind.said(result)}`);
    }
  }
  return results;
}

/** A run that could not be. */
export const failedRun = (firstError: string): RunResult => ({
  ratePerSecond: 0,
  p50Ms: null,
  p99Ms: null,
  serverCpuSecondsPerMillion: null,
  serverResidentBytes: null,
  clientCpuSecondsPerMillion: null,
  errors: 1,
  firstError,
});

export const saidRate = (run: RunResult): string =>
  `${Math.round(run.ratePerSecond).toLocaleString("en-US").padStart(10)}/s  p50 ${run.p50Ms ?? "-"} ms  p99 ${run.p99Ms ?? "-"} ms` +
  (run.errors === 0 ? "" : `  ${run.errors} errors: ${run.firstError ?? ""}`);

const nullServerName = (wire: WireName): string => `null server, ${wire}`;
