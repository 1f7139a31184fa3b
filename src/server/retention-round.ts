import { entryTypes } from "../base/entry.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { firstKept, keptFromDay } from "../rooms/retention.ts";
import type { Room } from "../rooms/room.ts";
import { encodeRewrite } from "../rooms/seal.ts";
import type { Proposals } from "./proposals.ts";
import type { Sealer } from "./sealer.ts";
import type { Trimmer } from "./trimmer.ts";

/** Rooms looked at in one go. */
const roomsAtOnce = 2_000;

/**
 * Goes through all rooms for what each of them keeps: has trimmed what is beyond, and, when it has been through, has the
 * chunk written anew most of which was removed. Only a server that orders proposes anything; elsewhere a round ends at once.
 */
export class RetentionRound {
  readonly #state: GroupState;
  readonly #leads: () => boolean;
  readonly #proposals: Proposals;
  readonly #sealer: Sealer;
  readonly #trimmer: Trimmer;
  readonly #giveBack: (room: Room) => void;
  #rooms: Iterator<Room> | null = null;
  /** What rooms keep of each chunk, in bytes, counted while the rooms are gone through, up to the last chunk at the beginning. */
  #kept: { through: number; bytes: Map<number, number> } = { through: 0, bytes: new Map() };

  constructor(options: {
    state: GroupState;
    /** Whether this server orders: only then does it propose anything. */
    leads: () => boolean;
    proposals: Proposals;
    sealer: Sealer;
    trimmer: Trimmer;
    giveBack: (room: Room) => void;
  }) {
    this.#state = options.state;
    this.#leads = options.leads;
    this.#proposals = options.proposals;
    this.#sealer = options.sealer;
    this.#trimmer = options.trimmer;
    this.#giveBack = options.giveBack;
  }

  /** Whether one has begun, and has rooms to look at still. */
  get isUnderWay(): boolean {
    return this.#rooms !== null;
  }

  /** Looks at the next rooms, or begins a round: in portions, so that many rooms do not stop the server. */
  goOn(): void {
    const state = this.#state;
    if (!this.#leads()) {
      this.#rooms = null;
      return;
    }
    if (this.#rooms === null) {
      this.#rooms = state.rooms();
      this.#kept = { through: state.lastChunk, bytes: new Map() };
    }
    const cluster = {
      now: state.lastTs,
      keptFromDay: keptFromDay(state.lastDay, state.retentionDays),
      dayOf: (chunk: number) => state.chunk(chunk)?.day ?? 0,
    };
    for (let i = 0; i < roomsAtOnce; i++) {
      const next = this.#rooms.next();
      if (next.done === true) {
        this.#rooms = null;
        this.#rewriteSparse();
        return;
      }
      const room = next.value;
      // What a reader has kept from being given back, or a trim has emptied since.
      if (room.isIdle) this.#giveBack(room);
      this.#countKept(room);
      const first = firstKept(room, cluster);
      if (first > room.first) {
        this.#trimmer.want(room, first);
      }
    }
  }

  /** Settles when nothing is being trimmed any more. */
  async stop(): Promise<void> {
    await this.#trimmer.stop();
  }

  #countKept(room: Room): void {
    const { runs, first } = room;
    const { bytes } = this.#kept;
    for (let run = 0; run < runs.length; run++) {
      const chunk = runs.chunk(run);
      bytes.set(chunk, (bytes.get(chunk) ?? 0) + runs.keptBytes(run, first));
    }
  }

  // A chunk most of which was removed since it was last written is written again without it, one at a time. Each time it
  // has at most half the bytes it had, so this comes to an end.
  #rewriteSparse(): void {
    const state = this.#state;
    if (this.#sealer.backlog > 0) return;
    for (const { chunk, bytes, generation } of state.chunks()) {
      // What was sealed while the rooms were gone through was not counted in all of them.
      if (chunk > this.#kept.through) return;
      if ((this.#kept.bytes.get(chunk) ?? 0) * 2 >= bytes) continue;
      this.#proposals.order(entryTypes.rewrite, encodeRewrite({ chunk, generation: generation + 1 }));
      return;
    }
  }
}
