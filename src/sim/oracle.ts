import { assert } from "../base/assert.ts";
import { type Anomaly, AnomalyList, type AnomalyName } from "./anomaly.ts";
import { type Known, type MessageContent, RoomHistory, type SeenMessage, type Send } from "./room-history.ts";

export interface OracleOptions {
  /** How long a send may take until its client tells its outcome; null: as long as it likes. @defaultValue 10000 */
  readonly sendWithinMs?: number | null;
  /** How long any other request may take. @defaultValue 10000 */
  readonly requestWithinMs?: number | null;
}

/** A request on its way; given back to the oracle when it ends. */
export type OperationId = number;
export type SubscriptionId = number;

export interface HistoryQuestion {
  readonly at: number;
  readonly client: string;
  readonly room: string;
  /** Exactly one of these three. */
  readonly before?: number;
  readonly after?: number;
  readonly around?: number;
  readonly limit: number;
  readonly linearizable: boolean;
  readonly atLeast?: number;
}

export interface LookupQuestion {
  readonly at: number;
  readonly client: string;
  readonly room: string;
  readonly from: string;
  readonly cid: string;
}

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
  };
}

type Operation = {
  readonly at: number;
  readonly client: string;
  readonly what: string;
  readonly withinMs: number | null;
} & (
  | { readonly kind: "send"; readonly history: RoomHistory; readonly known: Known; readonly send: Send }
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
  | { readonly kind: "mark"; readonly mark: Mark; readonly seq: number }
  | { readonly kind: "other" }
);

interface Subscription {
  readonly name: string;
  readonly history: RoomHistory;
  readonly begunAfter: number | null;
  /** The last place given or excused by a gap; null until a subscription to the latest is answered. */
  position: number | null;
}

interface Mark {
  invoked: number;
  acknowledged: number;
  final: number | null;
}

interface AbsenceClaim {
  readonly history: RoomHistory;
  readonly from: string;
  readonly cid: string;
  readonly head: number;
}

interface PlaceClaim {
  readonly history: RoomHistory;
  readonly known: Known;
  readonly seq: number;
  readonly name: string;
}

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
  readonly #subscriptions = new Map<SubscriptionId, Subscription>();
  readonly #marks = new Map<string, Mark>();
  readonly #marksShown = new Map<string, number>();
  readonly #absences: AbsenceClaim[] = [];
  readonly #placesTold: PlaceClaim[] = [];
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
  };
  #steps = 0;
  #ended = false;

  constructor(options: OracleOptions = {}) {
    this.#sendWithinMs = options.sendWithinMs === undefined ? 10_000 : options.sendWithinMs;
    this.#requestWithinMs = options.requestWithinMs === undefined ? 10_000 : options.requestWithinMs;
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
    return this.#begin({
      kind: "send",
      at: message.at,
      client: message.client,
      what,
      withinMs: this.#sendWithinMs,
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
    const { history, known, send } = this.#end(operation, answer.at, "send");
    this.#seen.acknowledged++;
    send.outcome = "acknowledged";
    history.acknowledge(known, send, { ...answer, at: ++this.#steps });
  }

  /** The client says: every attempt of this call was refused for good; it is not and will not be stored. */
  sendRefused(operation: OperationId, answer: { readonly at: number; readonly code: string }): void {
    const { send } = this.#end(operation, answer.at, "send");
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
  }): SubscriptionId {
    const id = ++this.#steps;
    const after = question.after === "latest" ? null : question.after;
    this.#subscriptions.set(id, {
      name: `${question.client} (subscription ${id})`,
      history: this.#room(question.room),
      begunAfter: after,
      position: after,
    });
    return id;
  }

  subscriptionAnswered(id: SubscriptionId, answer: { readonly first: number; readonly head: number }): void {
    const subscription = this.#subscription(id);
    this.#checkFirst(subscription.history, answer.first, subscription.name);
    subscription.history.head(answer.head, subscription.name);
    if (subscription.position === null) subscription.position = answer.head;
    else if (subscription.begunAfter !== null && answer.head < subscription.begunAfter) {
      this.#found.add(
        "broken atLeast",
        subscription.history.room,
        `${subscription.name} began after ${subscription.begunAfter} and was answered head ${answer.head}`,
      );
    }
  }

  /** The client library reconnected and asks to go on after `after`; that must be where this subscription stands. */
  resumed(id: SubscriptionId, after: number): void {
    const subscription = this.#subscription(id);
    this.#seen.resumes++;
    const position = subscription.position ?? after;
    if (after > position) subscription.history.jumped({ reader: subscription.name, from: position, to: after + 1 });
    else if (after < position) {
      this.#found.add(
        "nonmonotonic poll",
        subscription.history.room,
        `${subscription.name} stood at ${position} and resumed after ${after}`,
      );
    }
    subscription.position = after;
  }

  observed(id: SubscriptionId, message: SeenMessage): void {
    const subscription = this.#subscription(id);
    const { history, position, name } = subscription;
    this.#seen.observed++;
    if (message.room !== history.room) {
      this.#found.add("altered", history.room, `${name} was given a message of ${message.room}`);
      return;
    }
    if (position !== null) {
      if (message.seq <= position) {
        this.#found.add(
          "nonmonotonic poll",
          history.room,
          `${name} stands at ${position} and was given ${message.seq}`,
        );
      } else if (message.seq > position + 1) {
        history.jumped({ reader: name, from: position, to: message.seq });
      }
    }
    history.see(message, name);
    if (position === null || message.seq > position) subscription.position = message.seq;
  }

  gapAnnounced(id: SubscriptionId, gap: { readonly from: number; readonly to: number; readonly reason: string }): void {
    const { history, position, name } = this.#subscription(id);
    const subscription = this.#subscription(id);
    this.#seen.gaps++;
    const words = `${name} was told of a gap ${gap.from}–${gap.to} (${gap.reason})`;
    if (gap.to < gap.from || gap.to >= history.removableBelow) {
      this.#found.add("false gap", history.room, `${words}; what lies below ${history.removableBelow} may be missing`);
    }
    if (position !== null && gap.from > position + 1) history.jumped({ reader: name, from: position, to: gap.from });
    if (position !== null && gap.from <= position) {
      this.#found.add("nonmonotonic poll", history.room, `${words} while standing at ${position}`);
    }
    subscription.position = Math.max(position ?? 0, gap.to);
  }

  /** The server says that this subscription has everything up to `seq`. */
  caughtUp(id: SubscriptionId, seq: number): void {
    const { history, position, name } = this.#subscription(id);
    history.head(seq, name);
    if (position !== null && position < seq) history.jumped({ reader: name, from: position, to: seq + 1 });
  }

  /** This subscription made the final catch-up: it was given everything there is. Nothing is recorded of it afterwards. */
  finishedReading(id: SubscriptionId): void {
    const { history, begunAfter, position, name } = this.#subscription(id);
    this.#subscriptions.delete(id);
    // Who began at the latest is owed what came after; what that was is known from its position only.
    history.readerFinished({ name, after: begunAfter ?? position ?? 0, position: position ?? 0 });
  }

  unsubscribed(id: SubscriptionId): void {
    this.#subscription(id);
    this.#subscriptions.delete(id);
  }

  // Questions

  historyInvoked(question: HistoryQuestion): OperationId {
    const history = this.#room(question.room);
    const { at, client } = question;
    const what = `history of ${question.room} by ${client}`;
    return this.#begin({
      kind: "history",
      at,
      client,
      what,
      withinMs: this.#requestWithinMs,
      history,
      question,
      floor: history.floor,
    });
  }

  historyAnswered(
    operation: OperationId,
    answer: {
      readonly at: number;
      readonly items: readonly SeenMessage[];
      readonly first: number;
      readonly head: number;
    },
  ): void {
    const { history, question, floor, client } = this.#end(operation, answer.at, "history");
    const { items, first, head } = answer;
    const name = `${client} (history)`;
    this.#seen.pages++;
    this.#checkFirst(history, first, name);
    history.head(head, name);
    this.#checkFloor({ history, name, head, floor: question.linearizable ? floor : 0, atLeast: question.atLeast ?? 0 });
    for (let at = 0; at < items.length; at++) {
      history.see(items[at]!, name);
      const { seq } = items[at]!;
      const before = at === 0 ? seq - 1 : items[at - 1]!.seq;
      if (seq <= before) this.#found.add("nonmonotonic poll", history.room, `${name}: ${seq} follows ${before}`);
      else if (seq !== before + 1) history.jumped({ reader: name, from: before, to: seq });
    }
    if (question.after !== undefined) {
      const from = Math.max(question.after, first - 1);
      const begins = items[0]?.seq ?? Math.max(head, from) + 1;
      if (begins > from + 1) history.jumped({ reader: name, from, to: begins });
      else if (begins <= from)
        this.#found.add(
          "nonmonotonic poll",
          history.room,
          `${name} asked after ${question.after}, was given ${begins}`,
        );
    }
    if (question.before !== undefined) {
      const to = Math.min(question.before, head + 1);
      const ends = items.at(-1)?.seq ?? Math.min(first - 1, to - 1);
      if (ends < to - 1) history.jumped({ reader: name, from: ends, to });
      else if (ends >= question.before)
        this.#found.add(
          "nonmonotonic poll",
          history.room,
          `${name} asked before ${question.before}, was given ${ends}`,
        );
    }
  }

  lookupInvoked(question: LookupQuestion): OperationId {
    const history = this.#room(question.room);
    const { at, client } = question;
    const what = `lookup of ${question.from}/${question.cid} by ${client}`;
    const seq = history.known(question.from, question.cid)?.acknowledged?.seq ?? 0;
    return this.#begin({
      kind: "lookup",
      at,
      client,
      what,
      withinMs: this.#requestWithinMs,
      history,
      question,
      floor: history.floor,
      seq,
    });
  }

  lookupAnswered(
    operation: OperationId,
    answer: { readonly at: number; readonly seq: number | null; readonly head: number },
  ): void {
    const { history, question, floor, seq, client } = this.#end(operation, answer.at, "lookup");
    const { from, cid } = question;
    const name = `${client} (lookup of ${from}/${cid})`;
    this.#seen.lookups++;
    history.head(answer.head, name);
    this.#checkFloor({ history, name, head: answer.head, floor, atLeast: 0 });
    if (answer.seq === null) {
      if (seq >= history.removableBelow)
        this.#found.add("false absence", history.room, `${name}: none; ${seq} was acknowledged before`);
      else this.#absences.push({ history, from, cid, head: answer.head });
      return;
    }
    const known = history.known(from, cid);
    if (known === undefined)
      this.#found.add("unexpected", history.room, `${name}: ${answer.seq}, which nobody had sent`);
    else if (seq >= history.removableBelow && seq !== answer.seq) {
      this.#found.add("acknowledgement disagrees", history.room, `${name}: ${answer.seq}; ${seq} was acknowledged`);
    } else {
      this.#placesTold.push({ history, known, seq: answer.seq, name });
    }
  }

  // Read marks

  markInvoked(mark: {
    readonly at: number;
    readonly client: string;
    readonly user: string;
    readonly room: string;
    readonly seq: number;
  }): OperationId {
    const kept = this.#mark(mark.room, mark.user);
    kept.invoked = Math.max(kept.invoked, mark.seq);
    const what = `read mark ${mark.seq} of ${mark.user} in ${mark.room}`;
    return this.#begin({
      kind: "mark",
      at: mark.at,
      client: mark.client,
      what,
      withinMs: this.#requestWithinMs,
      mark: kept,
      seq: mark.seq,
    });
  }

  markAcknowledged(operation: OperationId, answer: { readonly at: number }): void {
    const { mark, seq } = this.#end(operation, answer.at, "mark");
    mark.acknowledged = Math.max(mark.acknowledged, seq);
  }

  /** A client is shown how far a user has read. */
  markShown(shown: {
    readonly client: string;
    readonly user: string;
    readonly room: string;
    readonly seq: number;
  }): void {
    const mark = this.#mark(shown.room, shown.user);
    const key = `${shown.client}\n${shown.room}\n${shown.user}`;
    const before = this.#marksShown.get(key) ?? 0;
    if (shown.seq < before) {
      this.#found.add(
        "read mark regressed",
        shown.room,
        `${shown.client} was shown ${before}, then ${shown.seq}, of ${shown.user}`,
      );
    }
    if (shown.seq > mark.invoked) {
      this.#found.add(
        "unexpected read mark",
        shown.room,
        `${shown.client} was shown ${shown.seq} of ${shown.user}, who marked at most ${mark.invoked}`,
      );
    }
    this.#marksShown.set(key, Math.max(before, shown.seq));
  }

  /** How far a user has read, asked after the world had come to rest. */
  finalMark(final: { readonly user: string; readonly room: string; readonly seq: number }): void {
    this.#mark(final.room, final.user).final = final.seq;
  }

  // Everything else that must end, and what the world is allowed to do

  requestInvoked(request: { readonly at: number; readonly client: string; readonly what: string }): OperationId {
    return this.#begin({ kind: "other", ...request, withinMs: this.#requestWithinMs });
  }

  /** A request of any kind but a send ended with an error or a closed connection, or a request of no kind ended at all. */
  requestEnded(operation: OperationId, answer: { readonly at: number }): void {
    const kind = this.#operations.get(operation)?.kind;
    assert(kind !== undefined && kind !== "send", "sends end with an outcome");
    this.#end(operation, answer.at, kind);
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
    for (const { history, from, cid, head } of this.#absences) {
      const known = history.known(from, cid);
      const seq = known === undefined ? 0 : known.seenSeq || (known.acknowledged?.seq ?? 0);
      if (seq !== 0 && seq <= head && seq >= history.removableBelow) {
        this.#found.add("false absence", history.room, `${from}/${cid} was denied up to ${head} and stands at ${seq}`);
      }
    }
    for (const { history, known, seq, name } of this.#placesTold) {
      const place = known.seenSeq || (known.acknowledged?.seq ?? seq);
      if (place !== seq && !known.wasForgotten)
        this.#found.add("acknowledgement disagrees", history.room, `${name}: ${seq}; it stands at ${place}`);
    }
    for (const [key, mark] of this.#marks) {
      if (mark.final === null) continue;
      const [room = "", user = ""] = key.split("\n");
      if (mark.final < mark.acknowledged) {
        this.#found.add("lost read mark", room, `${user} marked ${mark.acknowledged}; at the end it is ${mark.final}`);
      }
      if (mark.final > mark.invoked) {
        this.#found.add(
          "unexpected read mark",
          room,
          `${user} marked at most ${mark.invoked}; at the end it is ${mark.final}`,
        );
      }
    }
    return { anomalies: this.#found.kept, counts: this.#found.counts(), seen: { ...this.#seen } };
  }

  #checkFirst(history: RoomHistory, first: number, name: string): void {
    if (first > history.removableBelow) {
      this.#found.add(
        "false gap",
        history.room,
        `${name} was told that the room begins at ${first}; nothing from ${history.removableBelow} on may be missing`,
      );
    }
  }

  #checkFloor(answer: { history: RoomHistory; name: string; head: number; floor: number; atLeast: number }): void {
    const { history, name, head, floor, atLeast } = answer;
    if (head < floor) {
      this.#found.add(
        "stale linearizable read",
        history.room,
        `${name} was answered head ${head}; ${floor} was acknowledged before`,
      );
    }
    if (head < atLeast) {
      this.#found.add(
        "broken atLeast",
        history.room,
        `${name} asked for at least ${atLeast} and was answered head ${head}`,
      );
    }
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

  #subscription(id: SubscriptionId): Subscription {
    const subscription = this.#subscriptions.get(id);
    assert(subscription !== undefined, `subscription ${id} is over or never began`);
    return subscription;
  }

  #mark(room: string, user: string): Mark {
    const key = `${room}\n${user}`;
    let mark = this.#marks.get(key);
    if (mark === undefined) {
      mark = { invoked: 0, acknowledged: 0, final: null };
      this.#marks.set(key, mark);
    }
    return mark;
  }
}
