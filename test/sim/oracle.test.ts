import { describe, expect, test } from "vitest";
import { type AnomalyName, anomalies } from "../../src/sim/anomaly.ts";
import { type OperationId, Oracle } from "../../src/sim/oracle.ts";
import type { SubscriptionId } from "../../src/sim/subscriptions.ts";
import type { SeenMessage } from "../../src/sim/room-history.ts";

const room = "ops";

type Facts = Partial<Pick<SeenMessage, "ts" | "epoch" | "kind" | "ref" | "body" | "from" | "cid">> & {
  readonly dup?: boolean;
  readonly client?: string;
  readonly at?: number;
  readonly prev?: string;
  readonly ordered?: boolean;
};

/** A history told in short sentences. "a1" is the first message of the user "a", who sends from the client "A". */
class Story {
  readonly oracle = new Oracle({ privateRooms: new Set(["den"]) });

  send(cid: string, facts: Facts = {}): OperationId {
    const from = facts.from ?? cid.slice(0, 1);
    return this.oracle.sendInvoked({
      at: facts.at ?? 0,
      client: facts.client ?? from.toUpperCase(),
      room,
      from,
      cid,
      kind: facts.kind ?? "text",
      ref: facts.ref ?? 0,
      body: facts.body ?? `body of ${cid}`,
      ...(facts.prev === undefined ? {} : { prev: facts.prev }),
      ...(facts.ordered === undefined ? {} : { ordered: facts.ordered }),
    });
  }

  ack(operation: OperationId, seq: number, facts: Facts = {}): void {
    this.oracle.sendAcknowledged(operation, {
      at: facts.at ?? 0,
      seq,
      ts: facts.ts ?? 1_000 + seq,
      epoch: facts.epoch ?? 1,
      dup: facts.dup ?? false,
    });
  }

  refuse(operation: OperationId, code = "overloaded"): void {
    this.oracle.sendRefused(operation, { at: 0, code });
  }

  lose(operation: OperationId): void {
    this.oracle.sendUnknown(operation, { at: 0 });
  }

  /** Sent and acknowledged at this place. */
  stored(cid: string, seq: number, facts: Facts = {}): void {
    this.ack(this.send(cid, facts), seq, facts);
  }

  /** The first messages of the room, at 1 and on. */
  storedInOrder(...cids: readonly string[]): void {
    for (const [place, cid] of cids.entries()) this.stored(cid, place + 1);
  }

  seen(cid: string, seq: number, facts: Facts = {}): SeenMessage {
    return {
      room,
      seq,
      cid: facts.cid ?? cid,
      from: facts.from ?? cid.slice(0, 1),
      ts: facts.ts ?? 1_000 + seq,
      epoch: facts.epoch ?? 1,
      kind: facts.kind ?? "text",
      ref: facts.ref ?? 0,
      body: facts.body ?? `body of ${cid}`,
    };
  }

  reader(after: number | "latest" = 0): Reader {
    return new Reader(this, this.oracle.subscribed({ client: "R", room, after }));
  }

  /** A reader who is given all of these from place 1 on, and then all there is. */
  readAll(...cids: string[]): void {
    const reader = this.reader();
    for (const [index, cid] of cids.entries()) reader.see(cid, index + 1);
    reader.finish();
  }

  page(
    question: {
      before?: number;
      after?: number;
      around?: number;
      linearizable?: boolean;
      atLeast?: number;
      known?: number;
    },
    answer: { items: SeenMessage[]; first?: number; head: number },
    between: () => void = () => undefined,
  ): void {
    const { linearizable = false, ...rest } = question;
    const operation = this.oracle.historyInvoked({ at: 0, client: "H", room, limit: 10, linearizable, ...rest });
    between();
    this.oracle.historyAnswered(operation, { at: 1, first: 1, ...answer });
  }

  lookup(cid: string, answer: { seq: number | null; head: number }, between: () => void = () => undefined): void {
    const operation = this.oracle.lookupInvoked({ at: 0, client: "L", room, from: cid.slice(0, 1), cid });
    between();
    this.oracle.lookupAnswered(operation, { at: 1, ...answer });
  }

  mark(seq: number): void {
    this.oracle.markAcknowledged(this.oracle.markInvoked({ at: 0, client: "U", user: "u", room, seq }), { at: 1 });
  }

  /** A change of who is in the den; `between` happens while it is under way. */
  change(
    way: "in" | "out" | "join",
    user: string,
    outcome: "done" | "over" | "unknown" | null = "done",
    between: () => void = () => undefined,
  ): void {
    const operation = this.oracle.changeInvoked({ at: 0, client: "O", by: "o", way, room: "den", user });
    between();
    if (outcome !== null) this.oracle.changeEnded(operation, { at: 1, outcome });
  }

  /** Somebody asks for something of the den, and is answered, or told that there is none. */
  asks(user: string, told: "answer" | "none", between: () => void = () => undefined): void {
    const operation = this.oracle.markInvoked({ at: 0, client: "U", user, room: "den", seq: 1 });
    between();
    if (told === "answer") this.oracle.markAcknowledged(operation, { at: 1 });
    else this.oracle.requestEnded(operation, { at: 1, code: "not_found" });
  }

  members(more: boolean, ...members: string[]): void {
    const operation = this.oracle.membersInvoked({ at: 0, client: "O", user: "o", room: "den" });
    this.oracle.membersAnswered(operation, { at: 1, members, more });
  }

  found(at = 0): AnomalyName[] {
    return Object.keys(this.oracle.finish({ at }).counts) as AnomalyName[];
  }
}

class Reader {
  readonly #story: Story;
  readonly id: SubscriptionId;

  constructor(story: Story, id: SubscriptionId) {
    this.#story = story;
    this.id = id;
  }

  see(cid: string, seq: number, facts: Facts = {}): this {
    this.#story.oracle.observed(this.id, this.#story.seen(cid, seq, facts));
    return this;
  }

  gap(from: number, to: number, reason = "retention"): this {
    this.#story.oracle.gapAnnounced(this.id, { from, to, reason });
    return this;
  }

  finish(): void {
    this.#story.oracle.finishedReading(this.id);
  }
}

interface Case {
  /** What must be found, and nothing else. Empty: the legal neighbour. */
  readonly finds: readonly AnomalyName[];
  readonly title: string;
  readonly tell: (story: Story) => void;
  readonly at?: number;
}

const cases: readonly Case[] = [
  // Lost writes
  {
    finds: [],
    title: "what was acknowledged is read",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.readAll("a1", "a2");
    },
  },
  {
    finds: ["lost write postfix"],
    title: "the last acknowledged message is never read",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.readAll("a1");
    },
  },
  {
    finds: ["lost write postfix"],
    title: "nothing at all is left",
    tell: (s) => {
      s.stored("a1", 1);
      s.readAll();
    },
  },
  {
    finds: [],
    title: "without a reader who was caught up nothing can be called lost",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.reader().see("a1", 1);
    },
  },
  {
    finds: ["lost write middle"],
    title: "another message stands where one was acknowledged",
    tell: (s) => {
      s.lose(s.send("b1"));
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.stored("a3", 3);
      s.reader().see("a1", 1).see("b1", 2, { ts: 1_002 }).see("a3", 3).finish();
    },
  },
  {
    finds: ["lost write prefix", "poll skip"],
    title: "the first message is missing",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.reader().see("a2", 2).finish();
    },
  },
  {
    finds: [],
    title: "the first message is missing because retention was asked for, and a gap says so",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.oracle.removable(room, 2);
      s.reader().gap(1, 1).see("a2", 2).finish();
    },
  },
  // Unknown outcomes
  {
    finds: [],
    title: "a send of unknown outcome may be stored",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.readAll("a1");
    },
  },
  {
    finds: [],
    title: "a send of unknown outcome may be absent, and so may one that has not ended",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.send("b1");
      s.readAll();
    },
  },
  {
    finds: ["dirty read"],
    title: "a send of unknown outcome is read by one and not in the final log",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.reader().see("a1", 1);
      s.readAll();
    },
  },
  {
    finds: [],
    title: "a client that stopped leaves unknown outcomes and no hung requests",
    at: 100_000,
    tell: (s) => {
      s.send("a1");
      s.oracle.requestInvoked({ at: 0, client: "A", what: "join" });
      s.oracle.clientStopped("A");
      s.readAll("a1");
    },
  },
  // One message, one place
  {
    finds: ["duplicate"],
    title: "one cid at two places",
    tell: (s) => {
      s.stored("a1", 1);
      s.readAll("a1", "a1");
    },
  },
  {
    finds: [],
    title: "one cid of two users is two messages",
    tell: (s) => {
      s.stored("x", 1, { from: "a" });
      s.stored("x", 2, { from: "b" });
      s.reader().see("x", 1, { from: "a" }).see("x", 2, { from: "b" }).finish();
    },
  },
  {
    finds: ["inconsistent offsets"],
    title: "two readers see different messages at one place",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.lose(s.send("b1"));
      s.reader().see("a1", 1);
      s.reader().see("b1", 1);
    },
  },
  {
    finds: ["inconsistent offsets"],
    title: "two readers see different times of one message",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.reader().see("a1", 1);
      s.reader().see("a1", 1, { ts: 7 });
    },
  },
  {
    finds: ["inconsistent offsets"],
    title: "two senders are acknowledged at one place",
    tell: (s) => {
      const one = s.send("a1");
      const other = s.send("b1");
      s.ack(one, 1);
      s.ack(other, 1);
    },
  },
  {
    finds: [],
    title: "two readers see the same message at one place",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.reader().see("a1", 1);
      s.reader().see("a1", 1);
    },
  },
  // Refusals
  {
    finds: ["aborted read"],
    title: "a refused message is read",
    tell: (s) => {
      s.refuse(s.send("a1"));
      s.readAll("a1");
    },
  },
  {
    finds: ["aborted read"],
    title: "a message is read first and refused then",
    tell: (s) => {
      const send = s.send("a1");
      s.reader().see("a1", 1);
      s.refuse(send);
    },
  },
  {
    finds: [],
    title: "a refused message that was sent again is read",
    tell: (s) => {
      s.refuse(s.send("a1"));
      s.stored("a1", 1);
      s.readAll("a1");
    },
  },
  {
    finds: ["aborted read"],
    title: "of two bodies under one cid the refused one is read",
    tell: (s) => {
      s.lose(s.send("a1", { body: "one" }));
      s.refuse(s.send("a1", { body: "other" }), "id_conflict");
      s.reader().see("a1", 1, { body: "other" }).finish();
    },
  },
  {
    finds: [],
    title: "of two bodies under one cid the other one is read",
    tell: (s) => {
      s.lose(s.send("a1", { body: "one" }));
      s.refuse(s.send("a1", { body: "other" }), "id_conflict");
      s.reader().see("a1", 1, { body: "one" }).finish();
    },
  },
  {
    finds: ["false conflict"],
    title: "a conflict is answered to the same body",
    tell: (s) => {
      s.stored("a1", 1);
      s.refuse(s.send("a1"), "id_conflict");
      s.readAll("a1");
    },
  },
  {
    finds: ["missed conflict"],
    title: "another body under the same cid is acknowledged",
    tell: (s) => {
      s.stored("a1", 1, { body: "one" });
      s.stored("a1", 1, { body: "other", dup: true });
      s.reader().see("a1", 1, { body: "one" }).finish();
    },
  },
  // What nobody sent
  {
    finds: ["unexpected"],
    title: "a message nobody sent is read",
    tell: (s) => s.readAll("a1"),
  },
  {
    finds: ["unexpected"],
    title: "a message is read before it is sent",
    tell: (s) => {
      s.reader().see("a1", 1);
      s.lose(s.send("a1"));
    },
  },
  {
    finds: [],
    title: "a server writes messages of its own kind",
    tell: (s) => s.reader().see("z1", 1, { kind: "sys.joined" }).finish(),
  },
  {
    finds: ["altered"],
    title: "a message is read under another name",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.reader().see("a1", 1, { from: "b" });
    },
  },
  {
    finds: ["altered"],
    title: "a message is read with another body",
    tell: (s) => {
      s.stored("a1", 1);
      s.reader().see("a1", 1, { body: "changed" }).finish();
    },
  },
  {
    finds: ["altered"],
    title: "a message is read with another kind",
    tell: (s) => {
      s.stored("a1", 1);
      s.reader().see("a1", 1, { kind: "edit" }).finish();
    },
  },
  {
    finds: ["altered"],
    title: "a reaction is read with another reference",
    tell: (s) => {
      s.stored("a1", 1, { kind: "react", ref: 4 });
      s.reader().see("a1", 1, { kind: "react", ref: 5 }).finish();
    },
  },
  {
    finds: [],
    title: "an erased body may be empty, for one reader and not yet for the other",
    tell: (s) => {
      s.stored("a1", 1);
      s.oracle.erasable(room, 1);
      s.reader().see("a1", 1).finish();
      s.reader().see("a1", 1, { body: "" }).finish();
    },
  },
  {
    finds: ["inconsistent offsets"],
    title: "an empty body of what was not erased",
    tell: (s) => {
      s.stored("a1", 1);
      s.reader().see("a1", 1).finish();
      s.reader().see("a1", 1, { body: "" }).finish();
    },
  },
  // Readers
  {
    finds: ["poll skip"],
    title: "a subscription jumps over a message",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.reader().see("a1", 1).see("a3", 3);
      s.readAll("a1", "a2", "a3");
    },
  },
  {
    finds: ["poll skip"],
    title: "a subscription begins too late",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.reader(1).see("a3", 3);
    },
  },
  {
    finds: [],
    title: "a subscription begins where it was asked to, or at the latest",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.reader(1).see("a2", 2).see("a3", 3);
      s.reader("latest").see("a3", 3);
    },
  },
  {
    finds: ["poll skip"],
    title: "a subscription to the latest misses what follows the head it was told",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      const reader = s.reader("latest");
      s.oracle.subscriptionAnswered(reader.id, { first: 1, head: 1 });
      reader.see("a3", 3);
    },
  },
  {
    finds: ["poll skip"],
    title: "caught-up is said too early",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      const reader = s.reader().see("a1", 1);
      s.oracle.caughtUp(reader.id, 2);
    },
  },
  {
    finds: [],
    title: "caught-up is said in time",
    tell: (s) => {
      s.stored("a1", 1);
      const reader = s.reader().see("a1", 1);
      s.oracle.caughtUp(reader.id, 1);
    },
  },
  {
    finds: ["nonmonotonic poll"],
    title: "a subscription gives a message twice",
    tell: (s) => {
      s.stored("a1", 1);
      s.reader().see("a1", 1).see("a1", 1).finish();
    },
  },
  {
    finds: ["nonmonotonic poll"],
    title: "a subscription goes back",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.reader().see("a1", 1).see("a2", 2).see("a1", 1).finish();
    },
  },
  {
    finds: ["nonmonotonic poll"],
    title: "a resume asks for what was given",
    tell: (s) => {
      s.stored("a1", 1);
      const reader = s.reader().see("a1", 1);
      s.oracle.resumed(reader.id, 0);
    },
  },
  {
    finds: ["poll skip"],
    title: "a resume asks beyond what was given",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      const reader = s.reader().see("a1", 1);
      s.oracle.resumed(reader.id, 2);
    },
  },
  {
    finds: [],
    title: "a resume goes on where it stood",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      const reader = s.reader().see("a1", 1);
      s.oracle.resumed(reader.id, 1);
      reader.see("a2", 2).finish();
    },
  },
  {
    finds: ["unseen"],
    title: "one caught-up reader lacks what another was given",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.readAll("a1", "a2");
      s.readAll("a1");
    },
  },
  {
    finds: [],
    title: "a reader who was not caught up owes nothing",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.readAll("a1", "a2");
      s.reader().see("a1", 1);
    },
  },
  {
    finds: ["not dense"],
    title: "a place does not exist",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 3);
      s.reader().see("a1", 1).see("a2", 3).finish();
    },
  },
  {
    finds: ["not dense"],
    title: "the first place is 2",
    tell: (s) => {
      s.stored("a1", 2);
      s.reader().see("a1", 2).finish();
    },
  },
  {
    finds: ["not dense"],
    title: "a place is 0",
    tell: (s) => s.ack(s.send("a1"), 0),
  },
  // Senders
  {
    finds: ["nonmonotonic send"],
    title: "pipelined sends of one client are reversed",
    tell: (s) => {
      const one = s.send("a1");
      const other = s.send("a2");
      s.ack(one, 2);
      s.ack(other, 1);
      s.readAll("a2", "a1");
    },
  },
  {
    finds: ["nonmonotonic send"],
    title: "reversed, the first with an unknown outcome",
    tell: (s) => {
      const one = s.send("a1");
      const other = s.send("a2");
      s.lose(one);
      s.ack(other, 1);
      s.readAll("a2", "a1");
    },
  },
  {
    finds: [],
    title: "pipelined sends of two clients may stand in any order, and so may those of a client that promised none",
    tell: (s) => {
      const sends = [s.send("a1"), s.send("b1"), s.send("c1", { ordered: false }), s.send("c2", { ordered: false })];
      for (const [index, send] of sends.entries()) s.ack(send, 4 - index);
      s.readAll("c2", "c1", "b1", "a1");
    },
  },
  {
    finds: [],
    title: "a message that was refused, and sent again after another, stands after it",
    tell: (s) => {
      s.refuse(s.send("a1"));
      s.stored("a2", 1);
      s.stored("a1", 2);
      s.readAll("a2", "a1");
    },
  },
  {
    finds: ["nonmonotonic send"],
    title: "a repeat after the acknowledgement does not excuse the order",
    tell: (s) => {
      const one = s.send("a1");
      const other = s.send("a2");
      s.ack(one, 2);
      s.ack(other, 1);
      s.stored("a1", 2, { dup: true });
      s.readAll("a2", "a1");
    },
  },
  {
    finds: ["broken chain"],
    title: "a message stands before its predecessor",
    tell: (s) => {
      const one = s.send("a1", { ordered: false });
      const other = s.send("a2", { prev: "a1", ordered: false });
      s.ack(other, 1);
      s.ack(one, 2);
      s.readAll("a2", "a1");
    },
  },
  {
    finds: ["broken chain"],
    title: "a message stands though its predecessor is nowhere",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.stored("a2", 1, { prev: "a1" });
      s.readAll("a2");
    },
  },
  {
    finds: [],
    title: "a message stands after its predecessor",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2, { prev: "a1" });
      s.readAll("a1", "a2");
    },
  },
  {
    finds: ["real-time order"],
    title: "a message sent after an acknowledgement stands before what was acknowledged",
    tell: (s) => {
      s.stored("a1", 2);
      s.stored("b1", 1);
      s.readAll("b1", "a1");
    },
  },
  {
    finds: ["real-time order"],
    title: "the same with an unknown outcome that was read",
    tell: (s) => {
      s.stored("a1", 2);
      s.lose(s.send("b1"));
      s.readAll("b1", "a1");
    },
  },
  {
    finds: [],
    title: "sends that overlap may stand either way",
    tell: (s) => {
      const one = s.send("b1");
      s.stored("a1", 2);
      s.ack(one, 1);
      s.readAll("b1", "a1");
    },
  },
  // Acknowledgements against the log
  {
    finds: ["acknowledgement disagrees"],
    title: "the acknowledgement has another time",
    tell: (s) => {
      s.stored("a1", 1, { ts: 5 });
      s.reader().see("a1", 1, { ts: 6 }).finish();
    },
  },
  {
    finds: ["acknowledgement disagrees"],
    title: "the acknowledgement has another epoch",
    tell: (s) => {
      s.stored("a1", 1, { epoch: 1 });
      s.reader().see("a1", 1, { epoch: 2 }).finish();
    },
  },
  {
    finds: ["acknowledgement disagrees"],
    title: "the acknowledgement has another place",
    tell: (s) => {
      s.lose(s.send("b1"));
      s.stored("a1", 1);
      s.reader().see("b1", 1).see("a1", 2).finish();
    },
  },
  {
    finds: ["repeat disagrees"],
    title: "a repeat is acknowledged at another place",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a1", 2, { dup: true });
    },
  },
  {
    finds: ["repeat disagrees"],
    title: "a repeat is acknowledged with another time",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a1", 1, { dup: true, ts: 9_999 });
    },
  },
  {
    finds: ["repeat not marked"],
    title: "a repeat is acknowledged as new",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a1", 1);
    },
  },
  {
    finds: [],
    title: "a repeat gets the first answer again; two at once may come either way",
    tell: (s) => {
      const one = s.send("a1");
      const other = s.send("a1");
      s.ack(other, 1);
      s.ack(one, 1, { dup: true });
      s.stored("a1", 1, { dup: true });
      s.readAll("a1");
    },
  },
  {
    finds: ["decreasing ts"],
    title: "time goes back",
    tell: (s) => {
      s.stored("a1", 1, { ts: 10 });
      s.stored("a2", 2, { ts: 9 });
    },
  },
  {
    finds: ["decreasing epoch"],
    title: "the epoch goes back",
    tell: (s) => {
      s.stored("a1", 1, { epoch: 2 });
      s.stored("a2", 2, { epoch: 1 });
    },
  },
  {
    finds: [],
    title: "time and epoch may stand still",
    tell: (s) => {
      s.stored("a1", 1, { ts: 10, epoch: 2 });
      s.stored("a2", 2, { ts: 10, epoch: 2 });
    },
  },
  // Questions
  {
    finds: ["stale linearizable read"],
    title: "a linearizable page does not know what was acknowledged before",
    tell: (s) => {
      s.stored("a1", 1);
      s.page({ after: 0, linearizable: true }, { items: [], head: 0 });
    },
  },
  {
    finds: [],
    title: "it need not know what is acknowledged meanwhile, and a local page need not know anything",
    tell: (s) => {
      s.page({ after: 0, linearizable: true }, { items: [], head: 0 }, () => s.stored("a1", 1));
      s.page({ after: 0 }, { items: [], head: 0 });
    },
  },
  {
    finds: ["broken atLeast"],
    title: "a page below the position asked for",
    tell: (s) => {
      s.stored("a1", 1);
      s.page({ after: 0, atLeast: 1 }, { items: [], head: 0 });
    },
  },
  {
    finds: [],
    title: "a page at the position asked for",
    tell: (s) => {
      s.stored("a1", 1);
      s.page({ after: 0, atLeast: 1 }, { items: [s.seen("a1", 1)], head: 1 });
    },
  },
  {
    finds: ["stale session read"],
    title: "a page below what the client had been given before it asked",
    tell: (s) => {
      s.storedInOrder("a1", "a2");
      s.page({ after: 0, known: 2 }, { items: [s.seen("a1", 1)], head: 1 });
    },
  },
  {
    finds: [],
    title: "a local page below what others were given",
    tell: (s) => {
      s.storedInOrder("a1", "a2");
      s.page({ after: 0, known: 1 }, { items: [s.seen("a1", 1)], head: 1 });
    },
  },
  {
    finds: ["broken atLeast"],
    title: "a subscription is answered by a server that is behind",
    tell: (s) => {
      const reader = s.reader(5);
      s.oracle.subscriptionAnswered(reader.id, { first: 1, head: 4 });
    },
  },
  {
    finds: ["poll skip"],
    title: "a page has a hole",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.page({ around: 2 }, { items: [s.seen("a1", 1), s.seen("a3", 3)], head: 3 });
    },
  },
  {
    finds: ["poll skip"],
    title: "a page after a place begins too late, or is empty below the head",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.page({ after: 0 }, { items: [s.seen("a2", 2)], head: 2 });
      s.page({ after: 0 }, { items: [], head: 2 });
    },
  },
  {
    finds: ["poll skip"],
    title: "a page before a place ends too early",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.page({ before: 3 }, { items: [s.seen("a1", 1)], head: 2 });
    },
  },
  {
    finds: ["nonmonotonic poll"],
    title: "a page goes back",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.page({ around: 2 }, { items: [s.seen("a2", 2), s.seen("a1", 1)], head: 2 });
    },
  },
  {
    finds: ["nonmonotonic poll"],
    title: "a page holds what was not asked for",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.page({ after: 1 }, { items: [s.seen("a1", 1), s.seen("a2", 2)], head: 2 });
      s.page({ before: 2 }, { items: [s.seen("a1", 1), s.seen("a2", 2)], head: 2 });
    },
  },
  {
    finds: [],
    title: "pages as they should be",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.page({ after: 1 }, { items: [s.seen("a2", 2)], head: 3 });
      s.page({ before: 3 }, { items: [s.seen("a2", 2)], head: 3 });
      s.page({ before: 99 }, { items: [s.seen("a3", 3)], head: 3 });
      s.page({ before: 1 }, { items: [], head: 3 });
      s.page({ after: 3 }, { items: [], head: 3 });
      s.page({ after: 9 }, { items: [], head: 3 });
      s.page({ around: 2 }, { items: [s.seen("a1", 1), s.seen("a2", 2), s.seen("a3", 3)], head: 3 });
      s.oracle.removable(room, 3);
      s.page({ after: 0 }, { items: [s.seen("a3", 3)], first: 3, head: 3 });
      s.page({ before: 3 }, { items: [], first: 3, head: 3 });
    },
  },
  {
    finds: ["false absence"],
    title: "a lookup denies what was acknowledged",
    tell: (s) => {
      s.stored("a1", 1);
      s.lookup("a1", { seq: null, head: 1 });
    },
  },
  {
    finds: ["false absence"],
    title: "a lookup denies up to a head what later stands below it",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.stored("b1", 2);
      s.lookup("a1", { seq: null, head: 2 });
      s.reader().see("a1", 1);
    },
  },
  {
    finds: [],
    title: "a lookup denies what is stored later, above the head it named",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.stored("b1", 1);
      s.lookup("a1", { seq: null, head: 1 });
      s.stored("a1", 2);
      s.lookup("a1", { seq: 2, head: 2 });
      s.readAll("b1", "a1");
    },
  },
  {
    finds: [],
    title: "a lookup may deny what retention was allowed to remove",
    tell: (s) => {
      s.stored("a1", 1);
      s.oracle.removable(room, 2);
      s.lookup("a1", { seq: null, head: 1 });
    },
  },
  {
    finds: ["acknowledgement disagrees"],
    title: "a lookup names another place",
    tell: (s) => {
      s.lose(s.send("b1"));
      s.stored("a1", 1);
      s.lookup("a1", { seq: 2, head: 2 });
    },
  },
  {
    finds: ["acknowledgement disagrees"],
    title: "a lookup names a place where the message does not stand in the end",
    tell: (s) => {
      s.lose(s.send("a1"));
      s.lookup("a1", { seq: 2, head: 2 });
      s.reader().see("a1", 1);
    },
  },
  {
    finds: ["unexpected"],
    title: "a lookup finds what nobody sent",
    tell: (s) => s.lookup("a1", { seq: 1, head: 1 }),
  },
  {
    finds: ["phantom head"],
    title: "a head that the room never reaches",
    tell: (s) => {
      s.stored("a1", 1);
      s.page({ around: 1 }, { items: [s.seen("a1", 1)], head: 2 });
      s.readAll("a1");
    },
  },
  // Gaps
  {
    finds: ["false gap"],
    title: "a gap for what nobody removed",
    tell: (s) => {
      s.stored("a1", 1);
      s.stored("a2", 2);
      s.reader().see("a1", 1);
      s.reader().gap(1, 1).see("a2", 2);
    },
  },
  {
    finds: ["false gap"],
    title: "a gap that is longer than what was removed",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.oracle.removable(room, 2);
      s.reader().gap(1, 2).see("a3", 3);
    },
  },
  {
    finds: ["false gap"],
    title: "a room that is said to begin later than it does",
    tell: (s) => {
      s.stored("a1", 1);
      s.page({ after: 0 }, { items: [], first: 2, head: 1 });
    },
  },
  {
    finds: ["poll skip"],
    title: "a gap that does not begin where the reader stands",
    tell: (s) => {
      s.storedInOrder("a1", "a2", "a3");
      s.oracle.removable(room, 3);
      s.reader().gap(2, 2).see("a3", 3);
    },
  },
  // Read marks
  {
    finds: ["read mark regressed"],
    title: "a read mark goes back",
    tell: (s) => {
      s.mark(5);
      s.oracle.markShown({ client: "R", user: "u", room, seq: 5 });
      s.oracle.markShown({ client: "R", user: "u", room, seq: 4 });
    },
  },
  {
    finds: ["unexpected read mark"],
    title: "a read mark that nobody set",
    tell: (s) => s.oracle.markShown({ client: "R", user: "u", room, seq: 1 }),
  },
  {
    finds: ["lost read mark"],
    title: "an acknowledged read mark is gone",
    tell: (s) => {
      s.mark(5);
      s.oracle.finalMark({ user: "u", room, seq: 4 });
    },
  },
  {
    finds: [],
    title: "read marks as they should be",
    tell: (s) => {
      s.mark(5);
      s.mark(3);
      s.oracle.markShown({ client: "R", user: "u", room, seq: 3 });
      s.oracle.markShown({ client: "R", user: "u", room, seq: 5 });
      s.oracle.markShown({ client: "Q", user: "u", room, seq: 3 });
      s.oracle.finalMark({ user: "u", room, seq: 5 });
    },
  },
  // Ends
  {
    finds: ["hung request"],
    title: "a send that never ends",
    at: 10_001,
    tell: (s) => void s.send("a1"),
  },
  {
    finds: ["hung request"],
    title: "a request that ends too late",
    tell: (s) => {
      const operation = s.oracle.requestInvoked({ at: 0, client: "A", what: "join" });
      s.oracle.requestEnded(operation, { at: 10_001 });
    },
  },
  {
    finds: [],
    title: "requests that end in the last moment, or may still end",
    at: 10_000,
    tell: (s) => {
      const operation = s.oracle.requestInvoked({ at: 0, client: "A", what: "join" });
      s.oracle.requestEnded(operation, { at: 10_000 });
      s.send("a1");
    },
  },
];

const retentionCases: readonly Case[] = [
  {
    finds: [],
    title: "a message that was removed and stored anew tells nothing of when its former place was filled",
    tell: (s) => {
      const first = s.send("a1");
      s.stored("b1", 2);
      s.ack(first, 1);
      s.oracle.removable(room, 2);
      s.ack(s.send("a1"), 3);
      s.stored("b2", 4);
    },
  },
];

const memberCases: readonly Case[] = [
  {
    finds: ["told an outsider"],
    title: "who was put out asks, and is answered",
    tell: (s) => {
      s.change("out", "u");
      s.asks("u", "answer");
    },
  },
  {
    finds: [],
    title: "who is put out while asking may be answered or not",
    tell: (s) => {
      s.asks("u", "answer", () => s.change("out", "u"));
      s.asks("u", "none", () => s.change("in", "u"));
    },
  },
  {
    finds: [],
    title: "who was put out and let in again is answered",
    tell: (s) => {
      s.change("out", "u");
      s.change("in", "u");
      s.asks("u", "answer");
    },
  },
  {
    finds: [],
    title: "an invitation that crosses the removal, never ends, or may still come leaves everything open",
    tell: (s) => {
      s.change("in", "u", "done", () => s.change("out", "u"));
      s.asks("u", "answer");
      s.change("in", "v", null);
      s.change("out", "v");
      s.asks("v", "answer");
      s.change("in", "w", "unknown");
      s.change("out", "w");
      s.asks("w", "answer");
    },
  },
  {
    finds: ["told an outsider"],
    title: "an invitation that was over before the removal changes nothing, nor does a removal that was refused later",
    tell: (s) => {
      s.change("in", "u", "over");
      s.change("out", "u");
      s.change("out", "u", "over");
      s.asks("u", "answer");
    },
  },
  {
    finds: ["told an outsider"],
    title: "who was put out reads what was sent after that",
    tell: (s) => {
      const { oracle } = s;
      const id = oracle.subscribed({ client: "R", user: "u", room: "den", after: 0 });
      const say = (seq: number): void => {
        const content = { room: "den", from: "a", cid: `a${seq}`, kind: "text", ref: 0, body: "x" };
        const send = oracle.sendInvoked({ ...content, at: 0, client: "A" });
        oracle.sendAcknowledged(send, { at: 0, seq, ts: seq, epoch: 1, dup: false });
        oracle.observed(id, { ...content, seq, ts: seq, epoch: 1 });
      };
      say(1);
      s.change("out", "u");
      say(2);
    },
  },
  {
    finds: ["told an outsider"],
    title: "who was put out comes back by a join",
    tell: (s) => {
      s.change("out", "o");
      s.change("join", "o");
    },
  },
  {
    finds: ["member shut out"],
    title: "who was let in asks, and is told that there is no such room",
    tell: (s) => {
      s.change("in", "u");
      s.asks("u", "none");
    },
  },
  {
    finds: [],
    title: "a send that was refused before its sender came in is repeated while the refusal is on its way",
    tell: (s) => {
      const { oracle } = s;
      const content = { room: "den", from: "u", cid: "u1", kind: "text", ref: 0, body: "x" };
      const first = oracle.sendInvoked({ ...content, at: 0, client: "U" });
      s.change("in", "u");
      const again = oracle.sendInvoked({ ...content, at: 0, client: "U" });
      for (const send of [first, again]) oracle.sendRefused(send, { at: 0, code: "not_found" });
    },
  },
  {
    finds: ["member shut out"],
    title: "a send that was refused before its sender came in is repeated afterwards, and refused again",
    tell: (s) => {
      const { oracle } = s;
      const content = { room: "den", from: "u", cid: "u1", kind: "text", ref: 0, body: "x" };
      for (const isIn of [false, true]) {
        if (isIn) s.change("in", "u");
        const send = oracle.sendInvoked({ ...content, at: 0, client: "U" });
        oracle.sendRefused(send, { at: 0, code: "not_found" });
      }
    },
  },
  {
    finds: [],
    title: "a removal that may have been made leaves that open, and so does one that was over before",
    tell: (s) => {
      s.change("in", "u");
      s.change("out", "u", "over");
      s.asks("u", "none");
    },
  },
  {
    finds: ["member shut out"],
    title: "a reader who was let in is refused, and asks again",
    tell: (s) => {
      const id = s.oracle.subscribed({ client: "R", user: "u", room: "den", after: 0 });
      s.change("in", "u");
      // Of the question before the invitation that says nothing.
      s.oracle.subscriptionRefused(id);
      s.oracle.subscribedAgain(id);
      s.oracle.subscriptionRefused(id);
    },
  },
  {
    finds: ["wrong members"],
    title: "a list of members has who was put out",
    tell: (s) => {
      s.change("out", "u");
      s.members(false, "o", "u");
    },
  },
  {
    finds: ["wrong members"],
    title: "a list of members lacks who was let in",
    tell: (s) => {
      s.change("in", "b");
      s.members(true, "a", "o");
    },
  },
  {
    finds: [],
    title: "a list of members that goes on elsewhere lacks who comes behind",
    tell: (s) => {
      s.change("in", "u");
      s.members(true, "a", "o");
      s.members(false, "o", "u");
    },
  },
];

describe("the oracle", () => {
  for (const { finds, title, tell, at } of [...cases, ...retentionCases, ...memberCases]) {
    test(`${finds.length === 0 ? "accepts" : `finds ${finds.join(" and ")}`}: ${title}`, () => {
      const story = new Story();
      tell(story);
      expect(story.found(at)).toEqual(finds);
    });
  }

  test("every anomaly has a history that shows it", () => {
    expect([...new Set([...cases, ...memberCases].flatMap(({ finds }) => finds))].sort()).toEqual(
      Object.keys(anomalies).sort(),
    );
  });

  test("keeps few of many anomalies and counts all", () => {
    const story = new Story();
    const reader = story.reader();
    for (let seq = 1; seq <= 1_000; seq++) reader.see(`a${seq}`, seq);
    const verdict = story.oracle.finish({ at: 0 });
    expect(verdict.counts).toEqual({ unexpected: 1_000 });
    expect(verdict.anomalies.length).toBe(20);
    expect(verdict.seen.observed).toBe(1_000);
  });

  test("refuses to be told nonsense: an operation that ends twice, or as something else", () => {
    const story = new Story();
    const send = story.send("a1");
    expect(() => story.oracle.requestEnded(send, { at: 0 })).toThrow("outcome");
    story.lose(send);
    expect(() => story.lose(send)).toThrow("twice");
  });

  test("a long correct history with many readers and pipelined senders has no anomaly", () => {
    const story = new Story();
    const readers = Array.from({ length: 5 }, () => story.reader());
    let seq = 0;
    for (let round = 0; round < 4_000; round++) {
      const sends = ["a", "b", "c"].map((user) => story.send(`${user}${round}`));
      for (const [index, user] of ["a", "b", "c"].entries()) {
        seq++;
        story.ack(sends[index]!, seq);
        for (const reader of readers) reader.see(`${user}${round}`, seq);
      }
    }
    for (const reader of readers) reader.finish();
    expect(story.oracle.finish({ at: 0 })).toMatchObject({ anomalies: [], seen: { sends: 12_000, observed: 60_000 } });
  });
});

test("where servers may lag, who was put out may be answered as of before, and is given nothing that was sent after", () => {
  for (const linearizable of [false, true]) {
    const oracle = new Oracle({ privateRooms: new Set(["den"]), mayLag: true });
    const say = (seq: number): SeenMessage => {
      const content = { room: "den", from: "a", cid: `a${seq}`, kind: "text", ref: 0, body: "x" };
      const send = oracle.sendInvoked({ ...content, at: 0, client: "A" });
      oracle.sendAcknowledged(send, { at: 0, seq, ts: seq, epoch: 1, dup: false });
      return { ...content, seq, ts: seq, epoch: 1 };
    };
    const page = (...items: SeenMessage[]): void => {
      const asked = { at: 0, client: "R", user: "u", room: "den", after: 0, limit: 10, linearizable };
      const operation = oracle.historyInvoked(asked);
      oracle.historyAnswered(operation, { at: 0, items, first: 1, head: items.length });
    };
    const before = say(1);
    const change = oracle.changeInvoked({ at: 0, client: "A", by: "a", way: "out", room: "den", user: "u" });
    oracle.changeEnded(change, { at: 0, outcome: "done" });
    page(before);
    const after = say(2);
    page(before, after);
    const told = oracle.finish({ at: 0 }).anomalies.filter(({ name }) => name === "told an outsider");
    // Whoever asks for a linearizable page is told nothing at all.
    expect(told.map(({ detail }) => detail.includes("gave 2"))).toEqual(linearizable ? [false, false, true] : [true]);
  }
});
