import type { Fault } from "../base/error-codes.ts";
import type { NodeName, RoomName, Seq, UserName } from "../base/ids.ts";
import type { ClientFrameOf, ServerFrame } from "../protocol/schema.ts";
import type { AnswerTurns } from "../server/answer-turns.ts";
import type { Caller } from "../server/caller.ts";
import type { ClientLink, ClientSession } from "../server/client-link.ts";
import type { HeldOutput } from "../server/held-output.ts";
import type { Operation } from "../server/operator.ts";
import type { Identity } from "../server/session-host.ts";
import type { ToldEvents } from "../server/told-events.ts";

/** What every door needs of the server: a session for each connection. */
export interface ConnectionPort {
  /**
   * Takes a new connection. A Fault (`overloaded`, `unavailable`) means that nothing was kept of it; the door tells the
   * client and ends the connection.
   */
  connect(link: ClientLink): ClientSession | Fault;
}

/** What an HTTP request may ask besides sending and reading a stream. */
export type AskFrame = ClientFrameOf<
  "join" | "leave" | "invite" | "remove" | "members" | "hist" | "lookup" | "read" | "rooms"
>;

/** What a room's history amounts to, up to a seq: equal on all servers for equal `upto`. */
export interface RoomDigest {
  readonly room: RoomName;
  readonly line: string;
  readonly upto: number;
  /** Hex of SHA-256. */
  readonly digest: string;
  readonly node: string;
}

/** What the HTTP door needs of the server, beyond sessions for its event streams. All promises reject with a Fault. */
export interface RequestPort extends ConnectionPort {
  /** Says who somebody is. Rejects with `unauthorized`. `user` is what the request says; the identity is what counts. */
  identify(claim: { user: UserName | null; token: string | null; address: string }): Promise<Identity>;
  /** Whose answer is built next, where it may be large. */
  readonly turns: Pick<AnswerTurns, "next" | "done">;
  /** What clients have not taken of their answers. */
  readonly held: Pick<HeldOutput, "seen">;
  readonly requests: {
    handle(caller: Caller, frame: AskFrame): Promise<ServerFrame>;
    /** The two halves of `handle`: what may take seconds, and what a turn is taken for. */
    prepare(caller: Caller, frame: AskFrame): Promise<void> | null;
    answer(caller: Caller, frame: AskFrame): Promise<ServerFrame>;
  };
  /** Puts one message in order; settles with `ok` once it is durable. */
  send(caller: Caller, frame: ClientFrameOf<"send">): Promise<ServerFrame>;
  /** `upto` null: up to the head. Rejects with `not_found` for a room the caller may not read, `gone`, `behind`. */
  digest(caller: Caller, room: RoomName, upto: Seq | null): Promise<RoomDigest>;
  /** Whether sends can succeed here now, and if not, why. */
  readonly ready: { readonly ok: boolean; readonly reason: string | null };
}

/** What the admin door needs of the server. */
export interface OperatorPort {
  /** Settles once the operation is in order and durable. Rejects with a Fault. */
  operate(operation: Operation): Promise<void>;
  /** What `/admin/v1/status` shows. */
  status(): Promise<object> | object;
  /** Who is connected: by which door, in which rooms. At most `limit` of them. */
  sessionList(limit: number): readonly object[];
  /** Metrics as Prometheus text. */
  metrics(): Promise<string>;
  readonly cluster: ClusterPort;
}

/** The cluster this server belongs to, for its operators. A server that is alone refuses what changes it. Promises reject with a Fault. */
export interface ClusterPort {
  /** What `/admin/v1/cluster` shows. */
  status(): object;
  /** Settles when the address is committed: the server is admitted as soon as it is there. */
  add(node: NodeName, address: { readonly host: string; readonly port: number }): Promise<void>;
  /** Settles when it does not belong to the group any more. */
  remove(node: NodeName): Promise<void>;
  /** `to` null: to whoever is fittest. Settles with who leads then. */
  transfer(to: NodeName | null): Promise<NodeName | null>;
  /** What happened of late. */
  readonly told: Pick<ToldEvents, "began" | "last" | "after" | "listen">;
  /** Where a message is, and when it went which step of its way. Room and sender are for one that memory does not hold any more. */
  trace(wanted: { cid: string; room: RoomName | null; from: string | null }): Promise<object>;
}
