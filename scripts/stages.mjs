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
 * @property {boolean} isolate whether each test file gets a process of its own. Where loading a module does nothing and no test
 *   changes what is global, files follow one another in one process per worker: each module is loaded and made fast once
 * @property {readonly string[]} [longest] files that take long and are short to read, which is what says how long one takes
 *   where it was never run: begun first, so that nobody waits for them alone in the end
 */

/** @type {readonly Stage[]} */
export const stages = [
  { name: "units", folder: null, testTimeoutMs: 30_000, workersMax: 2, isolate: false },
  { name: "damage", folder: "test/damage", testTimeoutMs: 120_000, workersMax: 2, isolate: true },
  { name: "simulator", folder: "test/sim", testTimeoutMs: 180_000, workersMax: 2, isolate: false },
  { name: "museum", folder: "test/museum", testTimeoutMs: 300_000, workersMax: 1, isolate: true },
  {
    name: "process",
    folder: "test/process",
    testTimeoutMs: 120_000,
    // Mostly they wait: for elections, deadlines, and processes to start.
    workersMax: 2,
    isolate: true,
    longest: ["test/process/kill.test.ts", "test/process/cluster-faults.test.ts", "test/process/demo.test.ts"],
  },
  { name: "browser", folder: "test/browser", testTimeoutMs: 120_000, workersMax: 1, isolate: true },
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

/**
 * The order in which test files are begun: of what a stage names as long, that first.
 *
 * @template T
 * @param {readonly T[]} files
 * @param {(file: T) => string} pathOf from the root of the repository
 * @returns {T[]}
 */
export function longestFirst(files, pathOf) {
  const longest = stages.flatMap((stage) => stage.longest ?? []);
  const isLong = (/** @type {T} */ file) => longest.includes(pathOf(file));
  return [...files.filter(isLong), ...files.filter((file) => !isLong(file))];
}
