import { unreachable } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { RoomName, Seq } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import { isDirect } from "../protocol/names.ts";
import type { ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import type { Emitter } from "./emitter.ts";
import type { ChatEvents } from "./events.ts";
import type { Outbox } from "./outbox.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import { chatErrorOf } from "./outcome.ts";
import type { RoomMessage } from "./reader.ts";
import type { Requests } from "./requests.ts";
import type { Timelines } from "./timelines.ts";

export interface DispatcherParts {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly requests: Requests;
  readonly timelines: Timelines;
  readonly events: Emitter<ChatEvents>;
  /** The state of an entry of the outbox may be another one: it went out, was answered, or lost its link. */
  readonly changed: (entry: OutboxEntry) => void;
  readonly directRoom: (room: ServerFrameOf<"room">) => void;
  /** A message came from a direct room that nobody reads. */
  readonly directMessage: (room: RoomName, seq: Seq) => void;
  /** The server sent what no server may send. */
  readonly violated: (what: string) => void;
  /** The server goes. */
  readonly drained: () => void;
  /** Another server may do better. */
  readonly move: (why: { readonly now: Millis; readonly reason: string; readonly hint: string | null }) => void;
}

/** Failures in a row after which another server may do better. */
const failuresBeforeMove = 2;

/** Gives what a server says, once it has welcomed this client, to those it is for. */
export class FrameDispatcher {
  readonly #parts: DispatcherParts;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  dispatch(frame: ServerFrame): void {
    switch (frame.t) {
      case "msg":
        if (frame.seq !== null) this.#message(frame as RoomMessage);
        return;
      case "ok":
        this.#ok(frame);
        return;
      case "err":
        this.failed(frame);
        return;
      case "gap":
        if (this.#parts.timelines.known(frame.room)?.gap(frame) === false) this.#parts.violated("a gap out of place");
        if (frame.reason === "reset") this.#parts.events.emit("reset", { room: frame.room });
        this.#parts.timelines.touch(frame.room);
        return;
      case "room":
        this.#parts.timelines.known(frame.room)?.learn(frame.line, frame.head);
        if (isDirect(frame.room)) this.#parts.directRoom(frame);
        this.#parts.events.emit("room", frame);
        return;
      case "read":
      case "typing":
      case "presence":
        this.#parts.events.emit(frame.t, frame);
        return;
      case "drain":
        this.#parts.drained();
        return;
      case "settled":
        // What a mesh showed as provisional has its place now: read on from the last settled one.
        this.#parts.timelines.known(frame.room)?.again();
        this.#parts.timelines.touch(frame.room);
        return;
      case "pong":
        this.#parts.requests.answered(Number(frame.id), frame);
        return;
      case "welcome":
      case "caught-up":
        return;
      default:
        return unreachable(frame);
    }
  }

  #message(message: RoomMessage): void {
    const timeline = this.#parts.timelines.known(message.room);
    if (timeline !== undefined && timeline.readers.size > 0) {
      if (!timeline.message(message)) this.#parts.violated("a message out of place");
      else if (timeline.stalled) this.#parts.timelines.touch(message.room);
    } else if (isDirect(message.room)) this.#parts.directMessage(message.room, message.seq);
  }

  #ok(ok: Extract<ServerFrame, { t: "ok" }>): void {
    const id = Number(ok.id);
    if (ok.of === "send") {
      const entry = this.#parts.outbox.attempt(id);
      if (entry === null) return;
      if (ok.seq !== null) this.#parts.timelines.of(entry.send.room).wrote(ok.line, ok.seq);
      this.#parts.outbox.stored(entry, ok);
      this.#parts.changed(entry);
    } else if (ok.of === "sub") {
      this.#parts.timelines.known(ok.room)?.subscribed(ok);
      this.#parts.timelines.touch(ok.room);
    } else {
      const entry = ok.of === "lookup" ? this.#parts.outbox.attempt(id) : null;
      if (entry === null || ok.of !== "lookup") {
        this.#parts.requests.answered(id, ok);
        return;
      }
      this.#parts.outbox.lookedUp(entry, ok);
      this.#parts.changed(entry);
    }
  }

  /** A request or a subscription failed, or none that is known. */
  failed(frame: ServerFrameOf<"err">): void {
    const error = chatErrorOf(frame);
    if (frame.id === undefined) {
      this.#parts.events.emit("error", { code: error.code, message: error.message });
      return;
    }
    const id = Number(frame.id);
    const now = this.#parts.clock.now();
    const entry = this.#parts.outbox.attempt(id);
    let failures: number | null = null;
    if (entry !== null) {
      failures = this.#parts.outbox.failed(entry, { ...frame, retryAfterMs: frame.retryAfterMs ?? null }, now);
      this.#parts.changed(entry);
    } else {
      failures =
        this.#parts.requests.failed(id, error, frame.retryable, now) ?? this.#parts.timelines.failed(id, error, now);
    }
    // `order` is the word of whoever orders, and of what this client sent: every server passes on the same.
    if (error.code === "order") return;
    if (frame.retryable && failures !== null && failures >= failuresBeforeMove) {
      this.#parts.move({ now, reason: error.code, hint: frame.hint ?? null });
    }
  }
}
