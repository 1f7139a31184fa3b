import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { ClusterProcesses } from "./support/cluster-processes.ts";
import { type Blow, type Failover, failovers, quantile } from "./support/failovers.ts";
import { runCommand } from "./support/server-process.ts";

/** Set by the campaign: how often the leader is struck, and where the counts and what is measured go. */
const asked = process.env["CLUSTER_CAMPAIGN"];
const campaign =
  asked === undefined
    ? null
    : (JSON.parse(asked) as { kills: number; pauses: number; seed: number; report: string; into: string });

const clusters: ClusterProcesses[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.dispose();
});

type Samples = Record<Blow, Failover[]>;

test("clients go on after the leader was killed or frozen, and nothing is lost", {
  timeout: campaign === null ? 60_000 : 60_000 + 15_000 * (campaign.kills + campaign.pauses),
}, async () => {
  const { kills, pauses } = campaign ?? { kills: 1, pauses: 1 };
  const random = seededRandom(campaign?.seed ?? 1);
  const blows = shuffled([...Array<Blow>(kills).fill("kill"), ...Array<Blow>(pauses).fill("pause")], random);
  const before = campaign !== null && existsSync(campaign.into) ? readFileSync(campaign.into, "utf8") : null;
  const samples = before === null ? { kill: [], pause: [] } : (JSON.parse(before) as Samples);
  const names = ["n1", "n2", "n3"];
  const cluster = await ClusterProcesses.of(names);
  clusters.push(cluster);
  await cluster.start(names);
  let struck = 0;
  const seqs = await failovers(cluster, {
    blows,
    random,
    measured: (blow, failover) => {
      struck++;
      samples[blow].push(failover);
      if (campaign !== null) writeFileSync(campaign.into, JSON.stringify(samples));
      const [any, slowest] = [failover.anyMs, failover.slowestMs].map((ms) => Math.round(ms));
      process.stdout.write(`failover: ${struck} ${blow} ${any} ms, the slowest client ${slowest} ms\n`);
    },
  });
  expect(struck).toBe(kills + pauses);
  // Every place was given once, and all of them stand in the room on all servers.
  expect(new Set(seqs).size).toBe(seqs.length);
  expect(seqs.reduce((one, other) => Math.max(one, other), 0)).toBe(seqs.length);
  const verified = await runCommand(["verify", ...names.map((name) => cluster.of(name).url), "--user", "user0"]);
  expect([verified.code, verified.errors]).toEqual([0, ""]);
  for (const name of names) expect(cluster.of(name).faults()).toEqual([]);
  report(samples, seqs.length);
});

function report(samples: Samples, acknowledged: number): void {
  const counts: Record<string, number> = { acknowledged };
  for (const blow of ["kill", "pause"] as const) {
    const all = samples[blow];
    counts[`${blow}s`] = all.length;
    for (const [name, values] of [
      ["any", all.map(({ anyMs }) => anyMs)],
      ["slowest", all.map(({ slowestMs }) => slowestMs)],
    ] as const) {
      for (const [part, label] of [
        [0.5, "p50"],
        [0.9, "p90"],
        [0.99, "p99"],
        [1, "max"],
      ] as const) {
        counts[`${blow}-${name}-${label}-ms`] = quantile(values, part);
      }
    }
  }
  process.stdout.write(
    `failover: ${Object.entries(counts)
      .map(([name, count]) => `${name}=${count}`)
      .join(" ")}\n`,
  );
  if (campaign !== null) writeFileSync(campaign.report, JSON.stringify(counts));
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const mixed = [...items];
  for (let at = mixed.length - 1; at > 0; at--) {
    const other = random.whole(at + 1);
    [mixed[at], mixed[other]] = [mixed[other]!, mixed[at]!];
  }
  return mixed;
}
