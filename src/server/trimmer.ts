import { Fault } from "../base/error-codes.ts";
import { commandTypes } from "../rooms/commands.ts";
import { trimmedThroughMax } from "../rooms/kept-digests.ts";
import type { Room } from "../rooms/room.ts";
import type { Digests } from "./digest.ts";
import type { Log } from "./log.ts";
import type { Requests } from "./requests.ts";

/** Whoever does it does it in the name of the cluster. */
const nobody = new Uint8Array(0);
/** How often a trim is tried again that another one overtook. */
const attemptsMax = 8;

/**
 * Proposes that messages go: for each room the digests of what goes are computed first, and go into the log with the
 * trim that removes it. One room at a time, a bounded number of messages at a time, in the order of asking.
 */
export class Trimmer {
  readonly #requests: Requests;
  readonly #digests: Digests;
  readonly #log: Log;
  /** What retention asks for, by room. */
  readonly #wanted = new Map<Room, number>();
  #last: Promise<void> = Promise.resolve();
  #isRetaining = false;

  constructor(options: { requests: Requests; digests: Digests; log: Log }) {
    this.#requests = options.requests;
    this.#digests = options.digests;
    this.#log = options.log;
  }

  /** Retention asks that this room begins with `first`. What can't be done now is asked for again by the next look. */
  want(room: Room, first: number): void {
    this.#wanted.set(room, first);
    if (this.#isRetaining) return;
    this.#isRetaining = true;
    this.#retain().then(
      () => {
        this.#isRetaining = false;
      },
      (cause: unknown) => {
        this.#isRetaining = false;
        this.#wanted.clear();
        this.#log.warn("retention.waits", { cause });
      },
    );
  }

  /** Begins nothing more; settles when nothing is under way. */
  async stop(): Promise<void> {
    this.#wanted.clear();
    this.#digests.stop();
    await this.#last;
  }

  async #retain(): Promise<void> {
    for (;;) {
      const next = this.#wanted.entries().next();
      if (next.done === true) return;
      const [room, first] = next.value;
      this.#wanted.delete(room);
      await this.trim(room, first);
    }
  }

  /** Removes what is before `first`. Settles when that is durable; rejects with a Fault, and then some of it may be removed. */
  trim(room: Room, first: number): Promise<void> {
    const mine = this.#last.then(() => this.#trim(room, first));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  /**
   * Removes a room with all of its messages; their digests stay, for the room that may come after it under this name.
   * Settles when that is durable; rejects with a Fault, and then some of it may be removed.
   */
  delete(room: Room): Promise<void> {
    const mine = this.#last.then(() => this.#delete(room));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  // In a room where people go on talking something may come between the last trim and the end: then there is no digest
  // from there on, which is told to whoever asks. The room goes all the same.
  async #delete(room: Room): Promise<void> {
    for (let attempt = 0; attempt < attemptsMax && room.exists && room.first <= room.head; attempt++) {
      await this.#trim(room, room.head + 1);
    }
    await this.#requests.command({ type: commandTypes.deleteRoom, room: room.nameBytes, by: nobody });
    // Its place is given back at once where there is nobody to be told; else when the last of them has been.
    try {
      await this.#requests.command({ type: commandTypes.closeRoom, room: room.nameBytes });
    } catch (cause) {
      // The room is gone all the same, which whoever makes room on a full disk must hear. Its place goes by the clock.
      if (!(cause instanceof Fault && cause.code === "storage_full")) throw cause;
    }
  }

  async #trim(room: Room, wanted: number): Promise<void> {
    const first = Math.min(wanted, room.head + 1);
    for (let attempt = 0; room.exists && room.first < first; attempt++) {
      const through = Math.min(first - 1, trimmedThroughMax(room.digests.through));
      try {
        const digests = await this.#digests.step(room, through);
        const next = digests === null ? first : through + 1;
        await this.#requests.command({ type: commandTypes.trim, room: room.nameBytes, first: next, digests });
        attempt = 0;
      } catch (cause) {
        const isOvertaken = cause instanceof Fault && (cause.code === "gone" || cause.code === "overloaded");
        if (!isOvertaken || attempt >= attemptsMax) throw cause;
      }
    }
  }
}
