/** The shipped command on a directory of its own, and what the system tells of its process. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { root } from "../repository.mjs";

export const command = join(root, "dist/apps/cli/synod.cjs");

/** @typedef {{ port: number, tcpPort: number, adminPort: number, pid: number }} Ports */

export class Served {
  /** @type {Ports} */
  ports = { port: 0, tcpPort: 0, adminPort: 0, pid: 0 };
  #peak = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #watch;

  /** @param {string} [folder] where data and log are; left out: a new one, removed in the end */
  constructor(folder = mkdtempSync(join(tmpdir(), "synod-hostile-"))) {
    this.folder = folder;
    this.data = join(folder, "data");
    this.logFile = join(folder, "log");
  }

  /**
   * @param {{ through?: string[], ports?: boolean }} [options] `through`: a command that starts the command
   * @returns {Promise<Served>} once it listens
   */
  async start({ through = [] } = {}) {
    mkdirSync(this.folder, { recursive: true });
    const log = openSync(this.logFile, "a");
    const file = join(this.data, "ports.json");
    rmSync(file, { force: true });
    const words = [
      "serve",
      "--data",
      this.data,
      "--port",
      "0",
      "--tcp-port",
      "0",
      "--admin-port",
      "0",
      "--log",
      "json",
    ];
    const [program = process.execPath, ...before] = [...through, process.execPath, command, ...words];
    this.child = spawn(program, before, { stdio: ["ignore", "ignore", log], env: { PATH: process.env["PATH"] } });
    closeSync(log);
    this.ended = once(this.child, "exit");
    while (!existsSync(file)) {
      if (this.child.exitCode !== null) throw new Error(`the server ended:\n${this.log().slice(-3_000)}`);
      await pause(20);
    }
    this.ports = /** @type {Ports} */ (JSON.parse(readFileSync(file, "utf8")));
    this.#watch = setInterval(() => {
      this.#peak = Math.max(this.#peak, this.residentMiB());
    }, 50);
    return this;
  }

  get isRunning() {
    return this.child?.exitCode === null && this.child.signalCode === null;
  }

  log() {
    return readFileSync(this.logFile, "utf8");
  }

  /** Lines that tell of what must never happen, one bad packet or many. */
  faults() {
    const bad = /uncaught|unhandled|door\.failed|assert/i;
    return this.log()
      .split("\n")
      .filter((line) => line.includes('"level":"error"') || bad.test(line) || (line !== "" && !line.startsWith("{")));
  }

  residentMiB() {
    if (!this.isRunning) return 0;
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.ports.pid}/status`, "utf8"));
    return Number(found?.[1] ?? 0) / 1024;
  }

  /** The most memory it had since this was called last. */
  peakMiB() {
    const peak = Math.max(this.#peak, this.residentMiB());
    this.#peak = 0;
    return peak;
  }

  /** @returns {Promise<number | null>} the exit code */
  async stop() {
    clearInterval(this.#watch);
    if (this.isRunning) process.kill(this.ports.pid, "SIGTERM");
    const [code] = /** @type {[number | null]} */ (await this.ended);
    return code;
  }

  /** @returns {Promise<void>} */
  async dispose() {
    clearInterval(this.#watch);
    if (this.isRunning) this.child?.kill("SIGKILL");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
