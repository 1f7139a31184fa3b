import { Fault } from "../../src/base/error-codes.ts";
import type { Cid, Line, NodeName, RoomName, Seq, Term, UserName } from "../../src/base/ids.ts";
import type { Timestamp } from "../../src/base/units.ts";
import type { AskFrame, RequestPort, RoomDigest } from "../../src/doors/server-port.ts";
import { directRoomOf } from "../../src/protocol/names.ts";
import type { ClientFrameOf, ServerFrame } from "../../src/protocol/schema.ts";
import type { Caller } from "../../src/server/caller.ts";
import type { Holder } from "../../src/server/held-output.ts";
import { FakeServer } from "./fake-server.ts";

export const place = { line: "l1" as Line, epoch: 3 as Term, node: "n1" as NodeName };

/** Remembers who asked what. Answers every request; a test may say with what. */
export class FakeRequests extends FakeServer implements RequestPort {
  readonly asked: { user: UserName; frame: AskFrame | ClientFrameOf<"send"> }[] = [];
  readonly claims: Parameters<RequestPort["identify"]>[0][] = [];
  ready: { ok: boolean; reason: string | null } = { ok: true, reason: null };
  /** What is thrown instead of an answer. */
  failure: Error | null = null;
  isDup = false;
  foundSeq: number | null = 7;

  /** Answers that are being built, and who has been sent something. */
  building = 0;
  readonly holders = new Set<Holder>();

  readonly turns = {
    next: async (): Promise<void> => {
      this.building++;
    },
    done: (): void => {
      this.building--;
    },
  };

  readonly held = {
    seen: (holder: Holder): void => void this.holders.add(holder),
  };

  readonly requests = {
    handle: (caller: Caller, frame: AskFrame): Promise<ServerFrame> => this.requests.answer(caller, frame),
    prepare: (): null => null,
    answer: async (caller: Caller, frame: AskFrame): Promise<ServerFrame> => {
      this.asked.push({ user: caller.user, frame });
      if (this.failure !== null) throw this.failure;
      return this.#answer(frame);
    },
  };

  async identify(claim: Parameters<RequestPort["identify"]>[0]): ReturnType<RequestPort["identify"]> {
    this.claims.push(claim);
    if (claim.token !== null && claim.token !== "good") throw new Fault("unauthorized", "the token was not accepted");
    const user = claim.token === "good" ? ("tess" as UserName) : claim.user;
    if (user === null) throw new Fault("unauthorized", "say who you are");
    return { user, expiresAt: null };
  }

  async send(caller: Caller, frame: ClientFrameOf<"send">): Promise<ServerFrame> {
    this.asked.push({ user: caller.user, frame });
    if (this.failure !== null) throw this.failure;
    const room = frame.room ?? directRoomOf(caller.user, frame.to!);
    const { line, epoch, node } = place;
    const ts = 1_764_000_000_000 as Timestamp;
    const { id, cid } = frame;
    return { t: "ok", of: "send", id, room, cid, seq: 7 as Seq, ts, epoch, line, leader: node, node, dup: this.isDup };
  }

  async digest(caller: Caller, room: RoomName, upto: Seq | null): Promise<RoomDigest> {
    if (this.failure !== null) throw this.failure;
    return { room, line: place.line, upto: upto ?? 9, digest: "ab".repeat(32), node: `${place.node}:${caller.user}` };
  }

  #answer(frame: AskFrame): ServerFrame {
    const { id } = frame;
    const { line, epoch, node } = place;
    const head = 9 as Seq;
    const first = 1 as Seq;
    switch (frame.t) {
      case "join":
        return { t: "ok", of: "join", id, room: frame.room, line, head, epoch };
      case "hist":
        return { t: "ok", of: "hist", id, room: frame.room, line, first, head, node, more: true, items: [message] };
      case "lookup":
        return { t: "ok", of: "lookup", id, room: frame.room, cid: frame.cid, seq: this.foundSeq as Seq | null, head };
      case "rooms":
        return { t: "ok", of: "rooms", id, rooms: [] };
      case "members":
        return { t: "ok", of: "members", id, room: frame.room, count: 1, more: false, members: [member] };
      case "leave":
      case "invite":
      case "remove":
      case "read":
        return { t: "ok", of: "done", id };
    }
  }
}

const member = { user: "alice" as UserName, role: "owner" } as const;

const message = {
  seq: 7 as Seq,
  from: "alice" as UserName,
  cid: "c1" as Cid,
  ts: 1_764_000_000_000 as Timestamp,
  epoch: place.epoch,
  kind: "text",
  body: "hello",
};
