/**
 * Reads package-lock.json and names every package that we could not ship with a good conscience.
 *
 * It guards what npm does not: npm picks versions that fit Node for the packages we ask for, but not for theirs.
 */
import { pathToFileURL } from "node:url";
import { missingEntries } from "./complete-lockfile.mjs";
import { readJson } from "./repository.mjs";

/** The oldest Node we promise to run on. */
const nodeFloor = "20.20.0";
/** What an installed server may weigh. Every package is one more publisher to trust. */
const runtimePackagesMax = 45;
const licencesShipped = [
  "MIT",
  "ISC",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "Apache-2.0",
  "0BSD",
  "Unlicense",
  "BlueOak-1.0.0",
];
/** Fine for a tool that is never shipped. */
const licencesOfTools = [...licencesShipped, "MPL-2.0", "CC0-1.0", "Python-2.0"];

/**
 * @typedef {object} LockedPackage
 * @property {string} [version]
 * @property {string} [license]
 * @property {{ node?: string }} [engines]
 * @property {boolean} [dev] needed by a development dependency only
 * @property {boolean} [optional] a package of one platform, mostly
 * @property {boolean} [hasInstallScript]
 * @property {string} [resolved] a download address
 * @property {string} [integrity] the hash of what is downloaded
 * @property {Record<string, string>} [optionalDependencies]
 */

/**
 * What is wrong, one sentence each; empty when all is well.
 *
 * @param {{ packages: Record<string, LockedPackage> }} lock
 * @returns {string[]}
 */
export function lockfileFaults(lock) {
  const places = Object.entries(lock.packages).filter(([place]) => place !== "");
  /** @type {string[]} */
  const faults = [];
  for (const [place, entry] of places) {
    const name = `${place.replace(/^.*node_modules\//, "")}@${entry.version}`;
    const node = entry.engines?.node;
    if (node !== undefined && !satisfies(nodeFloor, node))
      faults.push(`${name} wants Node ${node}, we run on ${nodeFloor}`);
    if (entry.hasInstallScript && !entry.dev) faults.push(`${name} runs a script when it is installed`);
    if (entry.resolved !== undefined) faults.push(`${name} has a download address: ${entry.resolved}`);
    if (entry.integrity === undefined && !(entry.dev && entry.optional)) faults.push(`${name} has no hash`);
    if (!isLicensed(entry.license, entry.dev ? licencesOfTools : licencesShipped)) {
      faults.push(`${name} has the licence ${entry.license ?? "(none)"}, which is not on the list`);
    }
  }
  const unnamed = Object.keys(missingEntries(lock)).length;
  if (unnamed > 0)
    faults.push(`${unnamed} packages of other platforms are not named: node scripts/complete-lockfile.mjs`);
  const runtime = places.filter(([, entry]) => !entry.dev).length;
  if (runtime > runtimePackagesMax) faults.push(`${runtime} packages at run time, ${runtimePackagesMax} are allowed`);
  return faults;
}

/**
 * Whether one way of reading an SPDX expression is allowed. Flat expressions only, which is all that packages use:
 * every part of an AND must be allowed, one part of an OR is enough.
 *
 * @param {string | undefined} expression
 * @param {string[]} allowed
 * @returns {boolean}
 */
function isLicensed(expression, allowed) {
  if (expression === undefined) return false;
  const choices = expression.replaceAll(/[()]/g, "").split(" OR ");
  return choices.some((choice) => choice.split(" AND ").every((name) => allowed.includes(name.trim())));
}

/**
 * Whether a version lies in a range as `engines` fields write them: `||`, comparators, `^`, `~`, `x`, a bare version and
 * `a - b`. Throws on anything else, because a range that is not understood has not been checked.
 *
 * @param {string} version
 * @param {string} range
 * @returns {boolean}
 */
export function satisfies(version, range) {
  const have = parse(version);
  return range.split("||").some((choice) => {
    const spelled = choice
      .trim()
      .replace(/^(\S+)\s+-\s+(\S+)$/, ">=$1 <=$2")
      .replaceAll(/(?<=[<>=^~])\s+/g, "");
    return spelled.split(/\s+/).every((comparator) => meets(have, comparator));
  });
}

/**
 * @param {number[]} have
 * @param {string} comparator
 * @returns {boolean}
 */
function meets(have, comparator) {
  const parts = /^(>=|<=|>|<|=|\^|~)?v?(\d+|[xX*])?(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?$/.exec(comparator);
  if (parts === null) throw new Error(`this version range is not understood: ${comparator}`);
  const given = parts
    .slice(2)
    .filter((part) => part !== undefined && /^\d+$/.test(part))
    .map(Number);
  if (given.length === 0) return true;
  const from = [...given, 0, 0, 0].slice(0, 3);
  // The first version above all those that a shortened version stands for: 20.1 stands for 20.1.0 up to below 20.2.0.
  const past = (/** @type {number} */ place) =>
    from.map((part, at) => (at < place ? part : at === place ? part + 1 : 0));
  const afterGiven = given.length === 3 ? [from[0] ?? 0, from[1] ?? 0, (from[2] ?? 0) + 1] : past(given.length - 1);
  switch (parts[1]) {
    case ">=":
      return compare(have, from) >= 0;
    case "<":
      return compare(have, from) < 0;
    case ">":
      return compare(have, afterGiven) >= 0;
    case "<=":
      return compare(have, afterGiven) < 0;
    case "^": {
      const firstNonZero = from.findIndex((part) => part > 0);
      return compare(have, from) >= 0 && compare(have, past(Math.min(Math.max(firstNonZero, 0), given.length - 1))) < 0;
    }
    case "~":
      return compare(have, from) >= 0 && compare(have, past(Math.min(1, given.length - 1))) < 0;
    default:
      return compare(have, from) >= 0 && compare(have, afterGiven) < 0;
  }
}

/**
 * @param {string} version
 * @returns {number[]}
 */
function parse(version) {
  return version.split(".").map(Number);
}

/**
 * @param {number[]} left
 * @param {number[]} right
 * @returns {number}
 */
function compare(left, right) {
  for (let place = 0; place < 3; place += 1) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const faults = lockfileFaults(/** @type {Parameters<typeof lockfileFaults>[0]} */ (readJson("package-lock.json")));
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}
