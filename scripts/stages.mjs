/**
 * The stages of `npm test`, in the order they run. `vitest.config.ts` makes one project of each.
 *
 * A stage owns one folder under test/; "units" owns everything that no other stage owns.
 */

import { filesUnder } from "./repository.mjs";

/**
 * @typedef {object} Stage
 * @property {string} name what `npm test -- NAME` and `vitest --project NAME` call it
 * @property {string | null} folder its folder under test/, or null for "all that is left"
 * @property {number} testTimeoutMs after how long one test counts as stuck; generous, because machines differ
 * @property {number} workersMax how many test files may run at the same time
 */

/** @type {readonly Stage[]} */
export const stages = [
  { name: "units", folder: null, testTimeoutMs: 30_000, workersMax: 2 },
  { name: "damage", folder: "test/damage", testTimeoutMs: 120_000, workersMax: 2 },
  { name: "simulator", folder: "test/sim", testTimeoutMs: 180_000, workersMax: 2 },
  { name: "museum", folder: "test/museum", testTimeoutMs: 300_000, workersMax: 1 },
  { name: "process", folder: "test/process", testTimeoutMs: 120_000, workersMax: 1 },
  { name: "browser", folder: "test/browser", testTimeoutMs: 120_000, workersMax: 1 },
];

/**
 * The globs of a stage's test files, from the root of the repository.
 *
 * @param {Stage} stage
 * @returns {{ include: string[], exclude: string[] }}
 */
export function testFilesOf(stage) {
  if (stage.folder !== null) return { include: [`${stage.folder}/**/*.test.ts`], exclude: [] };
  const taken = stages.flatMap((other) => (other.folder === null ? [] : [`${other.folder}/**`]));
  return { include: ["test/**/*.test.ts"], exclude: taken };
}

/**
 * The test files a stage has now.
 *
 * @param {Stage} stage
 * @returns {string[]}
 */
export function testFilesIn(stage) {
  const others = stages.flatMap((other) => (other.folder === null ? [] : [`${other.folder}/`]));
  return filesUnder(stage.folder ?? "test").filter(
    (file) => file.endsWith(".test.ts") && (stage.folder !== null || !others.some((folder) => file.startsWith(folder))),
  );
}
