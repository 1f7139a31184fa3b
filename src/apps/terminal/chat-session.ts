import { setTimeout as pause } from "node:timers/promises";
import { unreachable } from "../../base/assert.ts";
import type { RoomName } from "../../base/ids.ts";
import type { Timestamp } from "../../base/units.ts";
import type { Chat } from "../../client/client.ts";
import type { MessageStream } from "../../client/message-stream.ts";
import { ChatError } from "../../client/outcome.ts";
import type { TimelineItem } from "../../client/reader.ts";
import type { Room } from "../../client/room.ts";
import { isDirect } from "../../protocol/names.ts";
import type { ChatInput } from "./chat-input.ts";
import { ChatView, peerIn } from "./chat-view.ts";
import type { Colours } from "./message-lines.ts";
import { ReadMarks } from "./read-marks.ts";
import { invite, listMembers, listRooms, remove, showHistory, who } from "./room-commands.ts";
import { SaidMessages, type SaidTally } from "./said-messages.ts";
import type { Screen } from "./screen.ts";
import { visibleText } from "./visible-text.ts";
import { type Held, WaitNews } from "./wait-news.ts";

/** Messages of a room that are shown when somebody comes in. */
const shownOnJoin = 20;
/** Coming in is asked again after this, so that one knows why it takes long. */
const enterWithinMs = 1_000;
/** An answer to what has been sent is a matter of milliseconds where the server is there. */
const lastAnswerMs = 250;

/** A room that is followed. */
interface Followed {
  readonly room: Room;
  /** How it is called at the prompt: `lobby`, `@bob`. */
  readonly label: string;
  /** Settles once it can be spoken in: a message to a room that is not made yet would be refused. */
  ready: Promise<void>;
  stream: MessageStream | null;
  left: boolean;
}

/**
 * One person's conversation: which rooms are followed, and where what is typed goes.
 *
 * 1. messages of a room are shown in order, each once; a reconnect changes nothing about that
 * 2. what is said goes out in the order it was typed, also while a room is still being joined
 * 3. what is asked is asked once what was asked before it is answered
 */
export class ChatSession {
  /** What was asked and is not answered. */
  unansweredCount = 0;
  /** Commands that were not done, or that nobody answered, so that it is not known; each was told when it happened. */
  readonly failed = { refused: 0, unknown: 0 };
  readonly #chat: Chat;
  readonly #view: ChatView;
  readonly #followed = new Map<string, Followed>();
  #current: Followed | null = null;
  readonly #sent: SaidMessages;
  readonly #waits = new WaitNews();
  /** Rooms that cannot be come into yet, because a server says so. */
  readonly #keptOut = new Map<RoomName, Held>();
  readonly #marks: ReadMarks | null;
  #said = Promise.resolve();
  #asked = Promise.resolve();
  readonly #onQuit: () => void;

  constructor(options: {
    chat: Chat;
    screen: Screen;
    colours: Colours;
    /** Somebody looks at it: what was shown is read. */
    marksRead: boolean;
    /** Prints data instead of lines for people. */
    json: ((value: object) => void) | null;
    onQuit: () => void;
  }) {
    this.#chat = options.chat;
    this.#onQuit = options.onQuit;
    const { screen, colours, json } = options;
    this.#view = new ChatView({ user: this.#chat.user, screen, colours, json });
    this.#sent = new SaidMessages({
      screen,
      colours,
      json,
      labelOf: (room) => this.#view.labelOf(room),
      shows: (room) => this.#shows(room),
      isCurrent: (room) => this.#current?.room.name === room,
    });
    this.#marks = options.marksRead ? new ReadMarks((room, seq) => this.#roomOf(room).markRead(seq)) : null;
    this.#chat.on("state", (state) => this.#view.connection(state));
    this.#chat.on("send", (sent) => {
      this.#tellWait(sent.room, sent.wait, "what is said there waits");
      if (sent.state === "stored") this.#waits.over(sent.room);
      this.#sent.changed(sent);
    });
    this.#chat.on("error", ({ code, message }) => this.#view.note(`${visibleText(message)} (${visibleText(code)})`));
  }

  /** Follows the first room and all direct messages. */
  start(room: string): void {
    this.#view.connection(this.#chat.state);
    this.#go(this.#chat.room(room), room.replace(/^#/, ""));
    this.#show(this.#chat.directMessages()).catch((cause: unknown) => this.#failed(cause, "direct messages"));
  }

  /** What became of everything that was said. */
  get tally(): Readonly<SaidTally> {
    return this.#sent.tally;
  }

  /** What is not stored yet, or is stored and not shown in its place yet. */
  get pendingCount(): number {
    return this.#sent.pendingCount;
  }

  /** What was said and has no outcome yet. */
  get unsettledCount(): number {
    return this.#sent.unsettledCount;
  }

  /** What has waited longest because a server says so: a message, or a room to come into; null: nothing does. */
  get held(): Held | null {
    return [this.#sent.held, ...this.#keptOut.values()].reduce(
      (first, next) => (first === null || (next !== null && next.since < first.since) ? next : first),
      null,
    );
  }

  /**
   * Waits for no message any longer: all have an outcome then, and it was told. An answer that may come at any moment is
   * waited for, for a little while.
   */
  async giveUp(): Promise<void> {
    const end = performance.now() + lastAnswerMs;
    while (this.#sent.isSending && this.#chat.state.name === "online" && performance.now() < end) await pause(10);
    this.#sent.giveUp();
  }

  /** Acts on what was typed, in the order it was typed. */
  input(input: ChatInput): void {
    switch (input.type) {
      case "nothing":
        return;
      case "say":
        if (this.#current === null) this.#nowhere();
        else this.#say(this.#current, input.text);
        return;
      case "join":
        this.#attempt(() => this.#go(this.#chat.room(input.room), input.room.replace(/^#/, "")));
        return;
      case "direct":
        this.#attempt(() => this.#direct(input.user, input.text));
        return;
      case "leave":
        this.#leave();
        return;
      case "rooms":
        this.#ask(() => listRooms(this.#chat, this.#view, (room) => this.#followed.has(room)));
        return;
      case "who":
        this.#askRoom((room) => who(room, this.#view));
        return;
      case "members":
        this.#askRoom((room) => listMembers(room, this.#view));
        return;
      case "invite":
        this.#askRoom((room) => invite(room, input.user, this.#view));
        return;
      case "remove":
        this.#askRoom((room) => remove(room, input.user, this.#view));
        return;
      case "history":
        this.#askRoom((room) => showHistory(room, input.count, this.#view));
        return;
      case "reconnect":
        this.#chat.reconnect();
        return;
      case "help":
        this.#view.help();
        return;
      case "quit":
        this.#onQuit();
        return;
      case "wrong":
        this.#view.note(visibleText(input.why));
        return;
      default:
        unreachable(input);
    }
  }

  // Saying

  #say(to: Followed, text: string): void {
    const announced = { room: to.room.name, body: text };
    this.#sent.announce(announced);
    // In the order typed, also while a room is still being joined.
    this.#said = Promise.all([this.#said, to.ready]).then(() =>
      this.#sent.send(announced, (body) => to.room.send(body)),
    );
  }

  #shows(room: RoomName): boolean {
    return (
      isDirect(room) ||
      Array.from(this.#followed.values()).some((followed) => followed.room.name === room && !followed.left)
    );
  }

  // Rooms

  #go(room: Room, label: string): void {
    let followed = this.#followed.get(room.name);
    if (followed === undefined || followed.left) {
      followed = { room, label, ready: Promise.resolve(), stream: null, left: false };
      this.#followed.set(room.name, followed);
      this.unansweredCount++;
      followed.ready = this.#enter(followed).finally(() => this.unansweredCount--);
    } else {
      this.#view.heading(this.#view.labelOf(room.name));
    }
    this.#current = followed;
    this.#view.go(this.#current);
    this.#sent.draw();
  }

  /** Joins a room, shows its last messages, and follows it. Settles when it can be spoken in, or is given up. */
  async #enter(followed: Followed): Promise<void> {
    const { room } = followed;
    try {
      const head = await this.#untilAnswered(room.name, async () => {
        if (!isDirect(room.name)) await this.#join(room);
        return this.#lastMessages(followed);
      });
      if (followed.left || isDirect(room.name)) return;
      followed.stream = room.messages({ after: head });
      this.#show(followed.stream).catch((cause: unknown) => this.#failed(cause, this.#view.labelOf(room.name)));
    } catch (cause) {
      followed.left = true;
      if (this.#current === followed) this.#current = null;
      this.#view.go(this.#current);
      this.#failed(cause, this.#view.labelOf(room.name));
    }
  }

  /** Who is a member already need not wait until a server can store that. */
  async #join(room: Room): Promise<void> {
    try {
      await room.join({ withinMs: enterWithinMs });
    } catch (cause) {
      if (!(cause instanceof ChatError) || !cause.retryable || cause.code === "unavailable") throw cause;
      const mine = await this.#chat.rooms({ withinMs: enterWithinMs });
      if (!mine.some((member) => member.room === room.name)) throw cause;
    }
  }

  async #lastMessages(followed: Followed): Promise<number> {
    const label = this.#view.labelOf(followed.room.name);
    try {
      const { items, head } = await followed.room.history({ limit: shownOnJoin, withinMs: enterWithinMs });
      const older = (items[0]?.seq ?? 1) > 1 ? `, of ${head}` : "";
      const what = items.length === 0 ? "no messages yet" : `last ${items.length}${older}`;
      this.#view.heading(`${label}: ${what}`);
      for (const item of items) this.#view.message({ ...item, room: followed.room.name }, { showSeq: false });
      if (head > 0) this.#marks?.shown(followed.room.name, head);
      return head;
    } catch (cause) {
      // A direct room begins with its first message.
      if (!isDirect(followed.room.name) || !(cause instanceof ChatError) || cause.code !== "not_found") throw cause;
      this.#view.heading(`${label}: no messages yet`);
      return 0;
    }
  }

  /** Asks again for as long as trying again can help. */
  async #untilAnswered<T>(room: RoomName, ask: () => Promise<T>): Promise<T> {
    try {
      for (;;) {
        const since = Date.now() as Timestamp;
        try {
          return await ask();
        } catch (cause) {
          const isFinal = !(cause instanceof ChatError) || !cause.retryable || this.#chat.state.name === "closed";
          if (isFinal) throw cause;
          const { code, message, retryAfterMs } = cause;
          // Nobody answered: that is told as the state of the connection.
          const retryAt = (Date.now() + (retryAfterMs ?? 500)) as Timestamp;
          const first = this.#keptOut.get(room)?.since ?? since;
          const kept = code === "unavailable" ? null : { code, message, since: first, retryAt };
          if (kept === null) this.#keptOut.delete(room);
          else this.#keptOut.set(room, kept);
          this.#tellWait(room, kept, "coming in waits");
          await pause(retryAfterMs ?? 500);
        }
      }
    } finally {
      this.#keptOut.delete(room);
      this.#waits.over(room);
    }
  }

  /** While there is no connection, that is why. */
  #tellWait(room: RoomName, held: Held | null, what: string): void {
    const why = this.#chat.state.name === "online" ? this.#waits.toTell(room, held) : null;
    if (why !== null) this.#view.note(`${this.#view.labelOf(room)}: ${what}, and is tried again: ${why}`);
  }

  #direct(user: string, text: string | null): void {
    const room = this.#chat.direct(user);
    if (text === null) {
      this.#go(room, `@${user}`);
      return;
    }
    this.#say({ room, label: `@${user}`, ready: Promise.resolve(), stream: null, left: false }, text);
  }

  #leave(): void {
    const followed = this.#current;
    if (followed === null) {
      this.#nowhere();
      return;
    }
    followed.left = true;
    followed.stream?.end();
    this.#followed.delete(followed.room.name);
    const rest = Array.from(this.#followed.values()).find(({ left }) => !left);
    this.#current = rest ?? null;
    this.#view.go(this.#current);
    this.#sent.draw();
    if (isDirect(followed.room.name)) return;
    this.#ask(async () => {
      await followed.room.leave();
      this.#view.note(`left ${this.#view.labelOf(followed.room.name)}`);
    });
  }

  // Showing

  async #show(stream: MessageStream): Promise<void> {
    for await (const item of stream) {
      this.#arrived(item);
      if (item.gap === undefined) this.#marks?.shown(item.room, item.seq);
    }
  }

  #arrived(item: TimelineItem): void {
    if (item.gap !== undefined) {
      this.#view.gap(item);
      return;
    }
    // Out of the pending lines and into its place.
    if (item.from === this.#chat.user) this.#sent.shown(item);
    this.#view.message(item, { showSeq: false });
    this.#sent.draw();
  }

  #roomOf(room: RoomName): Room {
    return isDirect(room) ? this.#chat.direct(peerIn(room, this.#chat.user)) : this.#chat.room(room);
  }

  /** After everything that was said and asked before it, and once the room is there. */
  #ask(ask: () => Promise<void>): void {
    const before = Promise.all([this.#said, this.#current?.ready, this.#asked]);
    this.unansweredCount++;
    const asked = before.then(ask).catch((cause: unknown) => this.#failed(cause, null));
    this.#asked = asked.finally(() => this.unansweredCount--);
  }

  /** The same about the room that one is in now. */
  #askRoom(ask: (room: Room) => Promise<void>): void {
    const room = this.#current?.room;
    if (room === undefined) this.#nowhere();
    else this.#ask(() => ask(room));
  }

  #nowhere(): void {
    this.failed.refused++;
    this.#view.note("you are in no room; /join one first");
  }

  #attempt(act: () => void): void {
    try {
      act();
    } catch (cause) {
      this.#failed(cause, null);
    }
  }

  #failed(cause: unknown, what: string | null): void {
    if (!(cause instanceof ChatError)) throw cause;
    // We are leaving: what was still being asked for is no failure.
    const { state } = this.#chat;
    if (state.name === "closed" && state.reason === "closed") return;
    if (cause.code === "unavailable" && cause.damaged === null) this.failed.unknown++;
    else this.failed.refused++;
    this.#view.note(`${what === null ? "" : `${what}: `}${cause.message} (${cause.code})`);
  }
}
