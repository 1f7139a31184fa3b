import type { FaultKind } from "./faults.ts";
import type { Scheduler } from "./scheduler.ts";

/** What is done in a run while faults happen, by whom. The rows of the table; each with what it begins and ends with. */
export const operationMeanings = {
  send: "a message, from its sender's call to its outcome",
  repeat: "a send under an id that was sent before, from the call to the outcome",
  retry: "a send whose client went over to another connection before it knew the outcome",
  "live delivery": "a message that a follower of a room is given",
  subscribe: "a subscription, from the call to the first that is given",
  resume: "a subscription that goes on over another connection, from the last that was given before",
  "history page": "a page of what the server that was asked knows, from the call to the answer",
  "certain page": "the same of all that was committed when it was asked for",
  lookup: "the question where an id is, from the call to the answer",
  "read mark": "how far a room was read, from the call to the answer",
  membership: "joining, leaving, letting in and putting out, from the call to the answer",
  "members page": "who is in a room, from the call to the answer",
  trim: "an operator's limit for a room, or removal of its older part, from the call to the answer",
  founding: "from the first start of an empty directory until it is decided what it becomes",
  start: "from the start of a process until it takes clients",
  stop: "from the request to stop until the process has",
  election: "a server that asks for votes",
  transfer: "an operator's hand-over of the leadership, from the call to the answer",
  "member added": "a server put into the cluster by an operator, from the call to the answer",
  "member removed": "a server taken out of the cluster by an operator, from the call to the answer",
  "member admitted": "a learner or voter made by the leader itself",
  "journal roll": "a journal segment that a server opens while it serves",
  "chunk build": "a day chunk that a server begins to write",
  "snapshot take": "a snapshot that a server begins to write",
  "catch-up by journal": "a leader that reads its journal for who lags behind",
  "catch-up by snapshot": "a server that got a snapshot from another, and begins anew with it",
  "catch-up by chunk": "a server that got a chunk from another",
} as const;

export type OperationName = keyof typeof operationMeanings;
export type CoverageCounts = Partial<Record<OperationName, Row>>;
type Row = Partial<Record<FaultKind, number>>;

/** What lasts no time, as a cut, is felt for a while. */
const feltForMs = 1_000;

interface Felt {
  readonly kind: FaultKind;
  readonly hosts: ReadonlySet<string>;
  readonly until: number;
}

/**
 * Counts which operations met which faults: both at one time, and on one host at least. A table of these says what a
 * campaign has not tried, however many seeds are green.
 */
export class Coverage {
  readonly #scheduler: Scheduler;
  readonly #felt: Felt[] = [];
  /** Those of them that are not over yet, and some that are. */
  #lasting: Felt[] = [];
  readonly #met = new Map<OperationName, Map<FaultKind, number>>();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  get now(): number {
    return this.#scheduler.now();
  }

  /** A fault happens now to these hosts, and lasts so long. */
  fault(kind: FaultKind, hosts: Iterable<string>, forMs: number): void {
    const { now } = this;
    const felt = { kind, hosts: new Set(hosts), until: now + Math.max(forMs, feltForMs) };
    this.#felt.push(felt);
    this.#lasting = [...this.#lasting.filter(({ until }) => until >= now), felt];
  }

  /**
   * An operation has just ended. `parties`: the hosts that had a part in it, asked only where there are faults; `since`:
   * when it began, left out: now.
   */
  over(operation: OperationName, parties: () => readonly (string | null)[], since = this.now): void {
    const felt = (since === this.now ? this.#lasting : this.#felt).filter(({ until }) => until >= since);
    if (felt.length === 0) return;
    const hosts = parties();
    for (const { kind, hosts: hit } of felt) {
      if (!hosts.some((host) => host !== null && hit.has(host))) continue;
      const row = this.#met.get(operation) ?? new Map<FaultKind, number>();
      this.#met.set(operation, row.set(kind, (row.get(kind) ?? 0) + 1));
    }
  }

  counts(): CoverageCounts {
    return Object.fromEntries([...this.#met].map(([operation, row]) => [operation, Object.fromEntries(row)]));
  }
}

/** What several runs met, together. */
export function addedUp(runs: Iterable<CoverageCounts>): CoverageCounts {
  const sums: CoverageCounts = {};
  for (const counts of runs) {
    for (const [operation, row] of Object.entries(counts) as [OperationName, Row][]) {
      const sum = (sums[operation] ??= {});
      for (const [kind, count] of Object.entries(row) as [FaultKind, number][]) sum[kind] = (sum[kind] ?? 0) + count;
    }
  }
  return sums;
}

/** The table for people: a line an operation, a column a fault; `.` where they never met. */
export function coverageTable(counts: CoverageCounts, kinds: readonly FaultKind[]): string {
  const operations = Object.keys(operationMeanings) as OperationName[];
  const width = Math.max(...operations.map((name) => name.length));
  const cells = (operation: OperationName): string[] => kinds.map((kind) => short(counts[operation]?.[kind] ?? 0));
  const heads = kinds.map((kind) => kind.replace("clock-", "c-").replace("disk-", "d-").slice(0, 7));
  const lines = [["", ...heads], ...operations.map((name) => [name, ...cells(name)])].map(([name, ...rest]) =>
    `${name!.padEnd(width)} ${rest.map((cell) => cell.padStart(7)).join(" ")}`.trimEnd(),
  );
  const all = operations.length * kinds.length;
  const met = operations.reduce(
    (sum, name) => sum + kinds.filter((kind) => counts[name]?.[kind] !== undefined).length,
    0,
  );
  return [...lines, `${met} of ${all} pairs have met`].join("\n");
}

function short(count: number): string {
  if (count === 0) return ".";
  return count < 10_000 ? String(count) : `${Math.floor(count / 1_000)}k`;
}
