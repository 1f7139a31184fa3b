import { unreachable } from "../../base/assert.ts";
import type { RoomName, UserName } from "../../base/ids.ts";
import type { Chat } from "../../client/client.ts";
import type { ChatState } from "../../client/events.ts";
import type { MessageStream } from "../../client/message-stream.ts";
import { ChatError } from "../../client/outcome.ts";
import type { TimelineItem } from "../../client/reader.ts";
import type { Room } from "../../client/room.ts";
import type { SentMessage } from "../../client/sent-message.ts";
import { isDirect, membersOf } from "../../protocol/names.ts";
import { placeOf } from "./place-of.ts";
import { type ChatInput, chatHelp } from "./chat-input.ts";
import { type Colours, dayOf, gapLine, messageLines, type ShownMessage } from "./message-lines.ts";
import type { Screen } from "./screen.ts";
import { visibleText } from "./visible-text.ts";

/** Messages of a room that are shown when somebody comes in. */
const shownOnJoin = 20;

/** Pending messages shown at once; the rest is counted. */
const pendingLinesMax = 4;

/** What became of everything that was said. */
export interface ChatTally {
  stored: number;
  refused: number;
  unknown: number;
}

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
 * One person's conversation: which rooms are followed, where what is typed goes, and what is shown of it.
 *
 * 1. everything said is shown as pending until its room shows it in its place, or it is known not to be stored
 * 2. messages of a room are shown in order, each once; a reconnect changes nothing about that
 * 3. what fails is said, with the text it failed for
 */
export class ChatSession {
  readonly tally: ChatTally = { stored: 0, refused: 0, unknown: 0 };
  readonly #chat: Chat;
  readonly #screen: Screen;
  readonly #colours: Colours;
  readonly #marksRead: boolean;
  readonly #json: ((value: object) => void) | null;
  readonly #followed = new Map<string, Followed>();
  #current: Followed | null = null;
  /** Not settled, or stored and not shown yet; by room and cid. */
  readonly #pending = new Map<string, { readonly sent: SentMessage; shown: boolean }>();
  #isDrawDue = false;
  /** The last place shown in rooms whose mark is on its way. */
  readonly #readUpTo = new Map<RoomName, number>();
  /** The day of what was shown last; a line tells when it changes. */
  #day = dayOf(Date.now());
  #lost = false;
  #unsettled = 0;
  #said = Promise.resolve();
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
    this.#screen = options.screen;
    this.#colours = options.colours;
    this.#marksRead = options.marksRead;
    this.#json = options.json;
    this.#onQuit = options.onQuit;
    this.#chat.on("state", (state) => this.#stateChanged(state));
    this.#chat.on("send", (sent) => this.#sendChanged(sent));
    this.#chat.on("error", ({ code, message }) => this.#note(`${visibleText(message)} (${visibleText(code)})`));
  }

  /** Follows the first room and all direct messages. */
  start(room: string): void {
    this.#stateChanged(this.#chat.state);
    this.#go(this.#chat.room(room), room.replace(/^#/, ""));
    this.#show(this.#chat.directMessages()).catch((cause: unknown) => this.#failed(cause, "direct messages"));
  }

  /** What is not stored yet, or is stored and not shown in its place yet. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** What was said and has no outcome yet. */
  get unsettledCount(): number {
    return this.#unsettled;
  }

  /** Acts on what was typed, in the order it was typed. */
  input(input: ChatInput): void {
    switch (input.type) {
      case "nothing":
        return;
      case "say":
        if (this.#current === null) this.#note("you are in no room; /join one first");
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
        this.#ask(() => this.#listRooms());
        return;
      case "who":
        this.#askRoom((room) => this.#who(room));
        return;
      case "history":
        this.#askRoom((room) => this.#history(room, input.count));
        return;
      case "reconnect":
        this.#chat.reconnect();
        return;
      case "help":
        this.#screen.print(chatHelp.map((line) => this.#colours.dim(`  ${line}`)));
        return;
      case "quit":
        this.#onQuit();
        return;
      case "wrong":
        this.#note(visibleText(input.why));
        return;
      default:
        unreachable(input);
    }
  }

  // Saying

  #say(to: Followed, text: string): void {
    this.#unsettled++;
    // In the order typed, also while a room is still being joined.
    this.#said = Promise.all([this.#said, to.ready]).then(() => {
      const sent = to.room.send(text);
      this.#pending.set(keyOf(sent), { sent, shown: false });
      if (sent.outcome !== null) this.#sendChanged(sent);
      else this.#drawPending();
    });
  }

  #sendChanged(sent: SentMessage): void {
    const { outcome } = sent;
    const pending = this.#pending.get(keyOf(sent));
    if (outcome === null || pending === undefined) return;
    this.#unsettled--;
    switch (outcome.state) {
      case "stored":
        this.tally.stored++;
        this.#json?.({ stored: placeOf(outcome.stored) });
        // It stays below until its room shows it, which may have been before the answer.
        if (pending.shown || !this.#shows(sent.room)) this.#pending.delete(keyOf(sent));
        this.#drawPending();
        return;
      case "refused":
        this.tally.refused++;
        this.#json?.({
          refused: { cid: sent.cid, room: sent.room, code: outcome.error.code, message: outcome.error.message },
        });
        this.#notStored(sent, `not sent: ${outcome.error.message}`);
        return;
      case "unknown":
        this.tally.unknown++;
        this.#json?.({ unknown: { cid: sent.cid, room: sent.room, message: outcome.error.message } });
        this.#notStored(sent, `nobody knows whether this was stored: ${outcome.error.message}`);
        return;
      default:
        unreachable(outcome);
    }
  }

  #notStored(sent: SentMessage, why: string): void {
    this.#pending.delete(keyOf(sent));
    const { red, dim } = this.#colours;
    this.#screen.print([
      `${red("✗")} ${visibleText(sent.content.body)}  ${red(visibleText(why))} ${dim(`in ${this.#labelOf(sent.room)}`)}`,
    ]);
    this.#drawPending();
  }

  #shows(room: RoomName): boolean {
    return (
      isDirect(room) ||
      Array.from(this.#followed.values()).some((followed) => followed.room.name === room && !followed.left)
    );
  }

  /** Once a turn: a pasted text is many messages. */
  #drawPending(): void {
    if (this.#isDrawDue) return;
    this.#isDrawDue = true;
    setImmediate(() => {
      this.#isDrawDue = false;
      const sends = Array.from(this.#pending.values(), ({ sent }) => sent);
      const last = sends.slice(-pendingLinesMax);
      this.#screen.setPending(
        last.map((sent) => this.#pendingLine(sent)),
        sends.length - last.length,
      );
    });
  }

  #pendingLine(sent: SentMessage): string {
    const { dim, green } = this.#colours;
    const mark = sent.outcome?.state === "stored" ? green("✓") : dim("…");
    const where = sent.room === this.#current?.room.name ? "" : `${this.#labelOf(sent.room)} `;
    return `${mark} ${dim(where + visibleText(sent.content.body))}${sent.outcome === null ? dim("  sending") : ""}`;
  }

  // Rooms

  #go(room: Room, label: string): void {
    let followed = this.#followed.get(room.name);
    if (followed === undefined || followed.left) {
      followed = { room, label, ready: Promise.resolve(), stream: null, left: false };
      this.#followed.set(room.name, followed);
      const entered = this.#enter(followed);
      followed.ready = entered;
    } else {
      this.#screen.print([this.#colours.dim(`── ${visibleText(this.#labelOf(room.name))} ──`)]);
    }
    this.#current = followed;
    this.#drawPrompt();
    this.#drawPending();
  }

  /** Joins a room, shows its last messages, and follows it. Settles when it can be spoken in, or is given up. */
  async #enter(followed: Followed): Promise<void> {
    const { room } = followed;
    try {
      const head = await this.#untilAnswered(async () => {
        if (!isDirect(room.name)) await room.join();
        return this.#lastMessages(followed);
      });
      if (followed.left || isDirect(room.name)) return;
      followed.stream = room.messages({ after: head });
      this.#show(followed.stream).catch((cause: unknown) => this.#failed(cause, this.#labelOf(room.name)));
    } catch (cause) {
      followed.left = true;
      if (this.#current === followed) this.#current = null;
      this.#drawPrompt();
      this.#failed(cause, this.#labelOf(room.name));
    }
  }

  async #lastMessages(followed: Followed): Promise<number> {
    try {
      const { items, head } = await followed.room.history({ limit: shownOnJoin });
      const older = (items[0]?.seq ?? 1) > 1 ? `, of ${head}` : "";
      const what = items.length === 0 ? "no messages yet" : `last ${items.length}${older}`;
      this.#screen.print([this.#colours.dim(`── ${visibleText(this.#labelOf(followed.room.name))}: ${what} ──`)]);
      for (const item of items) this.#showItem({ ...item, room: followed.room.name });
      if (head > 0) this.#markRead({ room: followed.room.name, seq: head });
      return head;
    } catch (cause) {
      // A direct room begins with its first message.
      if (!isDirect(followed.room.name) || !(cause instanceof ChatError) || cause.code !== "not_found") throw cause;
      this.#screen.print([
        this.#colours.dim(`── ${visibleText(this.#labelOf(followed.room.name))}: no messages yet ──`),
      ]);
      return 0;
    }
  }

  /** Asks again for as long as trying again can help. */
  async #untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await ask();
      } catch (cause) {
        const isFinal = !(cause instanceof ChatError) || !cause.retryable || this.#chat.state.name === "closed";
        if (isFinal) throw cause;
        await new Promise<void>((resolve) => {
          setTimeout(resolve, cause.retryAfterMs ?? 500);
        });
      }
    }
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
      this.#note("you are in no room");
      return;
    }
    followed.left = true;
    followed.stream?.end();
    this.#followed.delete(followed.room.name);
    const rest = Array.from(this.#followed.values()).find(({ left }) => !left);
    this.#current = rest ?? null;
    this.#drawPrompt();
    this.#drawPending();
    if (isDirect(followed.room.name)) return;
    this.#ask(async () => {
      await followed.room.leave();
      this.#note(`left ${this.#labelOf(followed.room.name)}`);
    });
  }

  // Asking

  async #listRooms(): Promise<void> {
    const rooms = await this.#chat.rooms();
    const { bold, dim } = this.#colours;
    if (rooms.length === 0) this.#note("you belong to no room");
    for (const { room, head, unread } of rooms) {
      const isShown = this.#followed.has(room);
      const news = isShown ? dim("shown here") : unread > 0 ? bold(`${unread} unread`) : dim("nothing new");
      this.#screen.print([
        `  ${visibleText(this.#labelOf(room))}  ${dim(`${head === 1 ? "1 message" : `${head} messages`},`)} ${news}`,
      ]);
    }
  }

  async #who(room: Room): Promise<void> {
    const { users, count } = await room.presence();
    this.#note(users === undefined ? `${count ?? 0} people are here` : `here: ${users.map(visibleText).join(", ")}`);
  }

  async #history(room: Room, limit: number): Promise<void> {
    const { items, first, more } = await room.history({ limit });
    const begin = more ? "" : `, from ${first} on there is nothing older`;
    this.#screen.print([
      this.#colours.dim(`── ${visibleText(this.#labelOf(room.name))}: last ${items.length}${begin} ──`),
    ]);
    for (const item of items) this.#showItem({ ...item, room: room.name }, { showSeq: true });
    this.#screen.print([this.#colours.dim("── now ──")]);
  }

  // Showing

  async #show(stream: MessageStream): Promise<void> {
    for await (const item of stream) {
      this.#arrived(item);
      if (item.gap === undefined) this.#markRead(item);
    }
  }

  #arrived(item: TimelineItem): void {
    if (item.gap !== undefined) {
      this.#json?.(item);
      this.#screen.print([gapLine(item.gap, this.#colours)]);
      return;
    }
    // Out of the pending lines and into its place.
    const pending = item.from === this.#chat.user ? this.#pending.get(keyOf(item)) : undefined;
    if (pending !== undefined) {
      pending.shown = true;
      if (pending.sent.outcome !== null) this.#pending.delete(keyOf(item));
    }
    this.#showItem(item);
    this.#drawPending();
  }

  #showItem(item: ShownMessage, options: { showSeq?: boolean } = {}): void {
    if (this.#json !== null) {
      this.#json(item);
      return;
    }
    const lines: string[] = [];
    if (dayOf(item.ts) !== this.#day) {
      this.#day = dayOf(item.ts);
      lines.push(this.#colours.dim(`── ${this.#day} ──`));
    }
    const user = this.#chat.user;
    const showRoom = item.room !== this.#current?.room.name;
    lines.push(...messageLines(item, { colours: this.#colours, user, showSeq: options.showSeq === true, showRoom }));
    this.#screen.print(lines);
  }

  /** One mark at a time in each room: who reads fast marks the last of what was read meanwhile. */
  #markRead({ room, seq }: { room: RoomName; seq: number }): void {
    if (!this.#marksRead) return;
    const isMarking = this.#readUpTo.has(room);
    this.#readUpTo.set(room, seq);
    if (isMarking) return;
    const name = isDirect(room) ? this.#chat.direct(peerIn(room, this.#chat.user)) : this.#chat.room(room);
    const marked = (): void => {
      const upTo = this.#readUpTo.get(room)!;
      this.#readUpTo.delete(room);
      if (upTo > seq) this.#markRead({ room, seq: upTo });
    };
    // A mark that is not taken is no loss: the next one says more.
    name.markRead(seq).then(marked, () => this.#readUpTo.delete(room));
  }

  #stateChanged(state: ChatState): void {
    switch (state.name) {
      case "online":
        this.#note(
          `${this.#lost ? "connected again" : "connected"} to ${state.node} at ${state.url} as ${this.#chat.user}`,
        );
        this.#lost = false;
        break;
      case "offline":
        // Said once: a server that is away is tried many times.
        if (!this.#lost)
          this.#note(`no connection (${reasonOf(state.reason)}); trying again, and keeping what you say`);
        this.#lost = true;
        break;
      case "unauthorized":
        this.#note(
          `no connection: ${state.reason}; what you say is kept. Renew the token in its file, then /reconnect`,
        );
        this.#lost = true;
        break;
      default:
        return;
    }
    this.#drawPrompt();
  }

  #drawPrompt(): void {
    const label = this.#current === null ? "no room" : visibleText(this.#current.label);
    const { bold, yellow } = this.#colours;
    this.#screen.setPrompt(this.#lost ? `${yellow("offline")} ${bold(label)}> ` : `${bold(label)}> `);
  }

  #labelOf(room: RoomName): string {
    return isDirect(room) ? `@${peerIn(room, this.#chat.user)}` : `#${room}`;
  }

  #note(text: string): void {
    this.#screen.note([this.#colours.dim(`· ${visibleText(text)}`)]);
  }

  /** After everything that was said before it, and once the room is there. */
  #ask(ask: () => Promise<void>): void {
    const before = Promise.all([this.#said, this.#current?.ready]);
    before.then(ask).catch((cause: unknown) => this.#failed(cause, null));
  }

  /** The same about the room that one is in now. */
  #askRoom(ask: (room: Room) => Promise<void>): void {
    const room = this.#current?.room;
    if (room === undefined) this.#note("you are in no room; /join one first");
    else this.#ask(() => ask(room));
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
    this.#note(`${what === null ? "" : `${what}: `}${cause.message} (${cause.code})`);
  }
}

const keyOf = ({ room, cid }: { readonly room: RoomName; readonly cid: string }): string => `${cid} ${room}`;

/** What WebSocket's code for "gone without a word" says to people. */
const reasonOf = (reason: string): string => (reason === "closed with 1006" ? "it broke" : reason);

function peerIn(room: RoomName, user: UserName): UserName {
  const [one, other] = membersOf(room);
  return one === user ? other : one;
}
