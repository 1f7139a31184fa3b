import { count, short, table } from "../markdown-table.ts";
import type { IdleRun } from "./measure.ts";
import { type Goal, type Ratio, ratioOf, ratioTable } from "./ratio.ts";
import { type ReportRow, rowTable } from "./report-row.ts";

/** What a run of the peers benchmark found: for machines as JSON, for people as Markdown. */
export interface PeersReport {
  readonly startedAt: string;
  readonly machine: {
    readonly cpus: number;
    readonly cpuModel: string;
    readonly node: string;
    readonly kernel: string;
  };
  readonly versions: Readonly<Record<string, string>>;
  readonly runs: number;
  /** What could not be measured here, and why. */
  readonly missing: readonly string[];
  readonly publish: readonly ReportRow[];
  readonly fanOut: readonly ReportRow[];
  readonly idle: readonly IdleReportRow[];
}

export interface IdleReportRow {
  readonly system: string;
  readonly connections: number;
  readonly roomsPerConnection: number;
  readonly bytesPerConnection: number | null;
  readonly connectsPerSecond: number;
  readonly runs: readonly IdleRun[];
}

interface PeerGoal extends Goal {
  readonly work: string;
  readonly peer: RegExp;
}

const redisAlways = /^Redis Streams, appendfsync always$/;

/** The ratios that Synod is held to, with messages of 128 B: rates as Synod / peer, more is better; p50 of 1 × 1 likewise, less is better. */
const goals: readonly PeerGoal[] = [
  { work: "4 × 1000", peer: redisAlways, atLeast: 0.5, aim: 1 },
  { work: "4 × 1000", peer: /sync_interval always$/, atLeast: 40, aim: 100 },
  { work: "64 × 1", peer: redisAlways, atLeast: 0.5, aim: 0.7 },
  { work: "1 × 1", peer: redisAlways, atLeast: 1.5, aim: 1.1 },
  { work: "1 → 1000, 8 outstanding", peer: /^Socket\.IO$/, atLeast: 4, aim: 8 },
  { work: "1 → 1000, 8 outstanding", peer: /^NATS core$/, atLeast: 0.7, aim: 1.3 },
  { work: "1 → 1000, 8 outstanding", peer: /^Redis pub\/sub$/, atLeast: 0.4, aim: 0.9 },
  { work: "1 → 5000, 8 outstanding", peer: /^Socket\.IO$/, atLeast: 5, aim: 10 },
  { work: "1 → 5000, 8 outstanding", peer: /^NATS core$/, atLeast: 0.7, aim: 1.5 },
];

/** Bytes that an idle connection of Synod may cost. */
const idleGoalKiB = { atMost: 24, aim: 12 } as const;

/** Synod beside every peer that did the same work; with the SDK beside Synod without it, because no peer has its own there. */
export function ratiosOf(rows: readonly ReportRow[]): readonly Ratio[] {
  const isOurs = ({ system }: ReportRow): boolean => system.startsWith("Synod");
  const areBeside = (ours: ReportRow, row: ReportRow): boolean =>
    ours.measures === "server" ? !isOurs(row) : row.system === "Synod";
  return rows
    .filter(isOurs)
    .flatMap((ours) =>
      rows
        .filter((row) => areBeside(ours, row) && row.work === ours.work && row.bodyBytes === ours.bodyBytes)
        .map((theirs) => beside(ours, theirs)),
    );
}

function beside(ours: ReportRow, theirs: ReportRow): Ratio {
  const isTime = ours.work === "1 × 1";
  const numberOf = ({ median: { p50Ms, ratePerSecond } }: ReportRow): number =>
    isTime ? (p50Ms ?? Number.NaN) : ratePerSecond;
  return ratioOf({
    what: `${ours.work}, ${ours.bodyBytes} B${isTime ? ", p50" : ""}`,
    system: ours.system,
    peer: theirs.system,
    value: numberOf(ours) / numberOf(theirs),
    better: isTime ? "less" : "more",
    unit: "×",
    goal: ours.system === "Synod" && ours.bodyBytes === 128 ? goalOf(ours.work, theirs.system) : null,
    counts: ours.counts && theirs.counts,
  });
}

function goalOf(work: string, peer: string): Goal | null {
  const goal = goals.find((one) => one.work === work && one.peer.test(peer));
  return goal === undefined ? null : { atLeast: goal.atLeast, aim: goal.aim };
}

/** The report for docs/benchmarks.md. */
export function markdownOf(report: PeersReport): string {
  const { machine } = report;
  const lines = [
    `Measured ${report.startedAt.slice(0, 10)} on ${machine.cpus} × ${machine.cpuModel}, Linux ${machine.kernel}, Node ${machine.node}; ` +
      `${Object.entries(report.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(", ")}. ` +
      `Medians of ${report.runs} ${report.runs === 1 ? "run" : "runs"}, in turns.`,
    "",
    ...report.missing.map((what) => `- ${what}`),
    ...(report.missing.length === 0 ? [] : [""]),
  ];
  if (report.publish.length > 0) {
    lines.push("### Publish: acknowledgements in a second", "", ...tableOf(report.publish, "clients × window"), "");
  }
  if (report.fanOut.length > 0) {
    lines.push(
      "### Fan-out: deliveries in a second, latency of the last reader",
      "",
      ...tableOf(report.fanOut, "readers"),
      "",
    );
  }
  if (report.idle.length > 0) lines.push("### Memory of an idle connection", "", ...idleTable(report.idle), "");
  const ratios = [...ratiosOf(report.publish), ...ratiosOf(report.fanOut)];
  if (ratios.length > 0) lines.push("### Synod / peer", "", ...ratioTable(ratios), "");
  return lines.join("\n");
}

const tableOf = (rows: readonly ReportRow[], work: string): string[] =>
  rowTable(rows, { work, cpu: "server", more: "generator CPU s/M" }, (run) => short(run.clientCpuSecondsPerMillion));

function idleTable(rows: readonly IdleReportRow[]): string[] {
  const lines = table(
    ["connections", "rooms each", "system", "KiB each", "connects/s", "errors"],
    rows.map((row) => {
      const each = row.bytesPerConnection === null ? null : row.bytesPerConnection / 1024;
      const errors = row.runs.reduce((sum, run) => sum + run.errors, 0);
      const sizes = [`${row.connections}`, `${row.roomsPerConnection}`];
      return [...sizes, row.system, short(each), count(row.connectsPerSecond), `${errors}`];
    }),
  );
  const { atMost, aim } = idleGoalKiB;
  return [...lines, "", `Synod: at most ${atMost} KiB, aim ${aim} KiB, at 10,000 connections.`];
}
