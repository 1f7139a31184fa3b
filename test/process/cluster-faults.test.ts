import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { type Random, seededRandom } from "../../src/base/random.ts";
import type { FaultName } from "./support/nemesis.ts";
import { smallLimits } from "./support/small-limits.ts";
import { runCommand } from "./support/server-process.ts";
import { names, UnkindCluster } from "./support/unkind-cluster.ts";
import { whyNoUnkindMachine } from "./support/unkind-machine.ts";
import { type RoundReport, unkindRound } from "./support/unkind-round.ts";

/**
 * Set by the campaign: how many must be acknowledged, in rounds of how many, after how many minutes no further round
 * begins, with which limits, and where the counts and the data go.
 */
const asked = process.env["CLUSTER_CAMPAIGN"];
const campaign =
  asked === undefined
    ? null
    : (JSON.parse(asked) as Record<"messages" | "round" | "minutes" | "seed", number> &
        Record<"report" | "folder" | "limits", string>);

const reason = whyNoUnkindMachine();
const say = (line: string): void => void process.stdout.write(`cluster: ${line}\n`);
if (reason !== null) say(`not tried, ${reason}`);

const worlds: UnkindCluster[] = [];
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.dispose();
});

/** One of each kind, in this order. */
const few: readonly FaultName[] = [
  "freeze leader",
  "cut link",
  "power loss of all",
  "silenced off",
  "kill leader",
  "disk full",
  "clock jump",
  "failed flush",
  "power loss in recovery",
];

/** What a server says as an error of these faults, and nothing else; the last is of a start that is refused. */
const expectedFaults =
  /^(server\.failed|journal\.failed|disk\.full|seal\.failed|synod: the data directory .*(ENOSPC|EIO): .*)$/;

test.skipIf(reason !== null)(
  "three servers under every fault: nothing acknowledged is lost, doubled or out of place",
  { timeout: campaign === null ? 240_000 : 3_600_000 },
  async () => {
    const random = seededRandom(campaign?.seed ?? 1);
    const limits = { ...(campaign?.limits === "shipped" ? {} : smallLimits()), heartbeatMs: 1_000 };
    const world = await UnkindCluster.start({ limits, ...(campaign === null ? {} : { folder: campaign.folder }) });
    worlds.push(world);
    const rounds: RoundReport[] = [];
    let unexpected: string[];
    const lives = await world.incarnations();
    try {
      if (campaign === null) rounds.push(await unkindRound(world, { random, habits: {}, faults: few, said: say }));
      else await manyRounds(world, random, rounds);
      const { code, output } = await world.verified(60_000);
      expect([code, output]).toEqual([0, expect.stringContaining("equal, dense, each once")]);
      // Nothing of this is damage: nobody had to begin anew.
      expect(await world.incarnations()).toEqual(lives);
      expect(await world.stop()).toEqual(names.map(() => ({ code: 0, signal: null })));
      for (const name of names) {
        const verified = await runCommand(["verify", world.of(name).data]);
        expect([verified.code, verified.output]).toEqual([0, expect.any(String)]);
      }
      unexpected = [...world.faults().keys()].filter((event) => !expectedFaults.test(event));
    } finally {
      report(world, rounds);
    }
    for (const { verdict, refusedCodes, stored } of rounds) {
      const { seen, anomalies } = verdict;
      expect(anomalies).toEqual([]);
      // Every send had an outcome, and the only refusals are those that were asked for.
      expect(seen.unknown).toBe(0);
      expect(refusedCodes).toEqual([]);
      expect(seen.sends).toBe(seen.acknowledged + seen.refused);
      // All five readers were given all there is, from the first message to the last.
      expect(seen.observed).toBe(5 * stored);
      expect(seen.gaps).toBe(0);
      expect(stored).toBeGreaterThan(1_000);
    }
    expect(unexpected).toEqual([]);
    // A power loss that takes nothing back tries nothing.
    expect(world.lost.bytes + world.lost.cut + world.lost.names).toBeGreaterThan(0);
  },
);

/** Every round has rooms of its own, on the same servers: what the oracle remembers is bounded. */
async function manyRounds(world: UnkindCluster, random: Random, rounds: RoundReport[]): Promise<void> {
  const { messages, round, minutes, seed } = campaign!;
  const overAt = performance.now() + minutes * 60_000;
  let acknowledged = 0;
  while (acknowledged < messages && performance.now() < overAt) {
    const number = rounds.length + 1;
    const rooms = ["lobby", "north", "south"].map((room) => `${room}-${seed}-${number}`);
    const habits = { rooms, windowMax: 400, burstMax: 300, restMs: 60, stuckAfterMs: 120_000 };
    const faults = { acknowledged: Math.min(round, messages - acknowledged) };
    const found = await unkindRound(world, { random, habits, faults, calmMax: 6_000, said: say });
    rounds.push(found);
    acknowledged += found.verdict.seen.acknowledged;
    say(`round ${number}: ${acknowledged} acknowledged in all, ${found.verdict.anomalies.length} anomalies`);
    // What is wrong by now does not become better.
    if (found.verdict.anomalies.length > 0) return;
  }
}

function report(world: UnkindCluster, rounds: readonly RoundReport[]): void {
  const sum = (count: (round: RoundReport) => number): number => rounds.reduce((all, round) => all + count(round), 0);
  const faults: Record<string, number> = {};
  for (const round of rounds) {
    for (const [name, count] of Object.entries(round.faults)) {
      const key = name.replaceAll(" ", "-");
      faults[key] = (faults[key] ?? 0) + count;
    }
  }
  const counts = {
    rounds: rounds.length,
    sends: sum(({ verdict }) => verdict.seen.sends),
    acknowledged: sum(({ verdict }) => verdict.seen.acknowledged),
    repeats: sum(({ repeats }) => repeats),
    conflicts: sum(({ conflicts }) => conflicts),
    unknown: sum(({ verdict }) => verdict.seen.unknown),
    stored: sum(({ stored }) => stored),
    observed: sum(({ verdict }) => verdict.seen.observed),
    ...faults,
    starts: names.reduce((all, name) => all + world.of(name).starts, 0),
    exits: world.exits.length,
    "bytes-lost": world.lost.bytes + world.lost.cut,
    "names-lost": world.lost.names,
    anomalies: sum(({ verdict }) => Object.values(verdict.counts).reduce((all, count) => all + count, 0)),
  };
  say(
    Object.entries(counts)
      .map(([name, count]) => `${name}=${count}`)
      .join(" "),
  );
  for (const [event, count] of world.faults()) say(`${count} × ${event}`);
  for (const { name, code, signal, lastWords } of world.exits)
    say(`${name} ended (${signal ?? code}): ${lastWords.slice(0, 300)}`);
  if (campaign !== null) writeFileSync(campaign.report, JSON.stringify(counts));
}
