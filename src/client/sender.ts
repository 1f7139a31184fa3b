import type { Clock } from "../base/clock.ts";
import type { Cid, RoomName, Seq, UserName } from "../base/ids.ts";
import { randomHex } from "../base/random.ts";
import type { Random } from "../base/random.ts";
import { timestamp } from "../base/units.ts";
import type { Millis } from "../base/units.ts";
import type { ServerFrameOf } from "../protocol/schema.ts";
import { utf8Length } from "../protocol/utf8.ts";
import type { Driver } from "./driver.ts";
import type { Emitter } from "./emitter.ts";
import type { ChatEvents } from "./events.ts";
import { KeptMessages } from "./kept-messages.ts";
import { onAbort } from "./on-abort.ts";
import type { Outbox } from "./outbox.ts";
import type { OutboxEntry } from "./outbox-entry.ts";
import { notStored } from "./outbox-entry.ts";
import { SendRefused, SendUnknown } from "./outcome.ts";
import type { SendWait } from "./outcome.ts";
import type { OutboxStore, SavedPosition, SavedSend } from "./ports.ts";
import type { SendOptions } from "./room.ts";
import { SentMessage } from "./sent-message.ts";
import type { SentContent, SentMessageOwner } from "./sent-message.ts";

/** Longer than this, in UTF-16 units, a text that cannot be queued is not kept. */
const refusedUnitsMax = 1024 * 1024;

export interface SenderParts {
  readonly outbox: Outbox;
  readonly store: OutboxStore | null;
  readonly random: Random;
  readonly clock: Clock;
  readonly driver: Driver;
  readonly events: Emitter<ChatEvents>;
}

/**
 * What this client sends, from `send` to the outcome, and over reloads.
 *
 * 1. With a store, a message is saved before the outbox may send it; what is known of its outcome is saved after.
 * 2. Every change of a message's state is told once. After `end` nothing is.
 * 3. Where there is a store, messages that were refused, and those of which nobody can tell, are kept until they are
 *    dismissed (kept-messages.ts), and never sent again.
 */
export class Sender implements SentMessageOwner {
  readonly #outbox: Outbox;
  readonly #store: OutboxStore | null;
  readonly #driver: Driver;
  readonly #clock: Clock;
  readonly #events: Emitter<ChatEvents>;
  readonly #cidPrefix: string;
  /** null: there is no store. */
  readonly #kept: KeptMessages | null;
  /** Unknown ones that nobody wants to see, and that are still being asked about. */
  readonly #dismissed = new WeakSet<SentMessage>();
  /** What an earlier life left has been read, or cannot be. */
  #loaded: Promise<void> = Promise.resolve();
  /** Numbers of saved sends go on above those of earlier lives. */
  #numberBase = 0;
  #sent = 0;
  #state: "open" | "closing" | "closed" = "open";
  #drained: (() => void) | null = null;

  constructor(parts: SenderParts) {
    this.#outbox = parts.outbox;
    this.#store = parts.store;
    this.#driver = parts.driver;
    this.#clock = parts.clock;
    this.#events = parts.events;
    this.#kept = parts.store === null ? null : new KeptMessages(parts.store, (done) => this.#note(done));
    // 64 bits of chance tell this page's messages from those of every other; the number keeps them apart among themselves.
    this.#cidPrefix = randomHex(parts.random, 8);
  }

  /** Messages without an outcome, in their order within each room. */
  pending(): readonly SentMessage[] {
    const pending: SentMessage[] = [];
    for (const { waiter } of this.#outbox.entries()) if (waiter instanceof SentMessage) pending.push(waiter);
    return pending;
  }

  /** What is kept of those that ended so. */
  kept(state: "refused" | "unknown"): readonly SentMessage[] {
    return this.#kept?.list(state) ?? [];
  }

  send(room: RoomName, to: UserName | null, body: string, options: SendOptions): SentMessage {
    this.#sent++;
    const { signal } = options;
    const cid = (options.cid ?? `${this.#cidPrefix}-${this.#sent.toString(36)}`) as Cid;
    const mayBeRepeat = options.cid !== undefined && options.isNewCid !== true;
    const known = this.#driver.timelines.known(room);
    const send: SavedSend = {
      number: this.#sent,
      room,
      to,
      cid,
      kind: options.kind ?? null,
      ref: (options.ref ?? null) as Seq | null,
      body,
      since: (mayBeRepeat ? 0 : (known?.head ?? 0)) as Seq,
      mayBeRepeat,
      line: known?.line ?? null,
      prev: null,
    };
    const pending = options.cid === undefined ? null : this.#outbox.pending(room, cid);
    if (pending?.waiter instanceof SentMessage) {
      const { kind, ref } = pending.send;
      // What is on its way already is the same message; two entries of one id could overtake each other.
      if (pending.send.body === body && kind === send.kind && ref === send.ref) return pending.waiter;
      return this.#refuseNow(send, "id_conflict", "another message with this id is on its way");
    }
    this.#kept?.replaced(room, cid);
    const bytes = utf8Length(body);
    const refusal = this.#refusalOf(send, bytes, options);
    if (refusal !== null) {
      const sent = this.#refuseNow(send, ...refusal);
      // Kept for its sender too: under an id of our own, which nothing else can have.
      if (refusal[0] !== "aborted" && options.cid === undefined && body.length <= refusedUnitsMax) {
        this.#kept?.keep(sent, send);
      }
      return sent;
    }
    // What joins a queue wants nothing new: a busy sender must not undo the back-off.
    const isFirst = this.#outbox.size === 0;
    const entry = this.#outbox.add(send, bytes, this.#store !== null);
    const sent = new SentMessage(this, send, entry, null);
    entry.waiter = sent;
    if (this.#store !== null) this.#save(this.#store, entry);
    if (isFirst) this.#driver.want();
    else if (this.#store === null) this.#driver.wake();
    if (signal !== undefined) sent.whenSettled(onAbort(signal, () => this.giveUp(entry)));
    return sent;
  }

  /** The state of this entry may be another one than before. */
  changed(entry: OutboxEntry): void {
    const { outcome } = entry;
    const sent = entry.waiter as SentMessage;
    if (this.#state === "closed") return;
    if (outcome !== null && sent.outcome !== outcome) {
      sent.settled(outcome);
      this.#saveOutcome(entry);
    }
    if (sent.hasChanged()) this.#events.emit("send", sent);
    if (this.#outbox.size === 0) this.#drained?.();
  }

  giveUp(entry: OutboxEntry): void {
    if (entry.outcome !== null || this.#state === "closed") return;
    this.#outbox.abandon(entry);
    this.changed(entry);
    this.#driver.wake();
  }

  dismiss(sent: SentMessage): void {
    if (this.#kept === null || this.#kept.drop(sent) || sent.state !== "unknown") return;
    // It still keeps its place, and need not be remembered for it.
    const { room, cid } = sent;
    this.#dismissed.add(sent);
    void this.#store?.remove({ room, cid }).catch(() => undefined);
  }

  wallTimes(wait: SendWait<Millis>): SendWait {
    const ahead = this.#clock.wall() - this.#clock.now();
    const at = (time: Millis) => timestamp(Math.max(Math.round(time + ahead), 0));
    return { ...wait, since: at(wait.since), retryAt: at(wait.retryAt) };
  }

  /** Reads what an earlier life left, if there is a store, and only then calls `start`, with its positions. */
  load(start: (positions: readonly SavedPosition[]) => void): void {
    if (this.#store === null) {
      start([]);
      return;
    }
    this.#loaded = this.#store.load().then(
      ({ sends, positions }) => {
        if (this.#state === "closed") return;
        for (const send of sends) this.#restore(send);
        start(positions);
      },
      (error: unknown) => {
        this.#complain("unavailable", "the outbox of an earlier life cannot be read", error);
        start([]);
      },
    );
  }

  /** Refuses what this server will not take: it would end the link, again and again. */
  welcomed(welcome: ServerFrameOf<"welcome">): void {
    for (const entry of Array.from(this.#outbox.entries())) {
      if (entry.bytes <= welcome.limits.bodyBytesMax || entry.saving) continue;
      this.#outbox.refuse(entry, "too_large", tooLarge(entry.bytes, welcome));
      this.changed(entry);
    }
  }

  /** Takes no more messages from now on. Calls `drained` when all have an outcome. */
  close(drained: () => void): void {
    if (this.#state === "open") this.#state = "closing";
    this.#drained = drained;
    if (this.#outbox.size === 0 || this.#state === "closed") drained();
  }

  /** Ends the link for good, and tells what has no outcome by then. */
  end(reason: string): void {
    this.#state = "closed";
    this.#driver.close(reason);
    for (const entry of this.#outbox.entries()) {
      if (entry.outcome !== null) continue;
      const closed = "the client was closed";
      entry.waiter?.settled(
        entry.uncertain || this.#store !== null
          ? { state: "unknown", error: new SendUnknown(entry.send.cid, `${closed} before there was an answer`) }
          : { state: "refused", error: notStored(entry, closed) },
      );
    }
    this.#drained?.();
  }

  #restore(send: SavedSend): void {
    this.#numberBase = Math.max(this.#numberBase, send.number);
    const sent = this.#ended(send) ?? this.#goesOn(send);
    this.#events.emit("send", sent);
  }

  /** What ended in an earlier life is shown, and has no place in the outbox. */
  #ended(send: SavedSend): SentMessage | null {
    const { cid, refusal, unknown } = send;
    let sent: SentMessage;
    if (refusal !== undefined) sent = this.#refuseNow(send, refusal.code, refusal.message);
    else if (unknown !== undefined) {
      const error = new SendUnknown(cid, unknown.message);
      sent = new SentMessage(this, send, null, { state: "unknown", error });
    } else return null;
    this.#kept?.restored(sent);
    return sent;
  }

  #goesOn(send: SavedSend): SentMessage {
    const entry = this.#outbox.restore(send, Math.max(utf8Length(send.body), 0));
    if (send.isGivenUp === true) this.#outbox.abandon(entry);
    const sent = new SentMessage(this, send, entry, entry.outcome);
    entry.waiter = sent;
    return sent;
  }

  #refuseNow(content: SentContent, code: string, message: string): SentMessage {
    const error = new SendRefused(content.cid, code, message);
    return new SentMessage(this, content, null, { state: "refused", error });
  }

  /** Why this cannot be queued, or null. */
  #refusalOf(send: SavedSend, bytes: number, { cid: given, signal }: SendOptions): [string, string] | null {
    const { cid, kind, ref } = send;
    const { welcome } = this.#driver;
    if (this.#state !== "open") return ["aborted", "the client is closed"];
    if (signal?.aborted === true) return ["aborted", "given up before it was sent"];
    if (bytes === -1) return ["bad_request", "the text holds half a character"];
    if (given !== undefined && !/^[\w.:~-]{1,64}$/.test(cid))
      return ["bad_request", `"${cid}" cannot be the id of a message`];
    if (kind !== null && !/^[^\p{Cs}]{1,32}$/u.test(kind))
      return ["bad_request", `"${kind}" cannot be a kind of message`];
    if (ref !== null && !(Number.isSafeInteger(ref) && ref > 0)) return ["bad_request", "ref is a seq, from 1 on"];
    if (welcome !== null && bytes > welcome.limits.bodyBytesMax) return ["too_large", tooLarge(bytes, welcome)];
    if (!this.#outbox.hasRoomFor(bytes))
      return ["overloaded", "too many messages wait for an answer; wait for some of them"];
    return null;
  }

  #save(store: OutboxStore, entry: OutboxEntry): void {
    const save = (): Promise<void> => {
      entry.send = { ...entry.send, number: this.#numberBase + entry.send.number, prev: entry.prev };
      return store.save(entry.send);
    };
    this.#loaded.then(save).then(
      () => {
        entry.saving = false;
        // Given up meanwhile: what has just been saved must not come back as something to send.
        this.#saveOutcome(entry);
        this.#driver.wake();
      },
      (error: unknown) => {
        entry.saving = false;
        if (entry.gone || this.#state === "closed") return;
        this.#outbox.refuse(entry, "storage_full", `cannot be saved on this device: ${messageOf(error)}`);
        this.changed(entry);
        this.#driver.wake();
      },
    );
  }

  /** Tells the store what it must know of an outcome. */
  #saveOutcome({ gone, outcome, saving, send, waiter }: OutboxEntry): void {
    // While it is being saved for the first time, the end of that comes back here.
    if (this.#store === null || outcome === null || saving) return;
    const sent = waiter as SentMessage;
    if (this.#dismissed.has(sent)) return;
    if (!gone) this.#note(this.#store.save({ ...send, isGivenUp: true }));
    else if (outcome.state === "stored") this.#note(this.#store.remove(send));
    else this.#kept?.keep(sent, send);
  }

  /** What the store failed to note harms nobody but those who look for it after a reload. */
  #note(done: Promise<void>): void {
    done.catch((error: unknown) => this.#complain("storage_full", "the outcome cannot be saved", error));
  }

  #complain(code: string, what: string, error: unknown): void {
    this.#events.emit("error", { code, message: `${what}: ${messageOf(error)}` });
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const tooLarge = (bytes: number, welcome: ServerFrameOf<"welcome">): string =>
  `the body has ${bytes} bytes; at most ${welcome.limits.bodyBytesMax} are taken`;
