/**
 * Finds a Chromium for the browser tests, and on a Debian machine where we may, installs the one of the distribution.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const updateTimeoutMs = 180_000;
const installTimeoutMs = 900_000;
/** Another installation on the same machine may be at work. */
const lockTimeoutSeconds = 120;
/** A cold start on a busy small machine; a snap's placeholder that cannot run fails at once. */
const versionTimeoutMs = 60_000;

/**
 * The path of a browser that really starts: CHROMIUM_PATH, else the first known name in /usr/bin and PATH, else null.
 *
 * @returns {string | null}
 */
export function findChromium() {
  const chosen = process.env["CHROMIUM_PATH"];
  if (chosen !== undefined && chosen !== "") return starts(chosen) ? chosen : null;
  const folders = ["/usr/bin", ...(process.env["PATH"] ?? "").split(delimiter)];
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...new Set(paths)].find((path) => isExecutable(path) && starts(path)) ?? null;
}

/**
 * A browser, installed if need be; or why there is none. Takes at most the two time limits above.
 *
 * @param {(line: string) => void} say told each step that is really taken
 * @returns {{ path: string } | { path: null, reason: string }}
 */
export function bringChromium(say) {
  const found = findChromium();
  if (found !== null) return { path: found };
  if (process.env["CHROMIUM_PATH"]) return missing(`CHROMIUM_PATH=${process.env["CHROMIUM_PATH"]} does not start`);
  if (process.platform !== "linux") return missing("no Chromium found; install one or set CHROMIUM_PATH");
  if (spawnSync("apt-get", ["--version"]).status !== 0)
    return missing("no Chromium found, and no apt-get to install it");
  if (process.getuid?.() !== 0)
    return missing("no Chromium found, and only root may install it: apt-get install chromium");

  say("apt-get install chromium (once for this machine)");
  const updated = aptGet(["update"], updateTimeoutMs);
  const installed = aptGet(["install", "-y", "--no-install-recommends", "chromium"], installTimeoutMs);
  const path = findChromium();
  if (path !== null) return { path };
  const failure = installed ?? updated ?? "apt-get succeeded but there is no Chromium that starts";
  return missing(`could not install Chromium: ${failure}`);
}

/**
 * @param {string} reason
 * @returns {{ path: null, reason: string }}
 */
function missing(reason) {
  return { path: null, reason };
}

/**
 * @param {string[]} words
 * @param {number} timeoutMs
 * @returns {string | null} null when it went well, else the last line it said
 */
function aptGet(words, timeoutMs) {
  const result = spawnSync("apt-get", ["-q", "-o", `DPkg::Lock::Timeout=${lockTimeoutSeconds}`, ...words], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error !== undefined) return `apt-get ${words[0]}: ${result.error.message}`;
  if (result.status === 0) return null;
  return (result.stderr.trim() || result.stdout.trim()).split("\n").at(-1) ?? `apt-get ${words[0]} failed`;
}

/**
 * @param {string} path
 * @returns {boolean}
 */
function starts(path) {
  return spawnSync(path, ["--version"], { stdio: "ignore", timeout: versionTimeoutMs }).status === 0;
}

/**
 * @param {string} path
 * @returns {boolean}
 */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
