import type { Limits } from "../base/limits.ts";
import { sealReasons } from "../rooms/seal.ts";
import type { Disk } from "../storage/disk.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { Log } from "./log.ts";
import type { Orderer } from "./orderer.ts";
import type { Proposals } from "./proposals.ts";
import type { Sealer } from "./sealer.ts";

/** Looks at a journal that waits for space, after which whoever waits for it is told that the outcome is open. */
const undecidedAfterLooks = 4;

/**
 * What a server does about a disk that becomes full: it takes no new sends, goes on serving, makes room, and takes them
 * again once there is some more than what is kept free.
 */
export class DiskSpace {
  /** Free bytes at the last look; null before the first. */
  freeBytes: number | null = null;
  readonly #limits: Limits;
  readonly #disk: Disk;
  readonly #journal: Pick<Journal, "stats" | "useReserve">;
  readonly #proposals: Proposals;
  readonly #orderer: Orderer;
  readonly #sealer: Sealer;
  readonly #log: Log;
  readonly #onSpace: (freeBytes: number) => void;
  #isFull = false;
  #isStopped = false;
  #waitingLooks = 0;
  #looking: Promise<void> | null = null;

  constructor(options: {
    limits: Limits;
    disk: Disk;
    journal: Pick<Journal, "stats" | "useReserve">;
    proposals: Proposals;
    orderer: Orderer;
    sealer: Sealer;
    log: Log;
    /** So much of the disk is free. */
    onSpace: (freeBytes: number) => void;
  }) {
    this.#limits = options.limits;
    this.#disk = options.disk;
    this.#journal = options.journal;
    this.#proposals = options.proposals;
    this.#orderer = options.orderer;
    this.#sealer = options.sealer;
    this.#log = options.log;
    this.#onSpace = options.onSpace;
  }

  /** Whether new sends are refused because the disk is full. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** To be called once a second. One look at a time; settles when it is done. */
  look(): Promise<void> {
    this.#looking ??= this.#look()
      .catch((cause: unknown) => this.#log.warn("disk.space.unknown", { cause }))
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  /** Nothing follows from a look any more; settles when none is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { freeBytes } = await this.#disk.space();
    if (this.#isStopped) return;
    this.freeBytes = freeBytes;
    this.#onSpace(freeBytes);
    const reserve = this.#limits.diskReserveBytes;
    // What was under way when the disk became full would wait as long as the disk does.
    const waits = this.#journal.stats().waitsForSpace;
    this.#waitingLooks = waits ? this.#waitingLooks + 1 : 0;
    if (this.#waitingLooks >= undecidedAfterLooks) this.#proposals.tellUndecided();
    const isFull = waits || freeBytes < (this.#isFull ? reserve * 1.25 : reserve);
    if (isFull === this.#isFull) {
      if (!isFull) {
        this.#journal.useReserve(false);
        this.#sealer.again();
      }
      return;
    }
    this.#isFull = isFull;
    if (isFull) {
      this.#log.error("disk.full", { freeBytes, reserveBytes: reserve });
      this.#orderer.closed = {
        code: "storage_full",
        message: `the disk is full: ${wholeMiB(freeBytes)} MiB are free, and ${wholeMiB(reserve)} MiB are kept free; nothing is lost, nothing new is taken`,
      };
      // What makes room is put in order like everything else.
      this.#journal.useReserve(true);
      // What is sealed lets go of journal segments, which are larger than the chunk made from them.
      this.#proposals.seal(sealReasons.pressure);
    } else {
      this.#log.info("disk.space.again", { freeBytes });
      this.#journal.useReserve(false);
      this.#orderer.closed = null;
      this.#sealer.again();
    }
  }
}

const wholeMiB = (bytes: number): number => Math.round(bytes / 1_048_576);
