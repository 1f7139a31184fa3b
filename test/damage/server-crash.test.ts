import { afterAll, beforeAll, expect, test } from "vitest";
import { type CrashMode, crashModes } from "../../src/sim/crash-modes.ts";
import { seedOfSources } from "../seed-of-sources.ts";
import { callsOf, CrashSweep, startWithCrashes, worldAfter, worldsAfterCrash } from "./server-crash-sweep.ts";
import type { ServerLife } from "./server-life.ts";
import { acts, beginnings } from "./server-story.ts";
import { SweepReport } from "./sweep-report.ts";

/** Which calls of recoveries are looked at: another choice for other sources, said when it fails. */
const seed = Number(process.env["SYNOD_SEED"] ?? seedOfSources());
/** Crashes in every call of every recovery: for when nobody waits (`npm run campaign -- crash-sweep`). */
const isWhole = process.env["SYNOD_SWEEP"] === "whole";
/** The whole sweep: so many kinds of crash in each call of a recovery, in turns. */
const recoveryModes = Number(process.env["SYNOD_RECOVERY_MODES"] ?? crashModes.length);
/** Else: every kind of crash in one of so many calls of recoveries. */
const oneIn = 250;

function modesIn(call: number): readonly CrashMode[] {
  if (!isWhole) return (call + seed) % oneIn === 0 ? crashModes : [];
  return Array.from({ length: recoveryModes }, (_, i) => crashModes[(call * recoveryModes + i) % crashModes.length]!);
}

const counts = { seed, calls: 0, crashes: 0, worlds: 0, recoveryCalls: 0, recoveryCrashes: 0, recoveryWorlds: 0 };
const report = new SweepReport(counts);
// A stack costs more than the system error it belongs to.
Error.stackTraceLimit = isWhole ? 0 : 10;
let lives: ServerLife[] = [];
let callCounts: number[] = [];

beforeAll(async () => {
  lives = await beginnings();
  callCounts = await Promise.all(acts.map((act, number) => callsOf(act, lives[number]!)));
  report.total = callCounts.reduce((sum, calls) => sum + report.part.of(calls).length, 0);
});

afterAll(() => {
  report.end();
});

for (const [number, act] of acts.entries()) {
  test(`whatever call of "${act.name}" is the last, or of the recovery behind it, nothing that anybody was told is lost`, async () => {
    expect(callCounts[number]).toBeGreaterThan(200);
    const calls = report.part.of(callCounts[number]!);
    const sweep = new CrashSweep(act, lives[number]!, {
      seed,
      modesIn,
      onFailed: (text) => report.failed(`SYNOD_SEED=${seed}: ${text}`),
    });
    const before = { ...counts };
    for (const at of calls) {
      await sweep.crashIn(at);
      counts.calls++;
      for (const name of ["crashes", "worlds", "recoveryCalls", "recoveryCrashes", "recoveryWorlds"] as const) {
        counts[name] = before[name] + sweep[name];
      }
      report.done++;
      report.tell();
    }
    expect(report.failures.slice(0, 3)).toEqual([]);
    expect(sweep.crashes).toBe(calls.length * crashModes.length);
    // Neighbours that only read leave the same; a stretch of the calls may be all reading.
    expect(sweep.worlds).toBeGreaterThan(calls.length / 10);
    expect(sweep.recoveryWorlds).toBeGreaterThan(sweep.worlds / 8);
  });
}

test("a crash looked at beside others leaves the world that it leaves alone", async () => {
  const fingerprint = ({ ledger, wall, fileSystem }: ServerLife): string =>
    `${ledger.fingerprint()} ${wall} ${fileSystem.fingerprint()}`;
  let compared = 0;
  for (const [number, act] of acts.entries()) {
    const beginning = lives[number]!;
    for (let at = 1 + (seed % 97); at <= callCounts[number]!; at += 97) {
      for (const world of await worldsAfterCrash(act, beginning, { at, seed })) {
        const alone = await worldAfter(act, beginning, { one: world.one, seed });
        expect({ one: world.one, left: fingerprint(alone.life) }).toEqual({
          one: world.one,
          left: fingerprint(world.life),
        });
        compared++;
        if (world.one.mode !== crashModes[at % crashModes.length]) continue;
        const again: { one: typeof world.one; life: ServerLife }[] = [];
        let calls = 0;
        await startWithCrashes(act, world, {
          modesIn: () => (++calls % 29 === at % 29 ? crashModes : []),
          onCrashed: (one, fileSystem) => again.push({ one, life: world.life.withDisk(fileSystem, seed) }),
        });
        for (const { one, life } of again) {
          const alone = await worldAfter(act, beginning, { one, seed });
          expect({ one, left: fingerprint(alone.life) }).toEqual({ one, left: fingerprint(life) });
          compared++;
        }
      }
    }
  }
  expect(compared).toBeGreaterThan(300);
});
