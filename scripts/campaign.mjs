/**
 * `npm run campaign -- NAME [--key=value ...]`: work too long for `npm test`, whose result is written down. With `--help`
 * it says what there is, and of a campaign what it takes.
 *
 * A campaign is a file scripts/campaigns/NAME.mjs that exports `run(args)`, `args` being an object of strings, and answers
 * `{ counts }`, numbers or short words by name; `flags` are the names that may stand in `args`, and the comment it begins
 * with is its help. Each finished run adds one line to docs/ledger.md, good or bad; a run that throws adds none. The code
 * is 1 when `counts.failed` is above 0, 2 when nothing was run because of what was asked.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { bootstrapOrExit } from "./bootstrap.mjs";
import { say, since } from "./progress.mjs";
import { filesUnder, root } from "./repository.mjs";

/** @typedef {Record<string, number | string>} Counts */
/** @typedef {Promise<{ counts: Counts }> | { counts: Counts }} Outcome */
/** @typedef {{ readonly flags: readonly string[], run(args: Record<string, string>): Outcome }} Campaign */

const ledger = join(root, "docs/ledger.md");
const heading = `# Ledger

What was run at length, on which commit and machine, and what was counted. Written by \`npm run campaign\`, a line a run.

date | commit | machine | campaign | counts
--- | --- | --- | --- | ---
`;

/**
 * The names there are, in the order of the alphabet.
 *
 * @returns {string[]}
 */
export function campaignNames() {
  return filesUnder("scripts/campaigns")
    .flatMap((file) => /^scripts\/campaigns\/([a-z0-9-]+)\.mjs$/.exec(file)?.[1] ?? [])
    .sort();
}

/**
 * `--seeds=100 --keep` as an object; a word alone means "true". Throws on anything that does not begin with two dashes.
 *
 * @param {string[]} words
 * @returns {Record<string, string>}
 */
export function campaignArgs(words) {
  return Object.fromEntries(
    words.map((word) => {
      const parts = /^--([a-z][a-z0-9-]*)(?:=(.*))?$/.exec(word);
      if (parts?.[1] === undefined) throw new Error(`write --name=value, not ${word}`);
      return [parts[1], parts[2] ?? "true"];
    }),
  );
}

/**
 * What the file of a campaign begins with, as its author says it.
 *
 * @param {string} name
 * @returns {string}
 */
export function campaignHelp(name) {
  const text = readFileSync(join(root, "scripts/campaigns", `${name}.mjs`), "utf8");
  const [, comment = ""] = /^\/\*\*\n([^]*?) \*\/\n/.exec(text) ?? [];
  return comment.replaceAll(/^ \* ?/gm, "");
}

/**
 * One line of the ledger, without its end.
 *
 * @param {{ date: Date, commit: string, machine: string, name: string, counts: Counts }} run
 * @returns {string}
 */
export function ledgerLine({ date, commit, machine, name, counts }) {
  const counted = Object.entries(counts).map(([key, value]) => `${key}=${value}`);
  const cells = [`${date.toISOString().slice(0, 16)}Z`, commit, machine, name, counted.join(" ")];
  return cells.map((cell) => cell.replaceAll(/\s+/g, " ").replaceAll("|", "/").trim()).join(" | ");
}

/** @returns {string} such as "AMD EPYC 7B13, 2 cores, node 20.20.2" */
function machine() {
  const cores = cpus();
  return `${cores[0]?.model.trim() || "unknown CPU"}, ${cores.length} cores, node ${process.versions.node}`;
}

/** @returns {string} the commit that ran, with a plus sign when the files differ from it */
function commit() {
  const head = git(["rev-parse", "--short=12", "HEAD"]);
  if (head === null) return "unknown";
  const changes = git(["status", "--porcelain", "--untracked-files=no"]);
  return changes === "" ? head : `${head}+`;
}

/**
 * @param {string[]} words
 * @returns {string | null}
 */
function git(words) {
  const result = spawnSync("git", words, { cwd: root, encoding: "utf8" });
  return result.status === 0 ? result.stdout.trim() : null;
}

const isHelp = (/** @type {string | undefined} */ word) => word === "--help" || word === "-h";

/**
 * @param {string[]} words
 * @returns {Record<string, string> | string} a string says what is wrong with them
 */
function argsOrRefusal(words) {
  try {
    return campaignArgs(words);
  } catch (cause) {
    return /** @type {Error} */ (cause).message;
  }
}

/**
 * @param {string | undefined} name
 * @param {string[]} words
 * @returns {Promise<number>} the exit code
 */
async function main(name, words) {
  const names = campaignNames();
  const list = names.length === 0 ? "there is none yet" : `there are: ${names.join(", ")}`;
  if (isHelp(name)) {
    process.stdout.write(`npm run campaign -- NAME [--key=value ...]\n\n${list}; NAME --help tells more\n`);
    return 0;
  }
  if (name === undefined || !names.includes(name)) {
    process.stderr.write(`${name === undefined ? "which campaign?" : `no campaign is called ${name};`} ${list}\n`);
    return 2;
  }
  if (words.some(isHelp)) {
    process.stdout.write(campaignHelp(name));
    return 0;
  }
  const args = argsOrRefusal(words);
  if (typeof args === "string") {
    process.stderr.write(`${args}\n`);
    return 2;
  }
  bootstrapOrExit();

  const startedAt = performance.now();
  const startedCommit = commit();
  const file = pathToFileURL(join(root, "scripts/campaigns", `${name}.mjs`)).href;
  const campaign = /** @type {Campaign} */ (await import(file));
  const unknown = Object.keys(args).filter((flag) => !campaign.flags.includes(flag));
  if (unknown.length > 0) {
    const known = campaign.flags.map((flag) => `--${flag}`).join(", ");
    process.stderr.write(`${name} does not take ${unknown.map((flag) => `--${flag}`).join(", ")}; it takes ${known}\n`);
    return 2;
  }
  const { counts } = await campaign.run(args);

  if (!existsSync(ledger)) {
    mkdirSync(dirname(ledger), { recursive: true });
    writeFileSync(ledger, heading);
  }
  const line = ledgerLine({ date: new Date(), commit: startedCommit, machine: machine(), name, counts });
  appendFileSync(ledger, `${line}\n`);
  say("campaign", `${line} (${since(startedAt)})`);
  return Number(counts["failed"] ?? 0) > 0 ? 1 : 0;
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  process.exitCode = await main(process.argv[2], process.argv.slice(3));
}
