import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/error-codes.ts";
import { type NodeName, type RoomName, seq, type UserName } from "../base/ids.ts";
import { directRoomOf } from "../protocol/names.ts";
import type { ClientFrameOf, ServerFrame } from "../protocol/schema.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { outcomes } from "../rooms/outcome.ts";
import type { Room } from "../rooms/room.ts";
import { fillSource, type PostSource } from "./batch.ts";
import type { Caller } from "./caller.ts";
import { type Decided, Decision } from "./decision.ts";
import type { Orderer } from "./orderer.ts";
import type { Requests } from "./requests.ts";
import type { RoomRates } from "./room-rates.ts";
import { type SendRates, sentTooFast } from "./send-rates.ts";

/** Sends that stand alone, each with a caller that waits for it, such as one HTTP request. Between two there is no order. */
export class SingleSends {
  readonly #clock: Clock;
  readonly #state: GroupState;
  readonly #node: NodeName;
  readonly #orderer: Orderer;
  readonly #rates: SendRates;
  readonly #roomRates: RoomRates;
  readonly #source: PostSource;
  readonly #scratch: Uint8Array;
  readonly #leader: () => NodeName;
  readonly #certain: Requests["certain"];
  readonly #mayBegin: (user: UserName, room: RoomName) => boolean;

  constructor(options: {
    clock: Clock;
    state: GroupState;
    node: NodeName;
    orderer: Orderer;
    rates: SendRates;
    roomRates: RoomRates;
    /** Filled in for one post at a time. */
    source: PostSource;
    scratch: Uint8Array;
    leader: () => NodeName;
    certain: Requests["certain"];
    mayBegin: (user: UserName, room: RoomName) => boolean;
  }) {
    this.#clock = options.clock;
    this.#state = options.state;
    this.#node = options.node;
    this.#orderer = options.orderer;
    this.#rates = options.rates;
    this.#roomRates = options.roomRates;
    this.#source = options.source;
    this.#scratch = options.scratch;
    this.#leader = options.leader;
    this.#certain = options.certain;
    this.#mayBegin = options.mayBegin;
  }

  /** Puts one message in order; answers `ok`, or rejects with the Fault to tell. */
  send(caller: Caller, frame: ClientFrameOf<"send">): Promise<ServerFrame> {
    return this.#certain(() => this.#send(caller, frame));
  }

  async #send(caller: Caller, frame: ClientFrameOf<"send">): Promise<ServerFrame> {
    const { to } = frame;
    const now = this.#clock.now();
    const rate = this.#rates.of(caller.user, now);
    const waitMs = this.#rates.take(rate, frame.body.length, now);
    if (waitMs > 0) throw new Fault("rate_limited", sentTooFast, { retryAfterMs: waitMs });
    const name = to === undefined ? frame.room! : directRoomOf(caller.user, to);
    const existing = this.#state.room(name);
    const room = existing?.exists === true ? existing : undefined;
    const isDirect = name.charCodeAt(0) === 0x40;
    if (room === undefined && isDirect && !this.#mayBegin(caller.user, name)) {
      throw new Fault("not_found", "nobody here has that name");
    }
    if (room === undefined ? !isDirect : !room.mayRead(caller.user)) {
      throw new Fault("not_found", "there is no such room");
    }
    if (room !== undefined) {
      const roomWaitMs = this.#roomRates.waitMs(room, now);
      if (roomWaitMs > 0) {
        this.#rates.giveBack(rate, frame.body.length);
        throw new Fault("rate_limited", sentTooFast, { retryAfterMs: roomWaitMs });
      }
      this.#roomRates.take(room);
    }
    for (;;) {
      fillSource(this.#source, this.#scratch, frame);
      const decision = new Decision();
      const checkedMax = Number.MAX_SAFE_INTEGER;
      const taken = this.#orderer.post(
        decision,
        0,
        utf8(name),
        room,
        caller.userBytes,
        this.#source,
        false,
        false,
        checkedMax,
      );
      if (taken.type === "refused") {
        throw new Fault(taken.code, taken.message, { definite: true, ...after(taken.retryAfterMs) });
      }
      if (taken.type === "full") {
        await new Promise<void>((resolve) => {
          taken.again(resolve);
        });
        continue;
      }
      if (taken.type === "lookingUp") await taken.done;
      return this.#okOf(frame, await decision.done, name);
    }
  }

  #okOf(frame: ClientFrameOf<"send">, decided: Decided, name: Room["name"]): ServerFrame {
    return {
      t: "ok",
      of: "send",
      id: frame.id,
      room: name,
      cid: frame.cid,
      seq: seq(decided.seq),
      ts: decided.ts as Extract<ServerFrame, { of: "send" }>["ts"],
      epoch: decided.epoch as Extract<ServerFrame, { of: "send" }>["epoch"],
      line: this.#state.line,
      leader: this.#leader(),
      node: this.#node,
      dup: decided.code === outcomes.repeat,
    };
  }
}

const after = (retryAfterMs: number | null): { retryAfterMs?: number } =>
  retryAfterMs === null ? {} : { retryAfterMs };
