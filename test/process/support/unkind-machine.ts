import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../../../scripts/repository.mjs";
import type { Random } from "../../../src/base/random.ts";
import { type Loss, losePower } from "./power-loss.ts";

const source = join(root, "test/process/support/unkind-machine.c");

/** Why nobody here can be given an unkind machine; null: they can. */
export function whyNoUnkindMachine(): string | null {
  if (process.platform !== "linux") return "only Linux preloads a library this way";
  return spawnSync("cc", ["--version"]).status === 0 ? null : "there is no C compiler, cc";
}

/** The library that is preloaded, built anew by whoever calls; `remove` it in the end. */
export function buildUnkindMachine(): { readonly library: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), "synod-unkind-"));
  const library = join(folder, "unkind-machine.so");
  const words = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl", "-lpthread"];
  const built = spawnSync("cc", words, { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`unkind-machine.c can't be built:\n${built.stderr}`);
  return { library, remove: () => rmSync(folder, { recursive: true }) };
}

/** The machine under one process: its disk forgets, fills up, lingers or fails, and its wall clock jumps, when it is told to. */
export class UnkindMachine {
  readonly #library: string;
  readonly #folder: string;
  readonly #data: string;
  readonly #control: number;

  /** `folder` must be on the same file system as `data`, the folder whose files are looked after. */
  constructor({ library, folder, data }: { library: string; folder: string; data: string }) {
    this.#library = library;
    this.#folder = folder;
    this.#data = data;
    if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
    this.#control = openSync(join(folder, "control"), "w+", 0o600);
    writeSync(this.#control, new Uint8Array(4096), 0, 4096, 0);
  }

  /** What a process must be started with to live on this machine. */
  get environment(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, UNKIND_MACHINE: this.#folder, UNKIND_DISK: this.#data };
  }

  /** From now on the wall clock is that much ahead of the true one; below 0: behind. */
  setClock(aheadMs: number): void {
    this.#set(0, aheadMs);
  }

  fillDisk(isFull: boolean): void {
    this.#set(1, isFull ? 1 : 0);
  }

  /** Every flush takes that much longer. */
  slowDisk(ms: number): void {
    this.#set(2, ms);
  }

  /** Every flush fails. */
  failFlushes(doFail: boolean): void {
    this.#set(3, doFail ? 1 : 0);
  }

  /** Call when the process is gone: what it had not flushed is gone too. Without `random` all of that, with it some. */
  losePower(random: Random | null): Loss {
    return losePower(this.#folder, random);
  }

  close(): void {
    closeSync(this.#control);
  }

  #set(which: number, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(value));
    writeSync(this.#control, bytes, 0, 8, 8 * which);
  }
}
