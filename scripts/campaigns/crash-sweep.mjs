/**
 * `npm run campaign -- crash-sweep`: a whole server crashes at every call of its story, in every way, and at every call
 * of every recovery behind it. The short form of the same sweep is part of `npm test` (test/damage/server-crash.test.ts).
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../repository.mjs";

/**
 * @param {Record<string, string>} args `seed` decides which kind of crash goes with which recovery
 * @returns {{ counts: Record<string, number> }}
 */
export function run({ seed = "1" }) {
  return sweep("test/damage/server-crash.test.ts", seed);
}

/**
 * Runs the whole of a sweep that is a test file.
 *
 * @param {string} test
 * @param {string} seed
 * @returns {{ counts: Record<string, number> }}
 */
export function sweep(test, seed) {
  const folder = mkdtempSync(join(tmpdir(), "synod-sweep-"));
  try {
    const file = join(folder, "counts.json");
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const words = [vitest, "run", "--project", "damage", "--testTimeout", "0", test];
    const env = { ...process.env, SYNOD_SWEEP: "whole", SYNOD_SEED: seed, SYNOD_COUNTS: file };
    const { status } = spawnSync(process.execPath, words, { cwd: root, env, stdio: "inherit" });
    const counts = /** @type {Record<string, number>} */ (JSON.parse(readFileSync(file, "utf8")));
    // A run that broke off for another reason than a case that was not survived is a failure too.
    if (status !== 0 && !counts["failed"]) counts["failed"] = 1;
    return { counts };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
