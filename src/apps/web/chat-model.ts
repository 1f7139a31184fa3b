import type { RoomName } from "../../base/ids.ts";
import type { Chat } from "../../client/client.ts";
import type { ChatState } from "../../client/events.ts";
import { ChatError } from "../../client/outcome.ts";
import type { Room } from "../../client/room.ts";
import type { SentMessage } from "../../client/sent-message.ts";
import type { KeptOutbox } from "./kept-outbox.ts";
import { type JoinedRoom, JoinedRooms, partnerOf } from "./joined-rooms.ts";
import { OpenRoom, reportError } from "./open-room.ts";
import { type OwnSend, OwnSends } from "./own-sends.ts";
import { ReadMarks } from "./read-marks.ts";

/** Something that went wrong and belongs to no message. */
export interface Notice {
  readonly number: number;
  readonly code: string;
  readonly message: string;
  /** About a place that could not be shown, joined or left: past when another one is shown. */
  readonly isOfPlace: boolean;
}

const noticesMax = 3;
const typingEveryMs = 2_000;
export const firstRoom = "lobby";

/**
 * Everything the page shows about one user, made of the SDK's own words. Views read it and call it; it tells them by
 * `subscribe` that something is different.
 */
export class ChatModel {
  readonly chat: Chat;
  /** Where `chat` keeps what waits. */
  readonly outbox: KeptOutbox;
  readonly rooms: JoinedRooms;
  readonly sends = new OwnSends();
  readonly #marks = new ReadMarks((name, upTo) => this.rooms.marked(name, upTo));
  open: OpenRoom | null = null;
  notices: readonly Notice[] = [];
  /** The message whose text is being changed, in the open room. */
  editing: { readonly seq: number; readonly body: string } | null = null;
  /** What was written and not sent, by room. */
  readonly drafts = new Map<RoomName, string>();
  readonly #listeners = new Set<() => void>();
  #noticeCount = 0;
  #typedAt = -typingEveryMs;
  #settledIn = false;
  /** The server has taken this user in once: a refusal since then is of a token that has run out. */
  wasOnline = false;

  constructor(chat: Chat, outbox: KeptOutbox) {
    this.chat = chat;
    this.outbox = outbox;
    outbox.onHeld = () => this.#tell();
    this.rooms = new JoinedRooms({ chat, changed: () => this.#tell() });
    chat.on("state", (state) => this.#stateChanged(state));
    chat.on("send", (sent) => this.#outcome(sent));
    chat.on("error", ({ code, message }) => {
      // The state tells it, and for as long as it is so.
      if (code !== "unauthorized") this.notice(code, message);
    });
    chat.on("room", ({ room }) => this.#appeared(room));
    chat.on("reset", ({ room }) => {
      if (room === null) this.#reopen();
    });
  }

  get state(): ChatState {
    return this.chat.state;
  }

  /** What `show` was given for what is shown, as the address has it; null when nothing is. */
  get place(): string | null {
    if (this.open === null) return null;
    const { name } = this.open.room;
    const partner = partnerOf(name, this.chat.user);
    return partner === null ? name : `@${partner}`;
  }

  /** Calls `listener` after every change. Answers how to stop. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Shows this room, or the direct room with `@user`. Answers whether there can be such a room. */
  show(place: string): boolean {
    let room: Room;
    try {
      room = place.startsWith("@") ? this.#direct(place) : this.chat.room(place);
    } catch (error) {
      if (!(error instanceof ChatError)) throw error;
      this.#noticeOfPlace(error);
      return false;
    }
    if (this.open?.room.name === room.name) return true;
    if (this.open !== null) {
      this.notices = this.notices.filter((notice) => !notice.isOfPlace);
      this.sends.removeStored(this.open.room.name);
      this.open.close();
    }
    this.editing = null;
    this.open = new OpenRoom({
      room,
      user: this.chat.user,
      events: {
        changed: () => this.#tell(),
        shown: (name, cid) => this.#standsInOrder(name, cid),
        reset: (name) => this.sends.removeStored(name),
      },
    });
    if (this.chat.state.name === "online") this.open.online();
    this.#tell();
    return true;
  }

  /** Becomes a member, and makes the room where that is allowed. Answers whether that went well. What is shown stays. */
  async join(name: string): Promise<boolean> {
    try {
      const room = this.chat.room(name);
      await room.join();
      await this.rooms.refreshUntil(room.name, true);
      if (this.open?.room.name === room.name) this.open.online();
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  async leave(room: Room): Promise<boolean> {
    try {
      await room.leave();
      await this.rooms.refreshUntil(room.name, false);
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    }
  }

  send(room: Room, body: string, options: { kind?: string; ref?: number } = {}): void {
    const sent = room.send(body, options);
    this.sends.add({ sent, room, asked: null });
    // What is typed next is another message.
    this.#typedAt = -typingEveryMs;
    this.#tell();
  }

  /** A refused message once more: a new one, at the end. */
  retry({ sent, room }: OwnSend): void {
    const { kind, ref, body } = sent.content;
    sent.dismiss();
    this.sends.remove(sent.room, sent.cid);
    this.send(room, body, { ...(kind === null ? {} : { kind }), ...(ref === null ? {} : { ref }) });
  }

  dismiss({ sent }: OwnSend): void {
    sent.dismiss();
    this.sends.remove(sent.room, sent.cid);
    this.#tell();
  }

  /** Asks the server whether a message of unknown outcome is stored. */
  async ask(own: OwnSend): Promise<void> {
    const { sent, room } = own;
    own.asked = { answer: "pending" };
    this.#tell();
    try {
      const { seq, head } = await room.lookup(sent.cid);
      // Found: the room's order shows it, now or when the reader comes to its place.
      if (seq !== null) this.#standsInOrder(sent.room, sent.cid);
      own.asked = { answer: "absent", head };
    } catch (error) {
      if (!(error instanceof ChatError)) throw error;
      own.asked = { answer: "failed" };
    }
    this.#tell();
  }

  /** What is unread in a room: nothing where the reader looks right now, and nothing that a mark on its way covers. */
  unreadIn(room: JoinedRoom): number {
    const { open } = this;
    const looksAt = open !== null && open.room.name === room.name && open.follows && open.phase.name === "ready";
    if (looksAt && document.visibilityState === "visible") return 0;
    return this.rooms.unreadBehind(room, this.#marks.underWay(room.name));
  }

  /** The reader stands at the end of the open room and sees it: everything up to here is read. */
  seen(): void {
    const { open } = this;
    if (open === null || this.chat.state.name !== "online") return;
    const joined = this.rooms.get(open.room.name);
    const upTo = open.window.last;
    if (joined === undefined || !open.window.isAtHead || upTo === 0 || joined.read >= upTo) return;
    this.#marks.mark(open.room, upTo);
  }

  /** The user types in the open room; told at most every two seconds. */
  typing(): void {
    const now = performance.now();
    if (this.open === null || now - this.#typedAt < typingEveryMs) return;
    this.#typedAt = now;
    this.open.room.typing();
  }

  edit(seq: number, body: string): void {
    this.editing = { seq, body };
    this.#tell();
  }

  cancelEdit(): void {
    this.editing = null;
    this.#tell();
  }

  notice(code: string, message: string, isOfPlace = false): void {
    // The newest of its kind stands for all: what somebody tries again and again must not push the page away.
    const others = this.notices.filter((notice) => notice.code !== code);
    this.notices = [...others, { number: ++this.#noticeCount, code, message, isOfPlace }].slice(-noticesMax);
    this.#tell();
  }

  #noticeOfPlace({ code, message }: ChatError): void {
    this.notice(code, message, true);
  }

  dismissNotice(number: number): void {
    this.notices = this.notices.filter((notice) => notice.number !== number);
    this.#tell();
  }

  /** Its room has it: nothing of it is left to say, also not with the next page. */
  #standsInOrder(room: RoomName, cid: string): void {
    const own = this.sends.of(room).find(({ sent }) => sent.cid === cid);
    if (own?.sent.state === "unknown") own.sent.dismiss();
    this.sends.remove(room, cid);
  }

  #direct(place: string): Room {
    // Either `@bob`, as a person writes it, or the name of the room itself.
    const user = place.includes(",") ? partnerOf(place, this.chat.user) : place.slice(1);
    return this.chat.direct(user ?? "");
  }

  #stateChanged(state: ChatState): void {
    if (state.name === "online") {
      this.wasOnline = true;
      this.#online().catch(reportError);
    } else this.open?.offline();
    this.#tell();
  }

  async #online(): Promise<void> {
    this.open?.online();
    const known = await this.rooms.refresh();
    if (!known || this.#settledIn) return;
    this.#settledIn = true;
    // Whoever belongs nowhere, and came for no other place, begins in the lobby.
    const belongs = this.rooms.list.some((room) => room.with === null);
    if (!belongs && this.open?.room.name === firstRoom) await this.join(firstRoom);
  }

  #outcome(sent: SentMessage): void {
    const shown = this.open?.room.name === sent.room;
    if (sent.state !== "stored") {
      // What an earlier life of the page left is news here.
      if (!this.sends.knows(sent)) this.sends.add({ sent, room: this.#roomOf(sent.room), asked: null });
    } else if (!shown) {
      this.sends.remove(sent.room, sent.cid);
    } else if (this.open !== null && this.open.phase.name === "absent") {
      this.open.online();
    }
    if (sent.state === "stored" && sent.room.startsWith("@") && this.rooms.get(sent.room) === undefined) {
      this.rooms.refreshUntil(sent.room, true).catch(reportError);
    }
    this.#tell();
  }

  #appeared(room: RoomName): void {
    if (this.open?.room.name === room && this.open.phase.name === "absent") this.open.online();
  }

  // Another cluster answers: what is on the page is of the one before.
  #reopen(): void {
    const { open } = this;
    if (open === null) return;
    this.sends.removeStored(open.room.name);
    open.close();
    this.open = null;
    this.show(open.room.name);
  }

  #roomOf(name: RoomName): Room {
    const partner = partnerOf(name, this.chat.user);
    return partner === null ? this.chat.room(name) : this.chat.direct(partner);
  }

  #failed(error: unknown): void {
    if (!(error instanceof ChatError)) throw error;
    this.#noticeOfPlace(error);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
