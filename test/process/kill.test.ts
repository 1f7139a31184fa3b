import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { killLoop } from "./support/kill-loop.ts";

/** Set by the campaign: more kills, another seed, and where the counts go. */
const kills = Number(process.env["KILLS"] ?? 100);
const seed = Number(process.env["KILL_SEED"] ?? 1);
const report = process.env["KILL_REPORT"];

test("a server killed again and again under load: nothing acknowledged is lost, doubled or out of place", {
  timeout: 60_000 + kills * 3_000,
}, async () => {
  const found = await killLoop({ kills, seed, said: (line) => process.stdout.write(`${line}\n`) });
  const { seen, anomalies, counts } = found.verdict;
  const lines = {
    kills,
    ...Object.fromEntries(Object.entries(found.kills).map(([moment, count]) => [moment.replaceAll(" ", "-"), count])),
    sends: seen.sends,
    acknowledged: seen.acknowledged,
    repeats: found.repeats,
    conflicts: found.conflicts,
    unknown: seen.unknown,
    stored: found.stored,
    observed: seen.observed,
    chunks: found.verified.chunks,
    anomalies: Object.values(counts).reduce((sum, count) => sum + count, 0),
  };
  const words = Object.entries(lines).map(([name, count]) => `${name}=${count}`);
  process.stdout.write(`kill: ${words.join(" ")}\n`);
  if (report !== undefined) writeFileSync(report, JSON.stringify(lines));

  expect(anomalies).toEqual([]);
  expect(found.faults).toEqual([]);
  // Every send had an outcome, and the only refusals are those that were asked for.
  expect(seen.unknown).toBe(0);
  expect(found.refusedCodes).toEqual([]);
  expect(seen.sends).toBe(seen.acknowledged + seen.refused);
  // All five readers were given all there is, from the first message to the last.
  expect(seen.observed).toBe(5 * found.stored);
  expect(seen.gaps).toBe(0);
  expect(found.ending).toEqual({ code: 0, signal: null });
  expect(found.verified).toMatchObject({ code: 0, damage: 0 });
  // A verdict over little is worth little.
  expect(found.stored).toBeGreaterThan(10 * kills);
  expect(found.verified.chunks).toBeGreaterThan(5);
  expect(Object.values(found.kills).every((count) => count > 0)).toBe(true);
});
