/**
 * `npm run campaign -- kill --kills=1000 --seed=7`: the kill loop of test/process/kill.test.ts at length.
 *
 * The counts are those that the test prints; `failed` is 1 when the test failed, whatever it had counted by then.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../repository.mjs";

export const flags = ["kills", "seed"];

/**
 * @param {Record<string, string>} args
 * @returns {{ counts: Record<string, number> }}
 */
export function run(args) {
  const kills = wholeNumber(args["kills"] ?? "1000", "--kills");
  const seed = wholeNumber(args["seed"] ?? String(Date.now() % 1_000_000), "--seed");
  const folder = mkdtempSync(join(tmpdir(), "synod-campaign-"));
  const report = join(folder, "report.json");
  try {
    const words = ["run", "--project", "process", "test/process/kill.test.ts"];
    const ended = spawnSync(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), ...words], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, KILLS: String(kills), KILL_SEED: String(seed), KILL_REPORT: report },
    });
    const text = existsSync(report) ? readFileSync(report, "utf8") : '{"kills":0}';
    const counted = /** @type {Record<string, number>} */ (JSON.parse(text));
    return { counts: { seed, ...counted, failed: ended.status === 0 ? 0 : 1 } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {string} text
 * @param {string} name
 * @returns {number}
 */
function wholeNumber(text, name) {
  if (!/^[0-9]+$/.test(text)) throw new Error(`${name} takes a whole number, not ${text}`);
  return Number(text);
}
