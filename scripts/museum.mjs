/**
 * The bug museum: each file test/museum/patches/NAME.patch brings a classic bug back, and names the test that must catch
 * it. A bug that nothing catches means that the tests are wrong.
 *
 * ```
 * # killer: test/storage/journal.test.ts -t "segments come back"
 * # lesson: the batch that did not fit belongs in the next segment; going on to it must not drop what caused it
 * --- a/src/storage/journal/journal.ts
 * ```
 *
 * `node scripts/museum.mjs` runs it and prints the table; with `--write` the table goes to docs/museum.md; words are names
 * of patches to look at, and then nothing is written.
 */
import { fork, spawnSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { say, since } from "./progress.mjs";
import { root } from "./repository.mjs";

/**
 * @typedef {object} Exhibit
 * @property {string} name
 * @property {string} patch the file, from the root of the repository
 * @property {string} killerFile the test file that must catch it
 * @property {string} killerTitle a part of the title of the test in it, word for word
 * @property {string} lesson
 */

/**
 * @typedef {object} Caught
 * @property {Exhibit} exhibit
 * @property {boolean} isCaught
 * @property {string} how the first line of what the killer said, or why the exhibit is not in order
 */

/** @typedef {import("./museum-runner.mjs").Wanted} Wanted */
/** @typedef {import("./museum-runner.mjs").Told} Told */

const patchFolder = "test/museum/patches";
/** Two at a time: a machine with two cores is busy with that. */
const copiesMax = 2;

/**
 * All exhibits, by name. Throws when the head of a patch does not say its killer and its lesson.
 *
 * @returns {Exhibit[]}
 */
export function exhibits() {
  const files = readdirSync(join(root, patchFolder)).filter((file) => file.endsWith(".patch"));
  return files.sort().map((file) => {
    const patch = `${patchFolder}/${file}`;
    const text = readFileSync(join(root, patch), "utf8");
    const head = /^# killer: (\S+) -t "(.+)"\n# lesson: (.+)\n/.exec(text);
    const [, killerFile, killerTitle, lesson] = head ?? [];
    if (killerFile === undefined || killerTitle === undefined || lesson === undefined) {
      throw new Error(`${patch} does not begin with its killer and its lesson`);
    }
    return { name: basename(file, ".patch"), patch, killerFile, killerTitle, lesson };
  });
}

/**
 * Runs the killers: all of them on the code as it is, where they must pass, then each on the code with its bug, where it
 * must fail. Answers in the order given; throws when a killer is not there or does not pass without its bug.
 *
 * @param {Exhibit[]} shown
 * @returns {Promise<Caught[]>}
 */
export async function runMuseum(shown) {
  /** @type {Copy[]} */
  const copies = [];
  try {
    copies.push(...Array.from({ length: copiesMax }, () => new Copy()));
    const files = [...new Set(shown.map(({ killerFile }) => killerFile))];
    await shared(copies, files, (copy, file) =>
      checkWithout(
        copy,
        shown.filter(({ killerFile }) => killerFile === file),
      ),
    );
    return await shared(copies, shown, tryOne);
  } finally {
    await Promise.all(copies.map((copy) => copy.remove()));
  }
}

/**
 * Does what is to be done with each item on whichever copy is free next. Answers in the order of the items.
 *
 * @template Item, Answer
 * @param {Copy[]} copies
 * @param {Item[]} items
 * @param {(copy: Copy, item: Item) => Promise<Answer>} act
 * @returns {Promise<Answer[]>}
 */
async function shared(copies, items, act) {
  /** @type {Answer[]} */
  const answers = [];
  let next = 0;
  await Promise.all(
    copies.map(async (copy) => {
      while (next < items.length) {
        const at = next++;
        answers[at] = await act(copy, /** @type {Item} */ (items[at]));
      }
    }),
  );
  return answers;
}

/** The code as it stands in this folder, in a folder of its own, and a process that runs tests there. */
class Copy {
  /** @type {string} */
  folder;
  /**
   * Files that the last exhibit had changed, and that are as they were again.
   *
   * @type {string[]}
   */
  restored = [];
  #runner;
  #output = "";

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "synod-museum-"));
    for (const name of ["src", "test", "scripts"])
      cpSync(join(root, name), join(this.folder, name), { recursive: true });
    for (const file of readdirSync(root)) {
      if (/^(package(-lock)?|tsconfig.*)\.json$|\.config\.ts$/.test(file))
        copyFileSync(join(root, file), join(this.folder, file));
    }
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"), "dir");
    this.#runner = fork(join(root, "scripts/museum-runner.mjs"), [], {
      cwd: this.folder,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: { ...childEnv(), TEST: "true", VITEST: "true", NODE_ENV: "test" },
    });
    const hear = (/** @type {Buffer} */ bytes) => {
      this.#output = (this.#output + bytes.toString("utf8")).slice(-10_000);
    };
    this.#runner.stdout?.on("data", hear);
    this.#runner.stderr?.on("data", hear);
  }

  /**
   * One at a time. Rejects when the process ends instead of answering: that is a fault of the museum, not of an exhibit.
   *
   * @param {Wanted} wanted
   * @returns {Promise<Told>}
   */
  run(wanted) {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the runner of ${wanted.file} ended: ${this.#output.slice(-2_000)}`));
      if (!this.#runner.connected) {
        ended();
        return;
      }
      this.#runner.once("exit", ended);
      this.#runner.once("message", (told) => {
        this.#runner.off("exit", ended);
        resolve(/** @type {Told} */ (told));
      });
      this.#runner.send(wanted);
    });
  }

  /** @returns {Promise<void>} */
  async remove() {
    const runner = this.#runner;
    if (runner.exitCode === null && runner.signalCode === null) {
      await new Promise((resolve) => {
        runner.once("exit", resolve);
        if (runner.connected) runner.disconnect();
      });
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * @param {Copy} copy
 * @param {Exhibit[]} shown all of one killer file
 * @returns {Promise<void>}
 */
async function checkWithout(copy, shown) {
  const file = shown[0]?.killerFile ?? "";
  const titles = [...new Set(shown.map(({ killerTitle }) => killerTitle))];
  const { ran, broken } = await copy.run({ file, titles, changed: [] });
  if (broken !== null) throw new Error(`without any bug a killer can't be run: ${broken}`);
  for (const { name, killerTitle } of shown) {
    const mine = ran.filter(({ title }) => title.includes(killerTitle));
    if (mine.length === 0) throw new Error(`${name}: no test in ${file} is called "${killerTitle}"`);
    const failed = mine.find(({ status }) => status !== "passed");
    if (failed !== undefined)
      throw new Error(`${name}: its killer fails without the bug: ${failed.messages.join(" ")}`);
  }
}

/**
 * @param {Copy} copy
 * @param {Exhibit} exhibit
 * @returns {Promise<Caught>}
 */
async function tryOne(copy, exhibit) {
  const patch = join(root, exhibit.patch);
  const changed = changedBy(readFileSync(patch, "utf8"));
  const applied = git(copy.folder, ["apply", patch]);
  if (applied !== null) return { exhibit, isCaught: false, how: `the patch does not apply: ${applied}` };
  const { killerFile: file, killerTitle } = exhibit;
  const { ran, broken } = await copy.run({ file, titles: [killerTitle], changed: [...copy.restored, ...changed] });
  const reverted = git(copy.folder, ["apply", "--reverse", patch]);
  if (reverted !== null) throw new Error(`${exhibit.patch} can't be taken back: ${reverted}`);
  copy.restored = changed;
  if (broken !== null) return { exhibit, isCaught: false, how: `the code does not load with it: ${firstLine(broken)}` };
  const failed = ran.find(({ status }) => status === "failed");
  if (failed === undefined) return { exhibit, isCaught: false, how: "its killer passes" };
  const how = firstLine(failed.messages[0] ?? "");
  // A patch that breaks the code is no bug of the past: what it breaks would be seen without any test.
  const isBroken = /^(SyntaxError|ReferenceError|TypeError)|^Error: (Test timed out|STACK_TRACE_ERROR)/.test(how);
  return { exhibit, isCaught: !isBroken, how: isBroken ? `its killer fails for another reason: ${how}` : how };
}

/**
 * The files that a patch touches, from the root of the repository.
 *
 * @param {string} text
 * @returns {string[]}
 */
function changedBy(text) {
  return [...text.matchAll(/^(?:---|\+\+\+) [ab]\/(\S+)/gm)].map(([, file]) => file ?? "");
}

/** Without what an outer test runner tells its own children. */
function childEnv() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_OPTIONS|TEST$)/.test(name)));
}

/**
 * @param {string} folder
 * @param {string[]} words
 * @returns {string | null} what is wrong, or null
 */
function git(folder, words) {
  // The copy is no repository, and must not be taken for a part of one.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir(), GIT_DIR: join(folder, "no-repository") };
  const { status, stderr } = spawnSync("git", words, { cwd: folder, env, encoding: "utf8" });
  return status === 0 ? null : firstLine(stderr);
}

/**
 * @param {string} text
 * @returns {string}
 */
function firstLine(text) {
  return (
    stripVTControlCharacters(text)
      .split("\n")
      .find((line) => line.trim() !== "") ?? ""
  )
    .trim()
    .slice(0, 120);
}

/**
 * @param {Caught[]} caught
 * @returns {string} for the terminal
 */
export function tableOf(caught) {
  const width = Math.max(...caught.map(({ exhibit }) => exhibit.name.length));
  const lines = caught.map(({ exhibit, isCaught, how }) => {
    const { name, killerFile } = exhibit;
    return `${isCaught ? "caught" : "MISSED"}  ${name.padEnd(width)}  ${killerFile}: ${how}`;
  });
  return `${lines.join("\n")}\n${caught.filter(({ isCaught }) => isCaught).length} of ${caught.length} caught`;
}

/** Where the table is kept. */
export const museumPage = "docs/museum.md";

/**
 * @param {Exhibit[]} shown
 * @returns {string} the page
 */
export function pageOf(shown) {
  const cell = (/** @type {string} */ text) => text.replaceAll("|", "\\|");
  const rows = shown.map(({ name, lesson, killerFile, killerTitle }) =>
    [`[${name}](../test/museum/patches/${name}.patch)`, cell(lesson), `\`${killerFile}\`: ${cell(killerTitle)}`].join(
      " | ",
    ),
  );
  return `# The bug museum

Bugs that other systems had, and that we nearly had. Each patch brings one back, and the test beside it catches it;
\`npm test -- museum\` tries them all. Written by \`node scripts/museum.mjs --write\` after all of them were caught.

bug | lesson | caught by
--- | --- | ---
${rows.join("\n")}
`;
}

/**
 * @param {string[]} words
 * @returns {Promise<number>} the exit code
 */
async function main(words) {
  const startedAt = performance.now();
  const names = words.filter((word) => word !== "--write");
  const shown = exhibits().filter(({ name }) => names.length === 0 || names.includes(name));
  const caught = await runMuseum(shown);
  process.stdout.write(`${tableOf(caught)}\n`);
  say("museum", since(startedAt));
  if (!caught.every(({ isCaught }) => isCaught)) return 1;
  if (words.includes("--write") && names.length === 0) writeFileSync(join(root, museumPage), pageOf(shown));
  return 0;
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  process.exitCode = await main(process.argv.slice(2));
}
