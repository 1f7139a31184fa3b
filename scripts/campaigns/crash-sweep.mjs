/**
 * `npm run campaign -- crash-sweep [--part=1/4] [--recovery-modes=9] [--seed=1]`: a whole server crashes in every call of
 * its story, and in every call of every recovery behind it, in every way; see test/damage/server-crash-sweep.ts. The
 * short form of the same sweep is part of `npm test`.
 *
 * With `--part` only that stretch of each act's calls, and a line of the ledger for it. With `--recovery-modes` so many of
 * the ways in each call of a recovery, in turns; the calls of the story always meet all of them.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { say, since } from "../progress.mjs";
import { root } from "../repository.mjs";

/** @typedef {{ done: number, total: number, failures: string[], counts: Record<string, number> }} Report */

/** Every how many milliseconds a line of progress is printed. */
const tellEveryMs = 10_000;

export const flags = ["part", "recovery-modes", "seed"];

/**
 * @param {Record<string, string>} args
 * @returns {Promise<{ counts: Record<string, number | string> }>}
 */
export async function run({ seed = "1", part = "1/1", "recovery-modes": recoveryModes = "9" }) {
  if (!/^[1-9]$/.test(recoveryModes))
    throw new Error(`--recovery-modes takes a number from 1 to 9, not ${recoveryModes}`);
  const { counts } = await sweep("test/damage/server-crash.test.ts", {
    SYNOD_SEED: seed,
    SYNOD_PART: part,
    SYNOD_RECOVERY_MODES: recoveryModes,
  });
  return { counts: { part, recoveryModes, ...counts } };
}

/**
 * Runs the whole of a sweep that is a test file, and says how far it is.
 *
 * @param {string} test
 * @param {Record<string, string>} settings of the environment that the test reads
 * @returns {Promise<{ counts: Record<string, number> }>}
 */
export async function sweep(test, settings) {
  const folder = mkdtempSync(join(tmpdir(), "synod-sweep-"));
  const startedAt = performance.now();
  let told = 0;
  try {
    const file = join(folder, "counts.json");
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const words = [vitest, "run", "--project", "damage", "--testTimeout", "0", test];
    const env = { ...process.env, ...settings, SYNOD_SWEEP: "whole", SYNOD_COUNTS: file };
    const child = spawn(process.execPath, words, { cwd: root, env, stdio: "inherit" });
    const tell = () => {
      if (!existsSync(file)) return;
      const { done, total, failures } = readReport(file);
      for (const failure of failures.slice(told)) say("FAILED", failure);
      told = failures.length;
      say("sweep", `${done} of ${total} calls, ${failures.length} failed, ${since(startedAt)}`);
    };
    const telling = setInterval(tell, tellEveryMs);
    const ended = /** @type {Promise<number | null>} */ (
      new Promise((resolve) => {
        child.on("exit", resolve);
      })
    );
    const code = await ended;
    clearInterval(telling);
    if (!existsSync(file)) throw new Error(`the sweep ended with ${code} before it had counted anything`);
    tell();
    const { counts } = readReport(file);
    // A run that broke off for another reason than a case that was not survived is a failure too.
    if (code !== 0 && !counts["failed"]) counts["failed"] = 1;
    return { counts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} file
 * @returns {Report}
 */
function readReport(file) {
  return /** @type {Report} */ (JSON.parse(readFileSync(file, "utf8")));
}
