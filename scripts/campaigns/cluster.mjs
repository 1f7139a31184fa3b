/**
 * `npm run campaign -- cluster --messages=1000000 --seed=7`: test/process/cluster-faults.test.ts at length, three real
 * servers under all faults until so many messages are acknowledged, in rounds of `--round=40000`, or until `--minutes=60` are
 * over. Limits are small, so that files are begun and sealed all the time; `--limits=shipped` takes those that ship. With
 * `--folder=PATH` the servers' directories are left there, and the next run with the same path goes on with them.
 *
 * `npm run campaign -- cluster --part=failover --kills=200 --pauses=100`: test/process/cluster-failover.test.ts at length.
 * With `--into=FILE` what is measured is added to that file, and the counts are those of the whole file: a long run can
 * be made in pieces.
 *
 * `--note=TEXT` goes into the ledger, for instance `busy-machine`. `failed` is 1 when the test failed, whatever it had
 * counted by then.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { root } from "../repository.mjs";

export const flags = [
  "part",
  "messages",
  "seed",
  "round",
  "minutes",
  "limits",
  "folder",
  "kills",
  "pauses",
  "into",
  "note",
];

/**
 * @param {Record<string, string>} args
 * @returns {{ counts: Record<string, number | string> }}
 */
export function run(args) {
  const part = args["part"] ?? "faults";
  if (part !== "faults" && part !== "failover") throw new Error(`--part takes faults or failover, not ${part}`);
  const folder = mkdtempSync(join(tmpdir(), "synod-campaign-"));
  const report = join(folder, "report.json");
  const seed = wholeNumber(args["seed"] ?? String(Date.now() % 1_000_000), "--seed");
  try {
    const asked = part === "faults" ? faults(args, { folder, report, seed }) : failover(args, { folder, report, seed });
    const words = ["run", "--project", "process", `test/process/cluster-${part}.test.ts`];
    const ended = spawnSync(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), ...words], {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, CLUSTER_CAMPAIGN: JSON.stringify(asked) },
    });
    const text = existsSync(report) ? readFileSync(report, "utf8") : "{}";
    const counted = /** @type {Record<string, number>} */ (JSON.parse(text));
    /** @type {Record<string, number | string>} */
    const counts = { part, seed, ...counted };
    if (args["limits"] !== undefined) counts["limits"] = args["limits"];
    if (args["note"] !== undefined) counts["note"] = args["note"];
    return { counts: { ...counts, failed: ended.status === 0 ? 0 : 1 } };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * @param {Record<string, string>} args
 * @param {{ folder: string, report: string, seed: number }} own
 */
function faults(args, { folder, report, seed }) {
  const data = resolve(args["folder"] ?? join(folder, "cluster"));
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const messages = wholeNumber(args["messages"] ?? "1000000", "--messages");
  const round = wholeNumber(args["round"] ?? "40000", "--round");
  const minutes = wholeNumber(args["minutes"] ?? "60", "--minutes");
  const limits = args["limits"] ?? "small";
  if (limits !== "small" && limits !== "shipped") throw new Error(`--limits takes small or shipped, not ${limits}`);
  return { messages, round, minutes, seed, limits, report, folder: data };
}

/**
 * @param {Record<string, string>} args
 * @param {{ folder: string, report: string, seed: number }} own
 */
function failover(args, { folder, report, seed }) {
  const kills = wholeNumber(args["kills"] ?? "200", "--kills");
  const pauses = wholeNumber(args["pauses"] ?? "100", "--pauses");
  return { kills, pauses, seed, report, into: resolve(args["into"] ?? join(folder, "samples.json")) };
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
