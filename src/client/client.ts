import type { Clock } from "../base/clock.ts";
import type { LogIndex, RoomName, Seq, UserName } from "../base/ids.ts";
import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import type { Millis } from "../base/units.ts";
import { directRoomOf } from "../protocol/names.ts";
import type { ClientFrame, ServerFrame, ServerFrameOf } from "../protocol/schema.ts";
import { Connection, defaultTiming } from "./connection.ts";
import type { ConnectionTiming } from "./connection.ts";
import { DirectMessages } from "./direct-messages.ts";
import { Driver } from "./driver.ts";
import { Emitter } from "./emitter.ts";
import type { ChatEvents, ChatState } from "./events.ts";
import { jsonEncoding } from "./json-encoding.ts";
import { MessageStream } from "./message-stream.ts";
import { checkRoom, checkUser } from "./names.ts";
import { onAbort } from "./on-abort.ts";
import { Outbox } from "./outbox.ts";
import { ChatError } from "./outcome.ts";
import type { Dial, Encoding, Hints, OutboxStore, WireFormat } from "./ports.ts";
import { Reader } from "./reader.ts";
import { Requests } from "./requests.ts";
import { Room } from "./room.ts";
import type { AnswerName, MessagesOptions, RequestOptions, RoomHost } from "./room.ts";
import { Sender } from "./sender.ts";
import type { SentMessage } from "./sent-message.ts";

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
  /** More ways to speak than JSON over WebSocket, by what the dial's links ask for. */
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
  readonly #requests: Requests;
  readonly #driver: Driver;
  readonly #sender: Sender;
  readonly #direct: DirectMessages;
  readonly #streams = new Set<MessageStream>();
  readonly #host: RoomHost;
  readonly #stopHints: (() => void) | undefined;
  #stopDirectEvents: (() => void) | null = null;
  #directListeners = 0;
  #closing: Promise<void> | null = null;
  #closed = false;
  /** How far the log was that this client has seen something of: lists of rooms are of no earlier one. */
  #position: LogIndex | null = null;

  /** Use `connect`. */
  constructor(servers: readonly string[], options: ChatOptions) {
    checkUser(options.user);
    if (servers.length === 0) throw new ChatError("bad_request", "no server is named");
    const { clock, random, outbox: store = null, hints } = options;
    this.user = options.user as UserName;
    this.#options = options;
    this.#events = new Emitter(clock);
    const { outboxMessagesMax: messagesMax = 4_096, outboxBytesMax: bytesMax = 16 * 1024 * 1024 } = options;
    const outbox = new Outbox({ messagesMax, bytesMax }, random);
    this.#requests = new Requests(random);
    this.#driver = new Driver({
      user: options.user,
      token: options.token ?? null,
      clock,
      dial: options.dial,
      encodings: {
        "json-websocket": jsonEncoding(),
        ...options.encodings,
      },
      connection: new Connection(servers, random, { ...defaultTiming, ...options.timing }),
      outbox,
      requests: this.#requests,
      events: this.#events,
      changed: (entry) => this.#sender.changed(entry),
      directRoom: (room) => this.#direct.learn(room),
      directMessage: (room, seq) => this.#direct.heard(room, seq),
      welcomed: (welcome) => {
        this.#sender.welcomed(welcome);
        this.#direct.refresh();
      },
      closed: (reason, fault) => this.#shut(reason, fault),
    });
    this.#sender = new Sender({ outbox, store, random, clock, driver: this.#driver, events: this.#events });
    this.#direct = new DirectMessages({
      driver: this.#driver,
      store,
      limits: this.#readAhead(),
      listRooms: () => this.rooms(),
    });
    this.#host = {
      send: (room, to, body, how) => this.#sender.send(room, to, body, how),
      messages: (room, how) => this.#messages(room, how),
      request: (frameOf, how) => this.#request(frameOf, how),
      timeline: (room) => this.#driver.timelines.of(room),
      say: (frame) => this.#driver.say(frame),
      on: (name, listener) => this.on(name, listener),
      server: () => this.server,
    };
    // Another log, or one that lost its end.
    this.#events.on("reset", () => {
      this.#position = null;
    });
    this.#stopHints = hints?.listen(() => this.#driver.step({ type: "hint", now: clock.now() }));
    this.#sender.load((positions) => {
      this.#direct.restore(positions);
      if (!this.#closed) this.#driver.step({ type: "start", now: clock.now() });
    });
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
    checkRoom(plain);
    return new Room(this.#host, plain as RoomName, null);
  }

  /** The room of two: oneself and this user. Throws a `ChatError` when no user can be called that. */
  direct(user: string): Room {
    checkUser(user);
    return new Room(this.#host, directRoomOf(this.user, user as UserName), user as UserName);
  }

  /**
   * The messages of all direct rooms, those that begin later included. Each room continues where it was left, in this
   * page or, with an outbox store, an earlier one; the first time, at the read mark.
   */
  directMessages(options: { readonly signal?: AbortSignal | undefined } = {}): MessageStream {
    return this.#follow(this.#direct.open(), options.signal);
  }

  /** The rooms one belongs to, with every change that this client was told of, on whatever server. */
  async rooms(options: RequestOptions = {}): Promise<readonly Membership[]> {
    const { rooms } = await this.#request<"okRooms">(
      (id) => ({ t: "rooms", id, ...(this.#position === null ? {} : { atLeast: this.#position }) }),
      options,
    ).catch((error: unknown) => {
      // No server has a log as long as that: it was of one that lost its end.
      if (error instanceof ChatError && error.code === "behind") this.#position = null;
      throw error;
    });
    for (const { room, line, head } of rooms) this.#driver.timelines.known(room)?.learn(line, head);
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
    return this.#sender.kept("refused");
  }

  /**
   * With an outbox store: messages of which no server could tell whether they are stored, and that were not dismissed, those
   * of an earlier life included. They are not sent again; `room.lookup(cid)` asks once more.
   */
  unknown(): readonly SentMessage[] {
    return this.#sender.kept("unknown");
  }

  /** Messages without an outcome, in their order within each room; those of an earlier life included. */
  pending(): readonly SentMessage[] {
    return this.#sender.pending();
  }

  /**
   * Ends the client. What has no outcome by then is refused where it was never attempted, and unknown where it was;
   * with an outbox store it is kept, and sent at the next start. Iterations end, requests fail with `unavailable`.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const { drain = false, drainWithinMs = 10_000 } = options;
    this.#closing ??= new Promise((resolve) => {
      const timer = drain ? this.#options.clock.after(millis(drainWithinMs), resolve) : null;
      this.#sender.close(() => {
        timer?.cancel();
        resolve();
      });
      if (!drain) resolve();
    });
    return this.#closing.then(() => this.#shut("closed", null));
  }

  #shut(reason: string, fault: ChatError | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopHints?.();
    this.#sender.end(reason);
    this.#requests.endAll(fault ?? new ChatError("unavailable", "the client is closed", true));
    for (const stream of this.#streams) {
      if (fault === null) stream.end();
      else stream.fail(fault);
    }
    this.#events.clear();
  }

  #messages(room: RoomName, options: MessagesOptions): MessageStream {
    const { timelines } = this.#driver;
    const stream: MessageStream = new MessageStream({
      ...this.#readAhead(),
      drained: () => timelines.touch(room),
      handed: () => undefined,
      ended: () => timelines.stopReading(room, reader),
    });
    const reader = new Reader(options.after as Seq | "latest", stream);
    if (!this.#closed) timelines.read(room, reader);
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
    const off = onAbort(signal, () => stream.end());
    this.#streams.add(stream);
    stream.whenEnded(() => {
      this.#streams.delete(stream);
      off();
    });
    return stream;
  }

  #reached(position: LogIndex | undefined): void {
    if (position !== undefined && position > (this.#position ?? 0)) this.#position = position;
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
  #request<Name extends AnswerName>(
    frameOf: (id: number) => ClientFrame,
    { signal, withinMs = this.#options.requestWithinMs ?? 10_000 }: RequestOptions,
  ): Promise<ServerFrameOf<Name>> {
    const { state } = this;
    if (this.#closed) return Promise.reject(new ChatError("unavailable", "the client is closed", true));
    if (state.name === "unauthorized") return Promise.reject(new ChatError("unauthorized", state.reason));
    const givenUp = new ChatError("unavailable", "given up", true);
    if (signal?.aborted === true) return Promise.reject(givenUp);
    return new Promise((resolve, reject) => {
      const settle = (answer: ServerFrame | ChatError): void => {
        off();
        if (answer instanceof ChatError) reject(answer);
        else {
          if ("position" in answer) this.#reached(answer.position);
          resolve(answer as ServerFrameOf<Name>);
        }
      };
      const deadline = (this.#options.clock.now() + withinMs) as Millis;
      const off = onAbort(signal, () => this.#requests.cancel(request, givenUp));
      const request = this.#requests.add(frameOf, deadline, settle);
      this.#driver.want();
    });
  }
}
