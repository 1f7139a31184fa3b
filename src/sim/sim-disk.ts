import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { type Disk, openDisk } from "../storage/disk.ts";
import type { PowerLossMode } from "./crash-modes.ts";
import type { DiskControl } from "./fault-injector.ts";
import type { DiskOperation } from "./faults.ts";
import type { SimHost } from "./host.ts";
import type { CallName } from "./process-files.ts";
import { SimFileSystem } from "./sim-file-system.ts";

/** Which calls of the file system an operation of a fault speaks of. */
const callsOf: Readonly<Record<DiskOperation, readonly CallName[]>> = {
  read: ["read"],
  write: ["write", "writeDurable"],
  sync: ["sync", "syncFolder"],
};

/** The disk of one simulated host: it outlives the host's lives, and does what the fault injector says. */
export class SimDisk implements DiskControl {
  readonly fileSystem: SimFileSystem;
  readonly #random: Random;
  readonly #host: SimHost;
  #slowMs = 0;
  #stuckUntilMs = 0;
  #errors: { operation: DiskOperation; persistent: boolean }[] = [];

  /** `onCall` is told of each call before it is made. */
  constructor(host: SimHost, random: Random, onCall: (call: CallName, path: string) => void = () => undefined) {
    this.#random = random;
    this.#host = host;
    this.fileSystem = new SimFileSystem({
      random,
      // A run outlives its errors: were names lost for good, every chunk in a folder that failed once would be.
      keepsNames: true,
      clock: host.deviceClock,
      // A tenth of a millisecond for a look, up to two for what has to reach the platter.
      latency: (name, bytes) =>
        millis(
          (name === "writeDurable" || name === "sync" ? 0.1 + random.whole(20) / 10 : 0.1) +
            bytes / 1e6 +
            this.#slowMs +
            Math.max(0, this.#stuckUntilMs - host.trueNow),
        ),
    });
    this.fileSystem.onCall = ({ number, name, path }) => {
      onCall(name, path);
      const at = this.#errors.findIndex(({ operation }) => callsOf[operation].includes(name));
      if (at < 0) return;
      const { persistent } = this.#errors[at]!;
      if (!persistent) this.#errors.splice(at, 1);
      this.fileSystem.failAt(number, "EIO", { persistent: false });
    };
  }

  /** The disk as the process of the present life sees it. */
  attach(): Disk {
    return openDisk(this.fileSystem.attach());
  }

  killed(): void {
    this.fileSystem.crash(this.#random, "cached");
  }

  powerLost(mode: PowerLossMode): void {
    this.fileSystem.crash(this.#random, mode);
  }

  fail(error: { readonly operation: DiskOperation; readonly persistent: boolean }): void {
    this.#errors.push({ ...error });
  }

  slowBy(ms: number): void {
    this.#slowMs = ms;
  }

  stuckFor(ms: number): void {
    this.#stuckUntilMs = Math.max(this.#stuckUntilMs, this.#host.trueNow + ms);
  }

  full(isFull: boolean): void {
    let used = 0;
    for (const bytes of this.fileSystem.files().values()) used += bytes.length;
    this.fileSystem.quotaBytes = isFull ? used + this.#random.whole(4_096) : Infinity;
  }

  heal(): void {
    this.#errors = [];
    this.#slowMs = 0;
    this.#stuckUntilMs = 0;
    this.fileSystem.quotaBytes = Infinity;
    this.fileSystem.heal();
  }
}
