import type { LogIndex } from "../base/ids.ts";
import { olderCopyFile } from "../storage/data-directory.ts";
import type { Disk } from "../storage/disk.ts";
import type { Difference } from "./catch-up/checkpoints.ts";
import type { CountedPlace } from "./counted-place.ts";
import type { Server } from "./server.ts";
import type { ServerSettings } from "./server-settings.ts";

/**
 * When this server must not go on as it is, because it can't do any more what it promises, or is found to have promised
 * something else. It stops by itself and says why: a start finds out what can be done.
 */
export class SelfFencing {
  readonly #server: Server;
  readonly #settings: ServerSettings;
  readonly #disk: Disk;
  #hasFailed = false;
  #isForgetful = false;

  constructor(server: Server, settings: ServerSettings, disk: Disk) {
    this.#server = server;
    this.#settings = settings;
    this.#disk = disk;
  }

  /** Its journal failed, or its data are not what they must be: nothing is acknowledged any more. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  /** For good. Nothing is acknowledged any more; whoever waits hears that the outcome is unknown. */
  fail(cause: Error): void {
    const { log, orderer, proposals, driver, sealer, cluster, fanOut } = this.#server;
    this.#hasFailed = true;
    log.error("journal.failed", { cause });
    orderer.end({ code: "unavailable", message: "the journal of this server failed" });
    proposals.fail();
    driver.end();
    sealer.halt();
    cluster?.stop().catch((why: unknown) => log.warn("peers.not.left", { cause: why }));
    fanOut.flush();
    this.#settings.onFailed(cause);
  }

  /** A snapshot of another server is durable here: only a start from the disk can go on with it. */
  snapshotTaken(index: LogIndex): void {
    this.#server.log.warn("snapshot.taken", { index, applied: this.#server.state.appliedIndex });
    this.#settings.onOvertaken?.("a snapshot of another server was taken");
  }

  /**
   * The leader counts on this server for more than it has: from here on it must promise nothing more under its name. A
   * start finds the mark, whoever starts it.
   */
  forgot({ index, term }: CountedPlace): void {
    if (!this.#server.isRunning || this.#isForgetful) return;
    this.#isForgetful = true;
    this.#server.log.error("member.forgot", { counted: index, term, has: this.#server.driver.lastIndex });
    this.#disk.publish(olderCopyFile, []).then(
      () => {
        const because = "it has less than it has acknowledged: it is an older copy of itself";
        if (this.#settings.onOvertaken === undefined) this.fail(new Error(because));
        else this.#settings.onOvertaken(because);
      },
      (cause: unknown) => this.fail(cause instanceof Error ? cause : new Error(String(cause))),
    );
  }

  /** What a start would need can't be read. All of it is in memory here, and the next start gets it from the others. */
  journalDamaged(): void {
    if (!this.#server.isRunning || this.#server.cluster?.areOthersQuorum() !== true) return;
    this.#settings.onOvertaken?.("its journal is damaged, and the others are a quorum");
  }

  /** What this server has made of the log is not what others have: if it is the one that is wrong, it must not go on. */
  stateDiffers({ item, own, others, isOutvoted }: Difference): void {
    this.#server.log.error("state.differs", { ...item, own, others: Object.fromEntries(others), isOutvoted });
    if (!isOutvoted || this.#hasFailed) return;
    const what = `${item.kind} ${item.number}`;
    this.fail(
      new Error(`the ${what} of this server is another than that of the others; begin another life of its data`),
    );
  }
}
