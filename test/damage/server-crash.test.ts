import { beforeAll, expect, test } from "vitest";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { seedOfSources } from "../seed-of-sources.ts";
import type { CrashCase } from "./server-crash-sweep.ts";
import { callsOf, modeOf, survives, told } from "./server-crash-sweep.ts";
import type { ServerLife } from "./server-life.ts";
import { acts, beginnings } from "./server-story.ts";
import { leaveCounts } from "./sweep-counts.ts";

/** Which kind of crash meets which call, and which calls meet all kinds: another choice for other sources, said when it fails. */
const seed = Number(process.env["SYNOD_SEED"] ?? seedOfSources());
/** Every call in every way, and every call of every recovery: for hours when nobody waits (`npm run campaign -- crash-sweep`). */
const isWhole = process.env["SYNOD_SWEEP"] === "whole";
/** Of how many crash points one is looked at more closely. */
const oneIn = isWhole ? 1 : 5;

const counts = { seed, calls: 0, crashes: 0, recoveries: 0, failed: 0 };
leaveCounts(counts);
let lives: ServerLife[] = [];

beforeAll(async () => {
  lives = await beginnings();
});

async function meets(number: number, one: CrashCase): Promise<boolean> {
  const act = acts[number]!;
  try {
    return await told(act, one, survives(act, lives[number]!, one));
  } catch (cause) {
    counts.failed++;
    if (!isWhole) throw new Error(`SYNOD_SEED=${seed}: ${String(cause)}`, { cause });
    process.stderr.write(`${String(cause)}\n`);
    return true;
  }
}

for (const [number, act] of acts.entries()) {
  test(`whatever call of "${act.name}" is the last, nothing that anybody was told is lost`, async () => {
    const calls = await callsOf(act, lives[number]!);
    for (let at = 1; at <= calls; at++) {
      await meets(number, { at, mode: modeOf(at + seed) });
      counts.crashes++;
    }
    counts.calls += calls;
    expect(calls).toBeGreaterThan(200);
  });

  test(`a crash of any kind in "${act.name}" is like any other`, async () => {
    const calls = await callsOf(act, lives[number]!);
    let crashes = 0;
    for (let at = 1 + (seed % oneIn); at <= calls; at += oneIn) {
      for (const mode of crashModes) {
        if (mode === modeOf(at + seed)) continue;
        await meets(number, { at, mode });
        crashes++;
      }
    }
    counts.crashes += crashes;
    expect(crashes).toBeGreaterThan((calls / oneIn - 1) * (crashModes.length - 1));
  });

  test(`a crash in the recovery after a crash in "${act.name}" is a crash like any other`, async () => {
    const calls = await callsOf(act, lives[number]!);
    let recoveries = 0;
    for (let at = 1 + (seed % oneIn), round = seed; at <= calls; at += oneIn, round++) {
      const mode = modeOf(round);
      // A recovery makes some thirty to sixty calls; the next crash point meets the next of them.
      for (let call = isWhole ? 1 : 1 + (round % 30); ; call += isWhole ? 1 : 30) {
        if (!(await meets(number, { at, mode, again: { call, mode: modeOf(round + call) } }))) break;
        recoveries++;
      }
    }
    counts.recoveries += recoveries;
    expect(recoveries).toBeGreaterThan(calls / oneIn / 2);
  });
}
