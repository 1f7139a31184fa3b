/**
 * `npm run bench:peers -- [flags]`: Synod beside Redis, NATS, etcd and Socket.IO on this machine; `--help` says more.
 *
 * Brings what is missing: packages, a build, and, as root on Debian, the peers' own servers. Those are installed without
 * being started, because a server that was not running before must not run afterwards.
 */
import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bootstrapOrExit } from "./bootstrap.mjs";
import { say } from "./progress.mjs";
import { root } from "./repository.mjs";

/** Debian's packages, and the program that each brings. */
const peers = [
  { name: "redis-server", program: "redis-server" },
  { name: "nats-server", program: "nats-server" },
  { name: "etcd-server", program: "etcd" },
];
/** Asked by Debian's packages before they start a service; 101 forbids it (invoke-rc.d(8)). */
const startPolicy = "/usr/sbin/policy-rc.d";

/**
 * @param {string} program
 * @returns {boolean}
 */
function isInstalled(program) {
  const folders = (process.env["PATH"] ?? "").split(":").filter((folder) => folder !== "");
  return folders.some((folder) => existsSync(join(folder, program)));
}

/** @returns {void} */
function installPeers() {
  const missing = peers.filter(({ program }) => !isInstalled(program)).map(({ name }) => name);
  if (missing.length === 0 || process.getuid?.() !== 0 || !isInstalled("apt-get")) return;
  say("peers", `apt-get install ${missing.join(" ")}`);
  const forbidsStart = !existsSync(startPolicy);
  if (forbidsStart) writeFileSync(startPolicy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    for (const words of [["update"], ["install", "--yes", "--no-install-recommends", ...missing]]) {
      const result = spawnSync("apt-get", words, { env: environment, encoding: "utf8" });
      if (result.status === 0) continue;
      say("peers", `apt-get ${words[0]} failed: ${result.stderr.trim().split("\n").at(-1) ?? ""}`);
      return;
    }
  } finally {
    if (forbidsStart) rmSync(startPolicy);
  }
}

bootstrapOrExit();
installPeers();
const program = pathToFileURL(join(root, "dist/apps/bench/peers/bench-peers.js")).href;
const { benchPeers } = /** @type {typeof import("../src/apps/bench/peers/bench-peers.ts")} */ (await import(program));
process.exitCode = await benchPeers(root, process.argv.slice(2));
