import { assert } from "../base/assert.ts";
import { type Anomaly, AnomalyList, type AnomalyName } from "./anomaly.ts";
import {
  type MembershipChange,
  MembershipHistory,
  type MembershipOutcome,
  type MembershipWay,
} from "./membership-history.ts";
import { type HistoryQuestion, type LookupQuestion, type PageAnswer, Questions } from "./questions.ts";
import { type ReadMark, ReadMarkHistory } from "./read-mark-history.ts";
import { type Known, type MessageContent, RoomHistory, type SeenMessage, type Send } from "./room-history.ts";
import { type SubscriptionId, Subscriptions } from "./subscriptions.ts";

export interface OracleOptions {
  /** How long a send may take until its client tells its outcome; null: as long as it likes. @defaultValue 10000 */
  readonly sendWithinMs?: number | null;
  /** How long any other request may take. @defaultValue 10000 */
  readonly requestWithinMs?: number | null;
  /** Rooms that only their members may see. @defaultValue none */
  readonly privateRooms?: ReadonlySet<string>;
  /**
   * There are servers that may know less than others, and answer from what they know where nobody asks for more: as of a
   * moment before somebody was put out. What was sent after that they do not have, and must not give. @defaultValue false
   */
  readonly mayLag?: boolean;
}

/** A request on its way; given back to the oracle when it ends. */
export type OperationId = number;
export interface Verdict {
  /** The first few of each name. Empty: the history keeps every promise the clients could see. */
  readonly anomalies: readonly Anomaly[];
  readonly counts: Partial<Record<AnomalyName, number>>;
  /** What the history consisted of: a verdict over nothing is worth nothing. */
  readonly seen: {
    sends: number;
    acknowledged: number;
    refused: number;
    unknown: number;
    observed: number;
    pages: number;
    lookups: number;
    gaps: number;
    resumes: number;
    /** Times that somebody who was outside a private room for certain was refused. */
    outsidersRefused: number;
  };
}

type Operation = {
  readonly at: number;
  readonly client: string;
  readonly what: string;
  readonly withinMs: number | null;
  /** Who asked about which room, where that may make a difference. */
  readonly asker: { readonly room: string; readonly user: string } | null;
} & (
  | {
      readonly kind: "send";
      readonly history: RoomHistory;
      readonly known: Known;
      readonly send: Send;
      /** When it was first asked: a call that repeats one of the same client that is still open gets that one's outcome. */
      readonly askedAt: number;
    }
  | {
      readonly kind: "history";
      readonly history: RoomHistory;
      readonly question: HistoryQuestion;
      readonly floor: number;
    }
  | {
      readonly kind: "lookup";
      readonly history: RoomHistory;
      readonly question: LookupQuestion;
      readonly floor: number;
      /** The place acknowledged before the question, 0 if none. */
      readonly seq: number;
    }
  | { readonly kind: "mark"; readonly mark: ReadMark; readonly seq: number }
  | { readonly kind: "change"; readonly change: MembershipChange }
  | { readonly kind: "members"; readonly room: string }
  | { readonly kind: "other" }
);

/**
 * The client-side oracle: it is told what clients did and what they were given, and names what no correct server could
 * have answered. It knows nothing of how a server works, so it serves simulated and real servers alike.
 *
 * Facts are recorded in the order in which they became known; an acknowledgement recorded before a send's invocation
 * is taken to have happened before it. Times are milliseconds of any one clock and serve deadlines only. A send with
 * an unknown outcome may be stored or not, but whatever was read of it stays.
 *
 * Time and memory are linear in messages; a reader costs nothing per message beyond the comparison.
 */
export class Oracle {
  readonly #sendWithinMs: number | null;
  readonly #requestWithinMs: number | null;
  readonly #found = new AnomalyList();
  readonly #rooms = new Map<string, RoomHistory>();
  readonly #operations = new Map<OperationId, Operation>();
  readonly #subscriptions = new Subscriptions(this.#found);
  readonly #questions = new Questions(this.#found);
  readonly #marks = new ReadMarkHistory(this.#found);
  readonly #memberships = new MembershipHistory(this.#found);
  readonly #privateRooms: ReadonlySet<string>;
  readonly #mayLag: boolean;
  readonly #seen: Verdict["seen"] = {
    sends: 0,
    acknowledged: 0,
    refused: 0,
    unknown: 0,
    observed: 0,
    pages: 0,
    lookups: 0,
    gaps: 0,
    resumes: 0,
    outsidersRefused: 0,
  };
  #steps = 0;
  #ended = false;

  constructor(options: OracleOptions = {}) {
    this.#sendWithinMs = options.sendWithinMs === undefined ? 10_000 : options.sendWithinMs;
    this.#requestWithinMs = options.requestWithinMs === undefined ? 10_000 : options.requestWithinMs;
    this.#privateRooms = options.privateRooms ?? new Set();
    this.#mayLag = options.mayLag ?? false;
  }

  // Sends

  /**
   * A client calls `send`. `ordered` (default true) says that the client promises to keep the order of its sends to
   * this room, as the SDK does; `prev` is the cid it named as predecessor, where the caller knows it.
   */
  sendInvoked(
    message: MessageContent & {
      readonly at: number;
      readonly client: string;
      readonly ordered?: boolean;
      readonly prev?: string;
    },
  ): OperationId {
    this.#seen.sends++;
    const history = this.#room(message.room);
    const { known, send } = history.sent(message, {
      client: message.client,
      invokedAt: ++this.#steps,
      ordered: message.ordered ?? true,
      prev: message.prev ?? null,
    });
    const what = `send of ${message.from}/${message.cid}`;
    const open = known.sends.find(({ client, outcome }) => client === message.client && outcome === "open") ?? send;
    return this.#begin({
      kind: "send",
      askedAt: open.invokedAt,
      at: message.at,
      client: message.client,
      what,
      withinMs: this.#sendWithinMs,
      asker: { room: message.room, user: message.from },
      history,
      known,
      send,
    });
  }

  sendAcknowledged(
    operation: OperationId,
    answer: {
      readonly at: number;
      readonly seq: number;
      readonly ts: number;
      readonly epoch: number;
      readonly dup: boolean;
    },
  ): void {
    const { history, known, send, asker, what, askedAt } = this.#end(operation, answer.at, "send");
    this.#answered(askedAt, asker, what);
    this.#seen.acknowledged++;
    send.outcome = "acknowledged";
    history.acknowledge(known, send, { ...answer, at: ++this.#steps });
  }

  /** The client says: every attempt of this call was refused for good; it is not and will not be stored. */
  sendRefused(operation: OperationId, answer: { readonly at: number; readonly code: string }): void {
    const { send, asker, what, askedAt } = this.#end(operation, answer.at, "send");
    this.#refused(askedAt, asker, what, answer.code);
    this.#seen.refused++;
    this.#steps++;
    send.outcome = "refused";
    send.conflict = answer.code === "id_conflict";
  }

  /** The client does not know; the message may be stored, now or later, or never. */
  sendUnknown(operation: OperationId, answer: { readonly at: number }): void {
    const { send } = this.#end(operation, answer.at, "send");
    this.#seen.unknown++;
    this.#steps++;
    send.outcome = "unknown";
  }

  // Subscriptions

  /** A client asks to be given everything after a place; "latest": after the head that `subscriptionAnswered` names. */
  subscribed(question: {
    readonly client: string;
    readonly room: string;
    readonly after: number | "latest";
    readonly user?: string;
  }): SubscriptionId {
    const id = ++this.#steps;
    this.#subscriptions.begin(id, {
      name: `${question.client} (subscription ${id})`,
      user: question.user ?? null,
      history: this.#room(question.room),
      begunAfter: question.after === "latest" ? null : question.after,
    });
    return id;
  }

  /** The client asks the server once more: it had been refused, or put out. */
  subscribedAgain(id: SubscriptionId): void {
    this.#subscriptions.of(id).askedAt = ++this.#steps;
  }

  /** The client was told that there is no such room, or that it is in it no longer: it is given nothing more until it asks again. */
  subscriptionRefused(id: SubscriptionId): void {
    const { user, history, askedAt, name } = this.#subscriptions.of(id);
    if (user !== null) this.#refused(askedAt, { room: history.room, user }, name, "not_found");
  }

  subscriptionAnswered(id: SubscriptionId, answer: { readonly first: number; readonly head: number }): void {
    this.#subscriptions.answered(id, answer);
  }

  /** The client library reconnected and asks to go on after `after`; that must be where this subscription stands. */
  resumed(id: SubscriptionId, after: number): void {
    this.#seen.resumes++;
    this.#subscriptions.resumed(id, after);
  }

  observed(id: SubscriptionId, message: SeenMessage): void {
    this.#seen.observed++;
    const { user, history, name } = this.#subscriptions.of(id);
    const sent = user === null ? undefined : history.known(message.from, message.cid)?.sends[0];
    if (user !== null && sent !== undefined) {
      this.#answered(sent.invokedAt, { room: history.room, user }, `${name} was given ${message.seq}`);
    }
    this.#subscriptions.observed(id, message);
  }

  gapAnnounced(id: SubscriptionId, gap: { readonly from: number; readonly to: number; readonly reason: string }): void {
    this.#seen.gaps++;
    this.#subscriptions.gap(id, gap);
  }

  /** The server says that this subscription has everything up to `seq`. */
  caughtUp(id: SubscriptionId, seq: number): void {
    this.#subscriptions.caughtUp(id, seq);
  }

  /** This subscription made the final catch-up: it was given everything there is. Nothing is recorded of it afterwards. */
  finishedReading(id: SubscriptionId): void {
    this.#subscriptions.finished(id);
  }

  unsubscribed(id: SubscriptionId): void {
    this.#subscriptions.end(id);
  }

  // Questions

  historyInvoked(question: HistoryQuestion): OperationId {
    const history = this.#room(question.room);
    const asked = this.#asked(question, `history of ${question.room}`);
    return this.#begin({ ...asked, kind: "history", history, question, floor: history.floor });
  }

  historyAnswered(operation: OperationId, answer: PageAnswer & { readonly at: number }): void {
    const asked = this.#end(operation, answer.at, "history");
    const { asker, history, what } = asked;
    if (asked.question.linearizable) this.#answered(operation, asker, what);
    else this.#answeredLocally(operation, asker, what);
    for (const { from, cid, seq } of answer.items) {
      const sent = history.known(from, cid)?.sends[0];
      if (sent !== undefined) this.#answered(sent.invokedAt, asker, `${what} gave ${seq}`);
    }
    this.#seen.pages++;
    this.#questions.page(asked, answer);
  }

  lookupInvoked(question: LookupQuestion): OperationId {
    const history = this.#room(question.room);
    const asked = this.#asked(question, `lookup of ${question.from}/${question.cid}`);
    const seq = history.known(question.from, question.cid)?.acknowledged?.seq ?? 0;
    return this.#begin({ ...asked, kind: "lookup", history, question, floor: history.floor, seq });
  }

  lookupAnswered(
    operation: OperationId,
    answer: { readonly at: number; readonly seq: number | null; readonly head: number },
  ): void {
    const asked = this.#end(operation, answer.at, "lookup");
    this.#answered(operation, asked.asker, asked.what);
    this.#seen.lookups++;
    this.#questions.lookup(asked, answer);
  }

  #asked(
    { at, client, room, user }: HistoryQuestion | LookupQuestion,
    what: string,
  ): Pick<Operation, "at" | "client" | "what" | "withinMs" | "asker"> {
    const asker = user === undefined ? null : { room, user };
    return { at, client, what: `${what} by ${client}`, withinMs: this.#requestWithinMs, asker };
  }

  // Read marks

  markInvoked(mark: {
    readonly at: number;
    readonly client: string;
    readonly user: string;
    readonly room: string;
    readonly seq: number;
  }): OperationId {
    const kept = this.#marks.of(mark.room, mark.user);
    kept.invoked = Math.max(kept.invoked, mark.seq);
    const what = `read mark ${mark.seq} of ${mark.user} in ${mark.room}`;
    return this.#begin({
      kind: "mark",
      at: mark.at,
      client: mark.client,
      what,
      withinMs: this.#requestWithinMs,
      asker: { room: mark.room, user: mark.user },
      mark: kept,
      seq: mark.seq,
    });
  }

  markAcknowledged(operation: OperationId, answer: { readonly at: number }): void {
    const { mark, seq, asker, what } = this.#end(operation, answer.at, "mark");
    this.#answeredLocally(operation, asker, what);
    mark.acknowledged = Math.max(mark.acknowledged, seq);
  }

  /** A client is shown how far a user has read. */
  markShown(shown: {
    readonly client: string;
    readonly user: string;
    readonly room: string;
    readonly seq: number;
  }): void {
    this.#marks.shown(shown);
  }

  /** How far a user has read, asked after the world had come to rest. */
  finalMark(final: { readonly user: string; readonly room: string; readonly seq: number }): void {
    this.#marks.of(final.room, final.user).final = final.seq;
  }

  // Members

  /** Somebody, `by`, asks to let a user in or to put one out; no `by`: who rules the server. */
  changeInvoked(change: {
    readonly at: number;
    readonly client: string;
    readonly by?: string;
    readonly way: MembershipWay;
    readonly room: string;
    readonly user: string;
  }): OperationId {
    const { at, client, by, way, room, user } = change;
    const invokedAt = this.#steps + 1;
    const made: MembershipChange = { way, room, user, invokedAt };
    this.#memberships.begun(made);
    return this.#begin({
      kind: "change",
      at,
      client,
      what: `${way} of ${user} by ${client}`,
      withinMs: this.#requestWithinMs,
      asker: by === undefined ? null : { room, user: by },
      change: made,
    });
  }

  changeEnded(operation: OperationId, end: { readonly at: number; readonly outcome: MembershipOutcome }): void {
    const { change, asker, what } = this.#end(operation, end.at, "change");
    if (end.outcome === "done") this.#answered(operation, asker, what);
    this.#memberships.ended(change, end.outcome, ++this.#steps);
  }

  membersInvoked(question: {
    readonly at: number;
    readonly client: string;
    readonly user: string;
    readonly room: string;
  }): OperationId {
    const { at, client, user, room } = question;
    const asker = { room, user };
    const what = `members of ${room} asked by ${client}`;
    return this.#begin({ kind: "members", at, client, what, withinMs: this.#requestWithinMs, asker, room });
  }

  /** `more`: there are others behind the last of these. */
  membersAnswered(
    operation: OperationId,
    answer: { readonly at: number; readonly members: readonly string[]; readonly more: boolean },
  ): void {
    const { room, asker, what, client } = this.#end(operation, answer.at, "members");
    this.#answeredLocally(operation, asker, what);
    if (this.#mayLag || !this.#privateRooms.has(room)) return;
    const through = answer.more ? (answer.members.at(-1) ?? "") : null;
    this.#memberships.listed({ room, invokedAt: operation, members: answer.members, through, reader: client });
  }

  // Everything else that must end, and what the world is allowed to do

  requestInvoked(request: { readonly at: number; readonly client: string; readonly what: string }): OperationId {
    return this.#begin({ kind: "other", ...request, withinMs: this.#requestWithinMs, asker: null });
  }

  /** A request of any kind but a send ended with an error or a closed connection, or a request of no kind ended at all. */
  requestEnded(operation: OperationId, answer: { readonly at: number; readonly code?: string }): void {
    const kind = this.#operations.get(operation)?.kind;
    assert(kind !== undefined && kind !== "send" && kind !== "change", "sends and changes end with an outcome");
    const { asker, what } = this.#end(operation, answer.at, kind);
    this.#refused(operation, asker, what, answer.code ?? null);
  }

  /** A client is gone in the middle of whatever it did: its sends are unknown, its other requests need no end. */
  clientStopped(client: string): void {
    for (const [id, operation] of this.#operations) {
      if (operation.client !== client) continue;
      this.#operations.delete(id);
      if (operation.kind !== "send") continue;
      operation.send.outcome = "unknown";
      this.#seen.unknown++;
    }
  }

  /** From now on what lies below `below` may be removed: call it when retention is asked for, not when it is done. */
  removable(room: string, below: number): void {
    const history = this.#room(room);
    history.removableBelow = Math.max(history.removableBelow, below);
  }

  /** From now on the body of this message may be empty: call it when erasure is asked for. */
  erasable(room: string, seq: number): void {
    this.#room(room).erasable(seq);
  }

  /** Highest place acknowledged in a room so far: what a driver must wait for before it ends a final catch-up. */
  acknowledgedFloor(room: string): number {
    return this.#room(room).floor;
  }

  /** Makes the checks that need the whole history. `at` is the end of the run; requests still open are judged by it. */
  finish(end: { readonly at: number }): Verdict {
    assert(!this.#ended, "the verdict was given");
    this.#ended = true;
    for (const operation of this.#operations.values()) {
      if (operation.withinMs !== null && end.at - operation.at > operation.withinMs) {
        this.#found.add("hung request", null, `${operation.what} began at ${operation.at} and never ended`);
      }
    }
    for (const history of this.#rooms.values()) history.finish();
    this.#seen.outsidersRefused = this.#memberships.outsidersRefused;
    this.#questions.finish();
    this.#marks.finish();
    return { anomalies: this.#found.kept, counts: this.#found.counts(), seen: { ...this.#seen } };
  }

  #answered(invokedAt: number, asker: Operation["asker"], what: string): void {
    if (asker === null || !this.#privateRooms.has(asker.room)) return;
    this.#memberships.answered({ ...asker, invokedAt, what });
  }

  #answeredLocally(invokedAt: number, asker: Operation["asker"], what: string): void {
    if (!this.#mayLag) this.#answered(invokedAt, asker, what);
  }

  #refused(invokedAt: number, asker: Operation["asker"], what: string, code: string | null): void {
    if (asker === null || code !== "not_found" || !this.#privateRooms.has(asker.room)) return;
    this.#memberships.refused({ ...asker, invokedAt, what });
  }

  #begin(operation: Operation): OperationId {
    assert(!this.#ended, "the verdict was given");
    const id = ++this.#steps;
    this.#operations.set(id, operation);
    return id;
  }

  #end<Kind extends Operation["kind"]>(id: OperationId, at: number, kind: Kind): Extract<Operation, { kind: Kind }> {
    const operation = this.#operations.get(id);
    assert(operation !== undefined, `operation ${id} ended twice or never began`);
    assert(operation.kind === kind, `operation ${id} is not a ${kind}`);
    this.#operations.delete(id);
    if (operation.withinMs !== null && at - operation.at > operation.withinMs) {
      this.#found.add("hung request", null, `${operation.what} took ${at - operation.at} ms`);
    }
    return operation as Extract<Operation, { kind: Kind }>;
  }

  #room(room: string): RoomHistory {
    let history = this.#rooms.get(room);
    if (history === undefined) {
      history = new RoomHistory(room, this.#found);
      this.#rooms.set(room, history);
    }
    return history;
  }
}
