/**
 * The process that runs killers for the museum, in its own copy of the code: one vitest that stays, so that a bug costs
 * what its file and its killer cost, and not the start of a test runner and of every module once more.
 *
 * It answers each `Wanted` with one `Told`, in turn. Each run has a fresh process for the tests, so nothing of one bug is
 * there for the next one; what stays is the text of the modules, and `changed` names those that are no longer what they were.
 */
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { createVitest } from "vitest/node";

/**
 * @typedef {object} Wanted
 * @property {string} file the test file, from the root of the copy
 * @property {string[]} titles only tests are run whose title has one of these in it, word for word, until one fails
 * @property {string[]} changed files that are not as they were at the last run
 */

/** @typedef {{ title: string, status: "passed" | "failed", messages: string[] }} Ran one test that ran */
/** @typedef {{ ran: Ran[], broken: string | null }} Told `broken`: the file could not be loaded, or nothing came of it */

/** @typedef {import("vitest/node").TestModule} TestModule */

const root = process.cwd();
/** What ended in the present run: what vitest remembers of earlier ones is not asked. */
/** @type {TestModule[]} */
let ended = [];
const vitest = await createVitest("test", {
  root,
  watch: false,
  bail: 1,
  // Whatever a stage says: nothing of one bug may be there for the next one.
  isolate: true,
  reporters: [{ onTestModuleEnd: (module) => void ended.push(module) }],
});
const specifications = new Map(
  (await vitest.globTestSpecifications()).map((specification) => [
    relative(root, specification.moduleId),
    specification,
  ]),
);

/**
 * @param {Wanted} wanted
 * @returns {Promise<Told>}
 */
async function run({ file, titles, changed }) {
  const specification = specifications.get(file);
  if (specification === undefined) return { ran: [], broken: `there is no test file ${file}` };
  for (const path of changed) vitest.invalidateFile(join(root, path));
  const pattern = titles.map((title) => title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join("|");
  vitest.setGlobalTestNamePattern(new RegExp(pattern));
  ended = [];
  const { unhandledErrors } = await vitest.runTestSpecifications([specification]);
  const module = ended.find(({ moduleId }) => moduleId === specification.moduleId);
  if (module === undefined)
    return { ran: [], broken: `nothing came of ${file}: ${unhandledErrors.map(said).join("; ")}` };
  const tests = [...module.children.allTests()];
  const [unloaded] = tests.length === 0 ? module.errors() : [];
  if (unloaded !== undefined) return { ran: [], broken: said(unloaded) };
  return {
    broken: null,
    ran: tests.flatMap((test) => {
      const { state, errors } = test.result();
      if (state !== "passed" && state !== "failed") return [];
      return [
        { title: titleOf(test), status: state, messages: (errors ?? []).map(({ stack, message }) => stack ?? message) },
      ];
    }),
  };
}

/**
 * With the titles of the groups that it is in, as vitest reads them where it looks for a title.
 *
 * @param {import("vitest/node").TestCase} test
 * @returns {string}
 */
function titleOf(test) {
  let title = test.name;
  for (let { parent } = test; parent.type === "suite"; { parent } = parent) title = `${parent.name} ${title}`;
  return title;
}

/**
 * @param {unknown} error
 * @returns {string}
 */
function said(error) {
  const { message } = /** @type {{ message?: unknown }} */ (error);
  return stripVTControlCharacters(String(message ?? error));
}

process.on("message", (message) => {
  void run(/** @type {Wanted} */ (message)).then((told) => process.send?.(told));
});
process.on("disconnect", () => void vitest.close());
