/**
 * What a run of tests adds up to. Pure, so that its rules are themselves tested (test/house/test-report.test.ts).
 */

/**
 * The part of vitest's JSON report that counts.
 *
 * @typedef {object} VitestReport
 * @property {{ name: string, status: string, message?: string, assertionResults: VitestResult[] }[]} testResults
 */

/**
 * @typedef {{ fullName: string, status: string, failureMessages?: string[] | null }} VitestResult
 */

/**
 * @typedef {object} StageCounts
 * @property {number} passed
 * @property {number} failed tests that failed, and everything that broke outside a test
 * @property {number} skipped
 * @property {string[]} faults why the run may not count as good; told at the end, where a log that was cut still has it
 */

/** @typedef {StageCounts & { name: string, ms: number }} StageResult */

/**
 * @param {VitestReport} report
 * @param {{ stage: string, exitCode: number | null, lacks: ReadonlyMap<string, string> }} run
 *   `lacks`: what the machine does not have and cannot be given, with the reason
 * @returns {StageCounts}
 */
export function countReport(report, { stage, exitCode, lacks }) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  /** @type {string[]} */
  const faults = [];
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") {
        counts.failed += 1;
        faults.push(failure(test));
      } else {
        counts.skipped += 1;
        if (!isExcused(test.fullName, stage, lacks)) faults.push(`skipped, though it could run here: ${test.fullName}`);
      }
    }
    if (file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")) {
      counts.failed += 1;
      faults.push(`a test file broke outside its tests: ${file.name}`);
    }
  }
  if (exitCode !== 0 && counts.failed === 0) {
    counts.failed += 1;
    faults.push(`no test failed, and yet the run ended with code ${exitCode ?? "none"}`);
  }
  return { ...counts, faults };
}

/** How many lines of a failure's message are worth repeating: the comparison and the first places of the stack. */
const linesOfMessageMax = 24;
const lineLengthMax = 400;

/**
 * @param {VitestResult} test
 * @returns {string}
 */
function failure({ fullName, failureMessages }) {
  const lines = (failureMessages ?? []).flatMap((message) => message.split("\n")).slice(0, linesOfMessageMax);
  return [`failed: ${fullName}`, ...lines.map((line) => `    ${line.slice(0, lineLengthMax)}`)].join("\n");
}

/**
 * @param {string} title
 * @param {string} stage
 * @param {ReadonlyMap<string, string>} lacks
 * @returns {boolean}
 */
function isExcused(title, stage, lacks) {
  const named = [...title.matchAll(/\[needs ([a-z]+)\]/g)].map((match) => match[1] ?? "");
  const needs = stage === "browser" ? [...named, "chromium"] : named;
  return needs.some((need) => lacks.has(need));
}

/**
 * Whether the whole run is good, and all reasons why not.
 *
 * @param {readonly StageResult[]} results
 * @param {{ testsWanted: boolean }} options false when only the sources were checked
 * @returns {{ ok: boolean, faults: string[] }}
 */
export function verdict(results, { testsWanted }) {
  const faults = results.flatMap((result) => result.faults.map((fault) => `${result.name}: ${fault}`));
  const failed = results.some((result) => result.failed > 0);
  if (testsWanted && results.every((result) => result.passed === 0)) faults.push("not a single test passed");
  return { ok: !failed && faults.length === 0, faults };
}

/**
 * @param {readonly StageResult[]} results
 * @returns {string}
 */
export function lastLine(results) {
  const sum = (/** @type {"passed" | "failed" | "skipped"} */ key) =>
    results.reduce((total, result) => total + result[key], 0);
  const skipped = sum("skipped");
  return `${sum("passed")} passed, ${sum("failed")} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
