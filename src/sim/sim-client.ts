import type { MessageContent, SeenMessage } from "./room-history.ts";

/** How a send ended, as an honest client library tells it. */
export type SendOutcome =
  | {
      readonly outcome: "stored";
      readonly seq: number;
      readonly ts: number;
      readonly epoch: number;
      readonly dup: boolean;
    }
  /** Every attempt was refused for good. */
  | { readonly outcome: "refused"; readonly code: string }
  | { readonly outcome: "unknown" };

/** Where a subscription tells what it was given, in the order in which it was given. */
export interface SubscriptionSink {
  /** The server's answer to the first request; optional for libraries that do not show it. */
  answered(answer: { readonly first: number; readonly head: number }): void;
  message(message: SeenMessage): void;
  gap(gap: { readonly from: number; readonly to: number; readonly reason: string }): void;
  caughtUp(seq: number): void;
  /** The library reconnected and asked to go on after this place. */
  resumed(after: number): void;
  mark(mark: { readonly user: string; readonly seq: number }): void;
  /** There is no such room for this user, or not any more. Given once each time; the client asks again by itself. */
  refused(): void;
  askedAgain(): void;
}

export interface HistoryRequest {
  readonly room: string;
  /** Exactly one of these three. */
  readonly before?: number;
  readonly after?: number;
  readonly around?: number;
  readonly limit: number;
  readonly linearizable: boolean;
  readonly atLeast?: number;
}

/**
 * What the workload needs of a client: the shipped library behind an adapter, or a toy. Every promise settles; a
 * rejection means that the request failed and says nothing about what happened, except where `SendOutcome` does; it may
 * be an error with a `code`, which is `retryable` where the same may succeed later.
 * Direct rooms are named as rooms (`@alice,bob`); the adapter sends to the other user where its library wants that.
 */
export interface SimClient {
  readonly user: string;
  /** The same cid with the same body is a repeat. Sends to one room keep the order of the calls. Never rejects. */
  send(message: Omit<MessageContent, "from">): Promise<SendOutcome>;
  /** Begins at once; goes on over reconnects until `end`. A second one to the same room is not asked for before the first ended. */
  subscribe(
    request: { readonly room: string; readonly after: number | "latest" },
    sink: SubscriptionSink,
  ): { end(): void };
  history(
    request: HistoryRequest,
  ): Promise<{ readonly items: readonly SeenMessage[]; readonly first: number; readonly head: number }>;
  lookup(request: { readonly room: string; readonly from: string; readonly cid: string }): Promise<{
    readonly seq: number | null;
    readonly head: number;
  }>;
  markRead(request: { readonly room: string; readonly seq: number }): Promise<void>;
  join(room: string): Promise<void>;
  leave(room: string): Promise<void>;
  invite(room: string, user: string): Promise<void>;
  remove(room: string, user: string): Promise<void>;
  /** The first of the members, by name. */
  members(room: string): Promise<{ readonly members: readonly string[]; readonly more: boolean }>;
  /** How many connections were begun: an attempt on an earlier one may be on its way still. */
  readonly connections: number;
  /** Drops the connection; the library finds another by itself. */
  reconnect(): void;
  /** Stops taking bytes off the connection, or goes on. */
  readSlowly(isSlow: boolean): void;
}
