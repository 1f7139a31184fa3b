/**
 * Makes a clone ready to run: the right Node, the packages of the lockfile, an up-to-date dist/.
 *
 * Says one line for each step it really does and nothing when there is nothing to do. Uses only what comes with Node,
 * because it runs before anything is installed. Safe to run any number of times.
 */
import { spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, isBuilt } from "./build.mjs";
import { say } from "./progress.mjs";
import { hashFiles, readJson, root } from "./repository.mjs";

/** Written after an install that went well; inside node_modules, so that it disappears together with what it vouches for. */
const installStamp = join(root, "node_modules", ".installed-from");

/** A step could not be done. The message is for the person at the keyboard and says what to do next. */
export class BootstrapError extends Error {}

/**
 * Ready to run when it returns. Throws BootstrapError when it cannot be.
 *
 * @returns {void}
 */
export function bootstrap() {
  checkNodeVersion(process.versions.node);
  installPackages();
  linkCommand();
  if (isBuilt()) return;
  say("build", existsSync(join(root, "dist")) ? "the sources changed" : "first run");
  const failure = build();
  if (failure !== null) throw new BootstrapError(failure);
}

/**
 * Makes `npx synod` in a clone mean this clone: npm links the commands of what it installs, and not those of the package
 * it installs for. Where links need a right that people seldom have, `npm run synod --` is left.
 *
 * @returns {void}
 */
function linkCommand() {
  const link = join(root, "node_modules", ".bin", "synod");
  if (process.platform === "win32" || lstatSync(link, { throwIfNoEntry: false }) !== undefined) return;
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(join("..", "..", "dist", "apps", "cli", "synod.cjs"), link);
}

/**
 * @param {string} version such as "20.20.2"
 * @returns {void}
 */
export function checkNodeVersion(version) {
  const wanted = /** @type {{ engines: { node: string } }} */ (readJson("package.json")).engines.node.replace(">=", "");
  const [have, need] = [version, wanted].map((text) => text.split(".").map(Number));
  for (let place = 0; place < 3; place += 1) {
    const difference = (have?.[place] ?? 0) - (need?.[place] ?? 0);
    if (difference > 0) return;
    if (difference < 0) {
      throw new BootstrapError(
        `Synod needs Node ${wanted} or newer, and this is Node ${version}.\n` +
          "Get a current one from https://nodejs.org, or with a version manager: nvm install, fnm use, mise use node@20.",
      );
    }
  }
}

/** @returns {void} */
function installPackages() {
  const wanted = `${hashFiles(["package-lock.json"])} ${process.platform}-${process.arch}\n`;
  if (existsSync(installStamp) && readFileSync(installStamp, "utf8") === wanted) return;
  if (!existsSync(installStamp) && installedMatchesLockfile()) {
    writeFileSync(installStamp, wanted);
    return;
  }

  const reason = existsSync(join(root, "node_modules")) ? "the lockfile changed" : "first run";
  say("install", `npm ci (${reason})`);
  // --include=dev: building needs the compiler, also where NODE_ENV says "production".
  const result = runNpm(["ci", "--include=dev", "--loglevel=error"]);
  if (result.status !== 0) {
    throw new BootstrapError(
      `npm ci failed${result.error ? `: ${result.error.message}` : ""}\n${result.output.trim()}\n` +
        "Is the package registry reachable from here? Then try again; what was installed before is checked again.",
    );
  }
  writeFileSync(installStamp, wanted);
}

/**
 * Whether somebody already installed exactly this lockfile by hand, judged by the list npm keeps of what it installed.
 *
 * @returns {boolean}
 */
function installedMatchesLockfile() {
  const hidden = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const installed = lockedPackages(join("node_modules", ".package-lock.json"));
  const locked = lockedPackages("package-lock.json");
  return Object.entries(locked).every(([place, entry]) => {
    if (place === "") return true;
    const there = installed[place];
    // Packages for another platform are named by the lockfile and rightly not installed.
    return there === undefined
      ? entry.optional === true || entry.devOptional === true
      : there.version === entry.version;
  });
}

/**
 * @param {string} file
 * @returns {Record<string, { version?: string, optional?: boolean, devOptional?: boolean }>}
 */
function lockedPackages(file) {
  const lock = /** @type {{ packages: ReturnType<typeof lockedPackages> }} */ (readJson(file));
  return lock.packages;
}

/**
 * Runs npm quietly, the same npm that runs us when there is one, so that versions do not mix.
 *
 * @param {string[]} words
 * @returns {{ status: number | null, error: Error | undefined, output: string }}
 */
function runNpm(words) {
  const own = process.env["npm_execpath"];
  const useOwn = own !== undefined && own.endsWith("npm-cli.js");
  const command = useOwn ? process.execPath : process.platform === "win32" ? "npm.cmd" : "npm";
  const result = spawnSync(command, useOwn ? [own, ...words] : words, {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: !useOwn && process.platform === "win32",
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status: result.status, error: result.error, output: `${result.stdout ?? ""}${result.stderr ?? ""}` };
}

/**
 * Runs bootstrap() for a command; on failure prints the reason without a stack and ends the process with code 1.
 *
 * @returns {void}
 */
export function bootstrapOrExit() {
  try {
    bootstrap();
  } catch (error) {
    if (!(error instanceof BootstrapError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) bootstrapOrExit();
