import type { Clock } from "../base/clock.ts";
import type { UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import { commandTypes, encodeCommand } from "../rooms/commands.ts";
import type { Room } from "../rooms/room.ts";
import { Decision } from "./decision.ts";
import type { Orderer } from "./orderer.ts";

/** At most one entry of a user in a room in this time: marks in between are merged by maximum. */
const intervalMs = 2_000;

interface Waiting {
  seq: number;
  readonly user: Uint8Array;
  readonly decision: Decision;
}

/**
 * Read marks on their way into the log. The first goes at once; what comes within two seconds of it is merged and goes
 * when they are over. Whoever waits hears when the mark that covers theirs is committed.
 */
export class ReadMarks {
  readonly #clock: Clock;
  readonly #orderer: Orderer;
  /** By room and user: there is an entry while the two seconds run. */
  readonly #recent = new Map<string, Waiting | null>();

  constructor(options: { clock: Clock; orderer: Orderer }) {
    this.#clock = options.clock;
    this.#orderer = options.orderer;
  }

  async mark(room: Room, user: UserName, userBytes: Uint8Array, seq: number): Promise<void> {
    if (seq <= room.readMark(user)) return;
    const key = `${room.name}\n${user}`;
    const recent = this.#recent.get(key);
    if (recent === undefined) {
      const decision = new Decision();
      this.#propose(room, userBytes, seq, decision);
      this.#rest(key, room);
      await decision.done;
      return;
    }
    if (recent !== null) {
      recent.seq = Math.max(recent.seq, seq);
      await recent.decision.done;
      return;
    }
    const waiting: Waiting = { seq, user: userBytes, decision: new Decision() };
    this.#recent.set(key, waiting);
    await waiting.decision.done;
  }

  #rest(key: string, room: Room): void {
    this.#recent.set(key, null);
    this.#clock.after(millis(intervalMs), () => {
      const waiting = this.#recent.get(key);
      this.#recent.delete(key);
      if (waiting === undefined || waiting === null) return;
      this.#rest(key, room);
      try {
        this.#propose(room, waiting.user, waiting.seq, waiting.decision);
      } catch {
        // Nothing is taken right now: whoever waits is told, and may mark again.
        waiting.decision.undecided(0, "unavailable");
      }
    });
  }

  #propose(room: Room, user: Uint8Array, seq: number, decision: Decision): void {
    const command = { type: commandTypes.readMark, room: room.nameBytes, user, seq } as const;
    this.#orderer.command(encodeCommand(command), decision, 0);
  }
}
