/**
 * `npm test`: makes the clone ready, checks the sources, runs every stage, and says in the end what was counted.
 * `npm test -- NAME ...` runs the named stages only ("check" is one of them).
 *
 * 1. The last line is `N passed, N failed`, and `, N skipped` when there are any. The code is 0 only if nothing failed.
 * 2. A check, build or stage that broke without a failing test counts as one failed. Faults that are no failure, such as a
 *    skipped test, are listed above the last line.
 * 3. A stage that has no test file yet is not mentioned. A run without a single test fails.
 * 4. A skipped test fails the run, unless it needs something this machine does not have and cannot be given. The browser
 *    stage needs Chromium; elsewhere the title says it: "[needs root]", "[needs linux]", "[needs chromium]".
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BootstrapError, bootstrap } from "./bootstrap.mjs";
import { check } from "./check.mjs";
import { bringChromium } from "./chromium.mjs";
import { say, seconds } from "./progress.mjs";
import { root } from "./repository.mjs";
import { stages, testFilesIn } from "./stages.mjs";
import { countReport, lastLine, verdict } from "./test-report.mjs";

/** @typedef {import("./test-report.mjs").StageResult} StageResult */

const asked = process.argv.slice(2);
const known = ["check", ...stages.map((stage) => stage.name)];
const unknown = asked.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no such stage: ${unknown.join(", ")}; there are ${known.join(", ")}\n`);
  process.exit(2);
}

process.exitCode = run();

/** @returns {number} the exit code */
function run() {
  const present = stages.filter((stage) => testFilesIn(stage).length > 0);
  const missing = asked.filter((name) => name !== "check" && !present.some((stage) => stage.name === name));
  const chosen = present.filter((stage) => asked.length === 0 || asked.includes(stage.name));
  /** @type {StageResult[]} */
  const results = missing.map((name) => broken(name, "there is no test file in this stage", 0));

  const prepared = prepare();
  if (prepared !== null) return conclude([prepared]);
  const machine = lookAtMachine(chosen.some((stage) => stage.name === "browser"));
  if (asked.length === 0 || asked.includes("check")) results.push(runCheck());
  for (const stage of chosen) results.push(runStage(stage, machine));
  return conclude(results);
}

/** @returns {StageResult | null} null when the clone is ready */
function prepare() {
  const startedAt = performance.now();
  try {
    bootstrap();
    return null;
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    process.stdout.write(`${error.message}\n`);
    return broken("bootstrap", "could not make the clone ready", performance.now() - startedAt);
  }
}

/**
 * What this machine lacks, by the names used in test titles, each with the reason. Tells the tests where Chromium is.
 *
 * @param {boolean} wantsBrowser
 * @returns {Map<string, string>}
 */
function lookAtMachine(wantsBrowser) {
  /** @type {Map<string, string>} */
  const lacks = new Map();
  if (process.platform !== "linux") lacks.set("linux", `this is ${process.platform}`);
  if (process.getuid?.() !== 0) lacks.set("root", "not running as root");
  if (!wantsBrowser) return lacks;
  const browser = bringChromium((line) => say("chromium", line));
  if (browser.path === null) {
    lacks.set("chromium", browser.reason);
    // A path that does not start would make the tests fail where they should say that they cannot run.
    delete process.env["CHROMIUM_PATH"];
    process.stdout.write(`\n!!  THE BROWSER TESTS WILL BE SKIPPED: ${browser.reason}\n\n`);
  } else {
    process.env["CHROMIUM_PATH"] = browser.path;
  }
  return lacks;
}

/** @returns {StageResult} */
function runCheck() {
  const startedAt = performance.now();
  const faults = check();
  return { name: "check", passed: 0, failed: faults.length, skipped: 0, faults, ms: performance.now() - startedAt };
}

/**
 * @param {import("./stages.mjs").Stage} stage
 * @param {Map<string, string>} machine what it lacks
 * @returns {StageResult}
 */
function runStage(stage, machine) {
  const folder = join(root, "node_modules/.cache/test-reports");
  const file = join(folder, `${stage.name}.json`);
  mkdirSync(folder, { recursive: true });
  // What an earlier run left must not pass for this one's.
  rmSync(file, { force: true });

  process.stdout.write(`\n${stage.name}\n`);
  const startedAt = performance.now();
  const words = ["run", "--project", stage.name, "--maxWorkers", String(stage.workersMax), "--silent=passed-only"];
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const ended = spawnSync(process.execPath, [join(root, "node_modules/vitest/vitest.mjs"), ...words, ...reporters], {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
  });
  const ms = performance.now() - startedAt;
  process.stdout.write(`${stage.name}: ${seconds(ms)}\n`);
  if (!existsSync(file))
    return broken(stage.name, `vitest ended with ${ended.signal ?? ended.status} and no report`, ms);
  const report = /** @type {import("./test-report.mjs").VitestReport} */ (JSON.parse(readFileSync(file, "utf8")));
  return {
    name: stage.name,
    ...countReport(report, { stage: stage.name, exitCode: ended.status, lacks: machine }),
    ms,
  };
}

/**
 * @param {string} name
 * @param {string} fault
 * @param {number} ms
 * @returns {StageResult}
 */
function broken(name, fault, ms) {
  return { name, passed: 0, failed: 1, skipped: 0, faults: [fault], ms };
}

/**
 * Prints the table and the last line.
 *
 * @param {StageResult[]} results
 * @returns {number} the exit code
 */
function conclude(results) {
  process.stdout.write(
    `\n${"stage".padEnd(12)}${"passed".padStart(8)}${"failed".padStart(8)}${"skipped".padStart(9)}${"time".padStart(10)}\n`,
  );
  for (const { name, passed, failed, skipped, ms } of results) {
    const counts = name === "check" && failed === 0 ? "ok".padStart(8) + "".padEnd(17) : table(passed, failed, skipped);
    process.stdout.write(`${name.padEnd(12)}${counts}${seconds(ms).padStart(10)}\n`);
  }
  const { ok, faults } = verdict(results, {
    testsWanted: asked.length === 0 || asked.some((name) => name !== "check"),
  });
  if (faults.length > 0) process.stdout.write(`\n${faults.join("\n")}\n`);
  process.stdout.write(`\n${lastLine(results)}\n`);
  return ok ? 0 : 1;
}

/**
 * @param {number} passed
 * @param {number} failed
 * @param {number} skipped
 * @returns {string}
 */
function table(passed, failed, skipped) {
  return `${String(passed).padStart(8)}${String(failed).padStart(8)}${String(skipped).padStart(9)}`;
}
