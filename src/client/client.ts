import type { Clock } from "../base/clock.ts";
import type { Cid, Line, RoomName, Seq, UserName } from "../base/ids.ts";
import { randomHex } from "../base/random.ts";
import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import type { Millis } from "../base/units.ts";
import { directRoomOf } from "../protocol/names.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import { utf8Length } from "../protocol/utf8.ts";
import { Connection, defaultTiming } from "./connection.ts";
import type { ConnectionTiming } from "./connection.ts";
import { DirectMessages } from "./direct-messages.ts";
import { Driver } from "./driver.ts";
import { Emitter } from "./emitter.ts";
import type { ChatEvents, ChatState, Presence } from "./events.ts";
import { jsonEncoding } from "./json-encoding.ts";
import { MessageStream } from "./message-stream.ts";
import { Outbox } from "./outbox.ts";
import type { OutboxEntry } from "./outbox.ts";
import { ChatError, SendRefused, SendUnknown } from "./outcome.ts";
import type { Dial, Encoding, Hints, OutboxStore, SavedSend, WireFormat } from "./ports.ts";
import { Reader } from "./reader.ts";
import { Requests } from "./requests.ts";
import { Room } from "./room.ts";
import type {
  Found,
  HistoryOptions,
  HistoryPage,
  MessagesOptions,
  RequestOptions,
  RoomHost,
  SendOptions,
} from "./room.ts";
import { SentMessage } from "./sent-message.ts";
import type { SentContent, SentMessageOwner } from "./sent-message.ts";

/** What `connect` needs; the platforms give the ports, and leave the rest to the caller. */
export interface ChatOptions {
  /** Who speaks. */
  readonly user: string;
  /**
   * Asked before every greeting, so that it may give a fresh one each time. A rejection is tried again later. One that
   * was refused is not sent again: the state is `unauthorized` then, until `refreshToken` or `reconnect`.
   */
  readonly token?: (() => Promise<string>) | undefined;
  readonly dial: Dial;
  readonly clock: Clock;
  /** Must be fit for ids that nobody can guess, outside the simulator. */
  readonly random: Random;
  /** Keeps unanswered messages, and positions of direct messages, over a reload. */
  readonly outbox?: OutboxStore | undefined;
  readonly hints?: Hints | undefined;
  /** More ways to speak than JSON, by what the dial's links ask for. */
  readonly encodings?: Partial<Readonly<Record<WireFormat, Encoding>>> | undefined;
  /** Messages without an outcome, beyond which `send` refuses. @defaultValue 4096 */
  readonly outboxMessagesMax?: number | undefined;
  /** UTF-8 bytes of their bodies. @defaultValue 16 MiB */
  readonly outboxBytesMax?: number | undefined;
  /** Messages that wait for one consumer before reading pauses. @defaultValue 512 */
  readonly readAheadMax?: number | undefined;
  /** How long a request may take, tries on other servers included. @defaultValue 10000 */
  readonly requestWithinMs?: number | undefined;
  readonly timing?: Partial<ConnectionTiming> | undefined;
}

export interface CloseOptions {
  /** Waits until everything sent has an outcome. */
  readonly drain?: boolean | undefined;
  /** How long it waits at most. @defaultValue 10000 */
  readonly drainWithinMs?: number | undefined;
}

/** A room one belongs to. */
export type Membership = ServerFrameOf<"okRooms">["rooms"][number];

/**
 * Starts a client, at once. Servers are tried in random order, and for ever; trouble with them shows in `state` and
 * never as an exception. Throws a `ChatError` only for options that no server could accept.
 */
export function connect(servers: string | readonly string[], options: ChatOptions): Chat {
  return new Chat(typeof servers === "string" ? [servers] : servers, options);
}

/**
 * One user's client.
 *
 * 1. `send` keeps its order per room, and each message is stored at most once, whatever is retried where.
 * 2. An outcome is said only when it is known: see `Stored`, `SendRefused`, `SendUnknown`.
 * 3. What is read is dense, ordered, without repeats; what is missing is said. Own messages are never missing.
 * 4. Everything held is bounded; after `close` nothing is left running.
 */
export class Chat {
  readonly user: UserName;
  readonly #options: ChatOptions;
  readonly #events: Emitter<ChatEvents>;
  readonly #outbox: Outbox;
  readonly #requests: Requests;
  readonly #driver: Driver;
  readonly #direct: DirectMessages;
  readonly #streams = new Set<MessageStream>();
  readonly #host: RoomHost;
  readonly #cidPrefix: string;
  readonly #stopHints: () => void;
  /** What an earlier life left has been read, or cannot be. */
  #loaded: Promise<void> = Promise.resolve();
  /** Numbers of saved sends go on above those of earlier lives. */
  #numberBase = 0;
  /** Refused ones that the store keeps. */
  readonly #refused = new Set<SentMessage>();
  readonly #owner: SentMessageOwner = {
    giveUp: (entry) => this.#giveUp(entry),
    dismiss: (sent) => this.#dismiss(sent),
  };
  #sent = 0;
  #stopDirectEvents: (() => void) | null = null;
  #directListeners = 0;
  #drained: (() => void) | null = null;
  #closing: Promise<void> | null = null;
  #closed = false;

  /** Use `connect`. */
  constructor(servers: readonly string[], options: ChatOptions) {
    checkName(options.user, userPattern, 60);
    if (servers.length === 0) throw new ChatError("bad_request", "no server is named");
    const { clock, random } = options;
    this.user = options.user as UserName;
    this.#options = options;
    this.#events = new Emitter(clock);
    this.#outbox = new Outbox(
      { messagesMax: options.outboxMessagesMax ?? 4_096, bytesMax: options.outboxBytesMax ?? 16 * 1024 * 1024 },
      random,
    );
    this.#requests = new Requests(random);
    this.#driver = new Driver({
      user: options.user,
      token: options.token ?? null,
      clock,
      dial: options.dial,
      encodings: {
        "json-websocket": jsonEncoding("messages"),
        "json-lines": jsonEncoding("lines"),
        ...options.encodings,
      },
      connection: new Connection(servers, random, { ...defaultTiming, ...options.timing }),
      outbox: this.#outbox,
      requests: this.#requests,
      events: this.#events,
      changed: (entry) => this.#changed(entry),
      directRoom: (room) => this.#direct.learn(room),
      directMessage: (room, seq) => this.#direct.heard(room, seq),
      welcomed: (welcome) => this.#welcomed(welcome),
      closed: (reason, fault) => this.#shut(reason, fault),
    });
    this.#direct = new DirectMessages({
      driver: this.#driver,
      store: options.outbox ?? null,
      limits: this.#readAhead(),
      listRooms: () => this.rooms(),
    });
    this.#host = this.#makeHost();
    // 64 bits of chance tell this page's messages from those of every other; the number keeps them apart among themselves.
    this.#cidPrefix = randomHex(random, 8);
    this.#stopHints =
      options.hints?.listen(() => this.#driver.step({ type: "hint", now: clock.now() })) ?? ((): void => undefined);
    if (options.outbox === undefined) this.#driver.step({ type: "start", now: clock.now() });
    else this.#restore(options.outbox);
  }

  get state(): ChatState {
    return this.#driver.state;
  }

  /** What the server said of itself in its greeting: its name, the cluster, its limits. Null before the first. */
  get server(): ServerFrameOf<"welcome"> | null {
    return this.#driver.welcome;
  }

  /** Calls `listener` on every such event. Answers how to stop. */
  on<Name extends keyof ChatEvents>(name: Name, listener: (event: ChatEvents[Name]) => void): () => void {
    const off = this.#events.on(name, listener);
    if (name !== "direct") return off;
    this.#directListeners++;
    if (this.#directListeners === 1) this.#startDirectEvents();
    let on = true;
    return () => {
      off();
      if (on && --this.#directListeners === 0) this.#stopDirectEvents?.();
      on = false;
    };
  }

  /** The room of this name, with or without `#` in front. Throws a `ChatError` when no room can be called that. */
  room(name: string): Room {
    const plain = name.startsWith("#") ? name.slice(1) : name;
    checkName(plain, roomPattern, 128);
    return new Room(this.#host, plain as RoomName, null);
  }

  /** The room of two: oneself and this user. Throws a `ChatError` when no user can be called that. */
  direct(user: string): Room {
    checkName(user, userPattern, 60);
    return new Room(this.#host, directRoomOf(this.user, user as UserName), user as UserName);
  }

  /**
   * The messages of all direct rooms, those that begin later included. Each room continues where it was left, in this
   * page or, with an outbox store, an earlier one; the first time, at the read mark.
   */
  directMessages(options: { readonly signal?: AbortSignal | undefined } = {}): MessageStream {
    return this.#follow(this.#direct.open(), options.signal);
  }

  /** The rooms one belongs to. */
  async rooms(options: RequestOptions = {}): Promise<readonly Membership[]> {
    const { rooms } = await this.#request<"okRooms">((id) => ({ t: "rooms", id }), options);
    for (const { room, line, head } of rooms) this.#driver.known(room)?.learn(line, head);
    return rooms;
  }

  /** Asks for a new token and gives it to the server: before the old one expires, or after it was refused. */
  async refreshToken(options: RequestOptions = {}): Promise<void> {
    const token = await this.#options.token?.();
    if (this.state.name === "unauthorized") this.#driver.retry();
    if (token !== undefined) await this.#request<"okDone">((id) => ({ t: "refresh", id, token }), options);
  }

  /**
   * Tries now: dials when there is no link, with a token that was refused too, and asks whether the server is still
   * there when there is one. Does nothing while a link opens, or after the end.
   */
  reconnect(): void {
    this.#driver.retry();
  }

  /** With an outbox store: messages that were refused and not dismissed, those of an earlier life included. */
  refused(): readonly SentMessage[] {
    return [...this.#refused];
  }

  /** Messages without an outcome, in their order within each room; those of an earlier life included. */
  pending(): readonly SentMessage[] {
    const pending: SentMessage[] = [];
    for (const { waiter } of this.#outbox.entries()) if (waiter instanceof SentMessage) pending.push(waiter);
    return pending;
  }

  /**
   * Ends the client. What has no outcome by then is refused where it was never attempted, and unknown where it was;
   * with an outbox store it is kept, and sent at the next start. Iterations end, requests fail with `unavailable`.
   */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closing ??= options.drain === true ? this.#drain(millis(options.drainWithinMs ?? 10_000)) : Promise.resolve();
    return this.#closing.then(() => this.#shut("closed", null));
  }

  #drain(within: Millis): Promise<void> {
    if (this.#outbox.size === 0 || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(within, resolve);
      this.#drained = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #shut(reason: string, fault: ChatError | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopHints();
    const open = [...this.#outbox.entries()];
    // The link first: what was on its way has no answer any more.
    this.#driver.close(reason);
    for (const entry of open) {
      if (entry.outcome !== null) continue;
      const { cid } = entry.send;
      const never = !entry.uncertain && this.#options.outbox === undefined;
      entry.waiter?.settled(
        never
          ? { state: "refused", error: new SendRefused(cid, "aborted", "the client was closed before it was sent") }
          : { state: "unknown", error: new SendUnknown(cid, "the client was closed before there was an answer") },
      );
    }
    this.#drained?.();
    this.#requests.endAll(fault ?? new ChatError("unavailable", "the client is closed", true));
    for (const stream of this.#streams) {
      if (fault === null) stream.end();
      else stream.fail(fault);
    }
    this.#events.clear();
  }

  #restore(store: OutboxStore): void {
    const start = (): void => {
      if (!this.#closed) this.#driver.step({ type: "start", now: this.#options.clock.now() });
    };
    this.#loaded = store.load().then(
      ({ sends, positions }) => {
        if (this.#closed) return;
        this.#direct.restore(positions);
        for (const send of sends) this.#restoreOne(send);
        start();
      },
      (error: unknown) => {
        this.#events.emit("error", {
          code: "unavailable",
          message: `the outbox of an earlier life cannot be read: ${messageOf(error)}`,
        });
        start();
      },
    );
  }

  #restoreOne(send: SavedSend): void {
    this.#numberBase = Math.max(this.#numberBase, send.number);
    let sent: SentMessage;
    if (send.refusal === undefined) {
      const entry = this.#outbox.restore(send, Math.max(utf8Length(send.body), 0));
      if (send.isGivenUp === true) this.#outbox.abandon(entry);
      sent = new SentMessage(this.#owner, send, { entry, outcome: entry.outcome });
      entry.waiter = sent;
    } else {
      sent = this.#refusedNow(send, send.refusal.code, send.refusal.message);
      this.#keepRefused(sent);
    }
    this.#events.emit("send", sent);
  }

  #welcomed(welcome: ServerFrameOf<"welcome">): void {
    // What is too large would end the link, again and again.
    for (const entry of Array.from(this.#outbox.entries())) {
      if (entry.bytes > welcome.limits.bodyBytesMax && !entry.saving) {
        this.#outbox.refuse(entry, "too_large", tooLarge(entry.bytes, welcome));
        this.#changed(entry);
      }
    }
    this.#direct.refresh();
  }

  /** The state of this entry may be another one than before. */
  #changed(entry: OutboxEntry): void {
    const { outcome } = entry;
    const sent = entry.waiter as SentMessage;
    if (this.#closed) return;
    if (outcome !== null && sent.outcome !== outcome) {
      sent.settled(outcome);
      this.#saveOutcome(entry);
    }
    if (sent.hasChanged()) this.#events.emit("send", sent);
    if (this.#outbox.size === 0) this.#drained?.();
  }

  /** Tells the store what it must know of an outcome. */
  #saveOutcome(entry: OutboxEntry): void {
    const store = this.#options.outbox;
    const { outcome, send } = entry;
    // While it is being saved for the first time, the end of that comes back here.
    if (store === undefined || outcome === null || entry.saving) return;
    let done: Promise<void>;
    if (outcome.state === "refused") {
      this.#keepRefused(entry.waiter as SentMessage);
      const { code, message } = outcome.error;
      done = store.save({ ...send, refusal: { code, message } });
    } else done = entry.gone ? store.remove(send) : store.save({ ...send, isGivenUp: true });
    this.#note(done);
  }

  /** What the store failed to note does no harm but to those who look for it after a reload. */
  #note(done: Promise<void>): void {
    done.catch((error: unknown) => {
      this.#events.emit("error", { code: "storage_full", message: `the outcome cannot be saved: ${messageOf(error)}` });
    });
  }

  #keepRefused(sent: SentMessage): void {
    this.#refused.add(sent);
    const [oldest] = this.#refused;
    if (this.#refused.size > refusedMax && oldest !== undefined) this.#dismiss(oldest);
  }

  #dismiss(sent: SentMessage): void {
    if (!this.#refused.delete(sent)) return;
    const { room, cid } = sent;
    void this.#options.outbox?.remove({ room, cid }).catch(() => undefined);
  }

  #giveUp(entry: OutboxEntry): void {
    if (entry.outcome !== null || this.#closed) return;
    this.#outbox.abandon(entry);
    this.#changed(entry);
    this.#driver.wake();
  }

  #refusedNow(content: SentContent, code: string, message: string): SentMessage {
    const error = new SendRefused(content.cid, code, message);
    return new SentMessage(this.#owner, content, { entry: null, outcome: { state: "refused", error } });
  }

  #send(room: RoomName, to: UserName | null, body: string, options: SendOptions): SentMessage {
    this.#sent++;
    const cid = (options.cid ?? `${this.#cidPrefix}-${this.#sent.toString(36)}`) as Cid;
    const mayBeRepeat = options.cid !== undefined && options.isNewCid !== true;
    const send: Omit<SavedSend, "prev"> = {
      number: this.#sent,
      room,
      to,
      cid,
      kind: options.kind ?? null,
      ref: (options.ref ?? null) as Seq | null,
      body,
      since: mayBeRepeat ? (0 as Seq) : (this.#driver.known(room)?.head ?? (0 as Seq)),
      mayBeRepeat,
      line: this.#driver.known(room)?.line ?? null,
    };
    const pending = options.cid === undefined ? null : this.#outbox.pending(room, cid);
    if (pending?.waiter instanceof SentMessage) {
      const { kind, ref } = pending.send;
      // What is on its way already is the same message; two entries of one id could overtake each other.
      if (pending.send.body === body && kind === send.kind && ref === send.ref) return pending.waiter;
      return this.#refusedNow(send, "id_conflict", "another message with this id is on its way");
    }
    // Its place in the store is this one's now.
    for (const sent of this.#refused) if (sent.cid === cid && sent.room === room) this.#refused.delete(sent);
    const bytes = utf8Length(body);
    const refusal = this.#refusalOf(send, bytes, options.signal);
    if (refusal !== null) return this.#refuseAtOnce(send, refusal);
    const store = this.#options.outbox;
    const entry = this.#outbox.add(send, bytes, store !== undefined);
    const sent = new SentMessage(this.#owner, send, { entry, outcome: null });
    entry.waiter = sent;
    if (store === undefined) this.#driver.wake();
    else this.#save(store, entry);
    if (options.signal !== undefined) this.#abortBy(options.signal, entry, sent);
    return sent;
  }

  /** What cannot be queued is kept for its sender too, under an id of our own, which nothing else can have. */
  #refuseAtOnce(send: Omit<SavedSend, "prev">, [code, message]: readonly [string, string]): SentMessage {
    const sent = this.#refusedNow(send, code, message);
    const store = this.#options.outbox;
    if (store === undefined || code === "aborted" || !send.cid.startsWith(this.#cidPrefix)) return sent;
    if (send.body.length > refusedUnitsMax) return sent;
    this.#keepRefused(sent);
    this.#note(store.save({ ...send, prev: null, refusal: { code, message } }));
    return sent;
  }

  /** Why this cannot be queued, or null. */
  #refusalOf(send: Omit<SavedSend, "prev">, bytes: number, signal: AbortSignal | undefined): [string, string] | null {
    const welcome = this.#driver.welcome;
    if (this.#closed || this.#closing !== null) return ["aborted", "the client is closed"];
    if (signal?.aborted === true) return ["aborted", "given up before it was sent"];
    if (bytes === -1) return ["bad_request", "the text holds half a character"];
    if (!/^[\w.:~-]{1,64}$/.test(send.cid)) return ["bad_request", `"${send.cid}" cannot be the id of a message`];
    if (send.kind !== null && !/^[^\p{Cs}]{1,32}$/u.test(send.kind))
      return ["bad_request", `"${send.kind}" cannot be a kind of message`];
    if (send.ref !== null && !(Number.isSafeInteger(send.ref) && send.ref > 0))
      return ["bad_request", "ref is a seq, from 1 on"];
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
        if (entry.gone || this.#closed) return;
        this.#outbox.refuse(entry, "storage_full", `cannot be saved on this device: ${messageOf(error)}`);
        this.#changed(entry);
        this.#driver.wake();
      },
    );
  }

  #abortBy(signal: AbortSignal, entry: OutboxEntry, sent: SentMessage): void {
    const abort = (): void => this.#giveUp(entry);
    signal.addEventListener("abort", abort, { once: true });
    sent.whenSettled(() => signal.removeEventListener("abort", abort));
  }

  #messages(room: RoomName, options: MessagesOptions): MessageStream {
    const stream: MessageStream = new MessageStream({
      ...this.#readAhead(),
      drained: () => this.#driver.touch(this.#driver.timeline(room)),
      handed: () => undefined,
      ended: () => this.#driver.stopReading(room, reader),
    });
    const reader = new Reader(options.after as Seq | "latest", stream);
    if (!this.#closed) this.#driver.read(room, reader);
    return this.#follow(stream, options.signal);
  }

  #readAhead(): { itemsMax: number; bodiesMax: number } {
    return { itemsMax: this.#options.readAheadMax ?? 512, bodiesMax: 1024 * 1024 };
  }

  /** Ends the stream with its signal, and with the client. */
  #follow(stream: MessageStream, signal: AbortSignal | undefined): MessageStream {
    if (this.#closed || signal?.aborted === true) {
      stream.end();
      return stream;
    }
    const end = (): void => stream.end();
    signal?.addEventListener("abort", end, { once: true });
    this.#streams.add(stream);
    stream.whenEnded(() => {
      this.#streams.delete(stream);
      signal?.removeEventListener("abort", end);
    });
    return stream;
  }

  #startDirectEvents(): void {
    const stream = this.directMessages();
    this.#stopDirectEvents = () => {
      this.#stopDirectEvents = null;
      stream.end();
    };
    const pump = async (): Promise<void> => {
      for await (const item of stream) if (item.gap === undefined) this.#events.emit("direct", item);
    };
    pump().catch((error: unknown) => {
      this.#events.emit("error", {
        code: error instanceof ChatError ? error.code : "unavailable",
        message: String(error),
      });
    });
  }

  /** Asks, and answers with the `ok`; throws the `ChatError` otherwise, also when the signal aborts (`unavailable`). */
  #request<Name extends "okRooms" | "okHist" | "okLookup" | "okJoin" | "okPresence" | "okDone">(
    frameOf: (id: number) => ClientFrame,
    options: RequestOptions,
  ): Promise<ServerFrameOf<Name>> {
    const { signal } = options;
    if (this.#closed) return Promise.reject(new ChatError("unavailable", "the client is closed", true));
    if (signal?.aborted === true) return Promise.reject(new ChatError("unavailable", "given up", true));
    if (this.state.name === "unauthorized") return Promise.reject(new ChatError("unauthorized", this.state.reason));
    return new Promise((resolve, reject) => {
      const settle = (answer: ServerFrame | ChatError): void => {
        signal?.removeEventListener("abort", abort);
        if (answer instanceof ChatError) reject(answer);
        else resolve(answer as ServerFrameOf<Name>);
      };
      const deadline = (this.#options.clock.now() + (this.#options.requestWithinMs ?? 10_000)) as Millis;
      const request = this.#requests.add(frameOf, deadline, settle);
      const abort = (): void => this.#requests.cancel(request, new ChatError("unavailable", "given up", true));
      signal?.addEventListener("abort", abort, { once: true });
      this.#driver.wake();
    });
  }

  #makeHost(): RoomHost {
    const learn = (room: RoomName, line: Line, head: Seq): void => this.#driver.timeline(room).learn(line, head);
    return {
      send: (room, to, body, options) => this.#send(room, to, body, options),
      messages: (room, options) => this.#messages(room, options),
      history: async (room, options: HistoryOptions): Promise<HistoryPage> => {
        const { before, after, around, level } = options;
        for (const place of [before, after, around, options.limit, options.atLeast]) checkWhole(place);
        const limitMax = this.#driver.welcome?.limits.histItemsMax ?? Infinity;
        const limit = options.limit === undefined ? undefined : Math.min(options.limit, limitMax);
        const page = await this.#request<"okHist">((id) => {
          // Looked at when it is asked, not when it is queued: what was stored meanwhile must be there.
          const atLeast = Math.max(this.#driver.known(room)?.seen ?? 0, options.atLeast ?? 0);
          const place = { before, after, around, limit, level, atLeast: atLeast === 0 ? undefined : atLeast };
          return { t: "hist", id, room, ...place } as ClientFrame;
        }, options);
        learn(room, page.line, page.head);
        return page;
      },
      lookup: async (room, cid, from, options): Promise<Found> => {
        const frame = { t: "lookup", room, cid: cid as Cid, from: from as UserName | undefined } as const;
        const { seq, head } = await this.#request<"okLookup">((id) => ({ ...frame, id }), options);
        return { seq, head };
      },
      join: async (room, isPrivate, options) => {
        const frame = { t: "join", room, private: isPrivate ? true : undefined } as const;
        const { line, head } = await this.#request<"okJoin">((id) => ({ ...frame, id }), options);
        learn(room, line, head);
        return { line, head };
      },
      simple: async (frame, options) => {
        if (frame.t === "read") checkWhole(frame.seq);
        await this.#request<"okDone">((id) => ({ ...frame, id }), options);
      },
      presence: async (room, options): Promise<Presence> => {
        const { users, count } = await this.#request<"okPresence">((id) => ({ t: "presence", id, room }), options);
        return { room, users, count };
      },
      typing: (room) => this.#driver.say({ t: "typing", room }),
      on: (name, listener) => this.on(name, listener),
    };
  }
}

/** Refused messages that are kept for their sender to look at. */
const refusedMax = 200;
/** Longer than this, in UTF-16 units, a text that cannot be queued is not kept. */
const refusedUnitsMax = 1024 * 1024;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const tooLarge = (bytes: number, welcome: ServerFrameOf<"welcome">): string =>
  `the body has ${bytes} bytes; at most ${welcome.limits.bodyBytesMax} are taken`;

/**
 * Names as far as a look can tell; the server knows the rest of the grammar, and refuses. What is caught here is caught
 * where it is written, and cannot break an encoding.
 */
const userPattern = /^[^\p{C}\s/\\,@#!:*?%"<>&]+$/u;
const roomPattern = /^(@[^\p{C}\s/\\,@#!:*?%"<>&]+,)?[^\p{C}\s/\\,@#!:*?%"<>&]+$/u;

function checkName(name: string, pattern: RegExp, bytesMax: number): void {
  if (!pattern.test(name) || utf8Length(name) > bytesMax)
    throw new ChatError("bad_request", `"${name}" cannot be a name`);
}

function checkWhole(value: number | undefined): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new ChatError("bad_request", `${value} is not a place in a room`);
  }
}
