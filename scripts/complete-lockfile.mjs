/**
 * Names in package-lock.json the platform packages that npm left out. Run it after `npm install` changed the lockfile.
 *
 * A tool with a native part lists one optional package for each platform. When the registry that npm asked does not carry
 * all of them (a mirror often has only those somebody used), npm leaves the others out without a word, and then `npm ci`
 * refuses the lockfile on every machine. What is missing can be told without asking: the tool gives the exact version and
 * the name gives the platform. Such an entry has no hash, because nobody here has seen the file; only machines of that
 * platform will ever fetch it, and only for development: a package that a server needs at run time is refused.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readJson, root } from "./repository.mjs";

/**
 * @typedef {object} LockEntry
 * @property {string} [version]
 * @property {string} [license]
 * @property {boolean} [dev]
 * @property {boolean} [optional]
 * @property {string[]} [os]
 * @property {string[]} [cpu]
 * @property {string[]} [libc]
 * @property {Record<string, string>} [optionalDependencies]
 */

const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"];
const processors = ["arm", "arm64", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "wasm32", "x64"];

/**
 * The entries that are missing, by the place where they belong.
 *
 * @param {{ packages: Record<string, LockEntry> }} lock
 * @returns {Record<string, LockEntry>}
 */
export function missingEntries({ packages }) {
  /** @type {Record<string, LockEntry>} */
  const missing = {};
  for (const [place, tool] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(tool.optionalDependencies ?? {})) {
      if (isLocked(packages, place, name)) continue;
      if (!tool.dev) throw new Error(`${name}@${version} is needed at run time and the registry does not have it`);
      if (!/^\d+\.\d+\.\d+(?:[-+].*)?$/.test(version)) throw new Error(`${name} has no exact version: ${version}`);
      const { cpu, libc, os } = platformOf(name);
      const entry = { version, cpu, dev: true, libc, license: tool.license, optional: true, os };
      // In npm's own order of fields, so that npm finds nothing to tidy; what does not apply is left out.
      missing[`node_modules/${name}`] = Object.fromEntries(
        Object.entries(entry).filter(([, value]) => value !== undefined),
      );
    }
  }
  return missing;
}

/**
 * Whether a package at `place` would find `name`: beside itself, or in any folder above.
 *
 * @param {Record<string, LockEntry>} packages
 * @param {string} place
 * @param {string} name
 * @returns {boolean}
 */
function isLocked(packages, place, name) {
  const folders = place.split(/\/?node_modules\//).slice(1);
  for (let depth = folders.length; depth >= 0; depth -= 1) {
    const above = folders.slice(0, depth).map((folder) => `node_modules/${folder}`);
    if (packages[[...above, `node_modules/${name}`].join("/")] !== undefined) return true;
  }
  return false;
}

/**
 * "@tool/binding-linux-x64-musl" is for Linux on x64 with musl. Throws when the name does not say.
 *
 * @param {string} name
 * @returns {LockEntry}
 */
export function platformOf(name) {
  const words = name.replace(/^@[^/]+\//, "").split("-");
  const cpu = processors.filter((processor) => words.includes(processor));
  const os = systems.filter((system) => words.includes(system));
  if (cpu.length !== 1 || (os.length !== 1 && cpu[0] !== "wasm32"))
    throw new Error(`${name} does not say for which platform`);
  if (cpu[0] === "wasm32") return { cpu };
  const last = words.at(-1) ?? "";
  const libc = last.startsWith("musl") ? ["musl"] : last.startsWith("gnu") ? ["glibc"] : null;
  return { cpu, os, ...(libc === null ? {} : { libc }) };
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const lock = /** @type {{ packages: Record<string, LockEntry> }} */ (readJson("package-lock.json"));
  const missing = missingEntries(lock);
  const names = Object.entries({ ...lock.packages, ...missing });
  lock.packages = Object.fromEntries(names.sort(([left], [right]) => left.localeCompare(right, "en")));
  writeFileSync(join(root, "package-lock.json"), `${JSON.stringify(lock, null, 2)}\n`);
  process.stdout.write(`named ${Object.keys(missing).length} packages of other platforms\n`);
}
