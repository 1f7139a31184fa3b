import type { RoomName, UserName } from "../../base/ids.ts";
import type { Chat } from "../../client/client.ts";
import { ChatError } from "../../client/outcome.ts";
import { reportError } from "./open-room.ts";

/** A room of the list. */
export interface JoinedRoom {
  readonly name: RoomName;
  /** The other one, in a direct room. */
  readonly with: UserName | null;
  readonly first: number;
  readonly head: number;
  readonly read: number;
}

type Known = Omit<JoinedRoom, "with">;

/** Rooms whose messages are followed as they come; the others are asked about now and then, own messages included. */
const followedMax = 100;
/** So far back behind the read mark one's own messages are looked for when the page begins to follow a room. */
const lookedBackMax = 100;
/** Own messages of one room that are told apart; more of them than that count as unread. */
const ownMax = 1_000;
const askEveryMs = 30_000;
const askAgainMs = 100;
const askAgainMax = 8;

/**
 * The rooms this user belongs to, direct ones included, and how much is unread in each.
 *
 * 1. The list is the server's, asked for with every link and every half minute; between, the rooms' own streams and
 *    the news of direct rooms move it on.
 * 2. `head` and `read` of a room never go back while it stays in the list, unless its history was replaced.
 * 3. What the user wrote, here or elsewhere, is not unread: the newest `lookedBackMax` messages before the page came, and all
 *    that come after, are told apart.
 */
export class JoinedRooms {
  readonly #chat: Chat;
  readonly #changed: () => void;
  readonly #rooms = new Map<RoomName, JoinedRoom>();
  /** Own messages behind the read mark, ascending. */
  readonly #own = new Map<RoomName, number[]>();
  readonly #followed = new Map<RoomName, AbortController>();
  readonly #ending = new AbortController();
  /** The list has come at least once. */
  known = false;

  constructor(options: { chat: Chat; changed: () => void }) {
    this.#chat = options.chat;
    this.#changed = options.changed;
    const stops = [
      this.#chat.on("room", ({ room, first, head, read }) => this.#learn({ name: room, first, head, read })),
      this.#chat.on("read", ({ room, user, seq }) => {
        if (user === this.#chat.user) this.marked(room, seq);
      }),
      this.#chat.on("reset", ({ room }) => {
        if (room === null) {
          this.#rooms.clear();
          this.#own.clear();
        } else {
          this.#rooms.delete(room);
          this.#own.delete(room);
        }
        this.refresh().catch(reportError);
      }),
    ];
    const timer = setInterval(() => {
      if (this.#chat.state.name === "online") this.refresh().catch(reportError);
    }, askEveryMs);
    this.#ending.signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const stop of stops) stop();
      for (const following of this.#followed.values()) following.abort();
    });
  }

  /** Rooms by name, then direct rooms by name. */
  get list(): readonly JoinedRoom[] {
    return [...this.#rooms.values()].sort((a, b) =>
      (a.with === null) === (b.with === null) ? compare(a.with ?? a.name, b.with ?? b.name) : a.with === null ? -1 : 1,
    );
  }

  get(name: RoomName): JoinedRoom | undefined {
    return this.#rooms.get(name);
  }

  /** Everything after the read mark, and after `mark`, that is still kept, but for what one wrote oneself. */
  unreadBehind({ name, first, head, read }: JoinedRoom, mark: number): number {
    const seen = Math.max(read, mark, first - 1);
    const own = this.#own.get(name)?.filter((seq) => seq > seen).length ?? 0;
    return Math.max(0, head - seen - own);
  }

  /** Asks the server for the list; answers whether it came. */
  async refresh(): Promise<boolean> {
    try {
      const rooms = await this.#chat.rooms({ signal: this.#ending.signal });
      const names = new Set(rooms.map(({ room }) => room));
      for (const name of this.#rooms.keys()) if (!names.has(name)) this.#forget(name);
      for (const { room, first, head, read } of rooms) this.#learn({ name: room, first, head, read });
      this.known = true;
      this.#changed();
      return true;
    } catch (error) {
      // No link, or none that answers: the next one asks again.
      if (error instanceof ChatError) return false;
      throw error;
    }
  }

  /**
   * Asks until the room is in the list, or is not, a few times: the server tells a user of a change of membership by a
   * notice of its own, which may come after the answer to the change.
   */
  async refreshUntil(name: RoomName, isMember: boolean): Promise<void> {
    for (let attempt = 0; attempt < askAgainMax && !this.#ending.signal.aborted; attempt++) {
      if (attempt > 0) {
        await new Promise<void>((resolve) => {
          setTimeout(resolve, askAgainMs * attempt);
        });
      }
      if (!(await this.refresh()) || this.#rooms.has(name) === isMember) return;
    }
  }

  /** The read mark stands here now. */
  marked(name: RoomName, seq: number): void {
    const room = this.#rooms.get(name);
    if (room === undefined || room.read >= seq) return;
    this.#put({ ...room, read: seq });
  }

  close(): void {
    this.#ending.abort();
  }

  #learn(news: Known): void {
    const known = this.#rooms.get(news.name);
    this.#put({
      name: news.name,
      first: Math.max(news.first, known?.first ?? 0),
      head: Math.max(news.head, known?.head ?? 0),
      read: Math.max(news.read, known?.read ?? 0),
    });
    this.#follow(news.name, Math.max(news.read, news.head - lookedBackMax));
  }

  #put({ name, first, head, read }: Known): void {
    const own = (this.#own.get(name) ?? []).filter((seq) => seq > read && seq >= first);
    if (own.length === 0) this.#own.delete(name);
    else this.#own.set(name, own);
    this.#rooms.set(name, { name, with: partnerOf(name, this.#chat.user), first, head, read });
    this.#changed();
  }

  /** This message is the user's own. */
  #mine(room: JoinedRoom, seq: number): void {
    const own = this.#own.get(room.name) ?? [];
    if (seq <= Math.max(room.read, own.at(-1) ?? 0)) return;
    this.#own.set(room.name, [...own, seq].slice(-ownMax));
  }

  #forget(name: RoomName): void {
    this.#rooms.delete(name);
    this.#own.delete(name);
    this.#followed.get(name)?.abort();
    this.#followed.delete(name);
  }

  #follow(name: RoomName, after: number): void {
    if (this.#followed.has(name) || this.#followed.size >= followedMax) return;
    const following = new AbortController();
    this.#followed.set(name, following);
    const pump = async (): Promise<void> => {
      for await (const item of this.#chat.room(name).messages({ after, signal: following.signal })) {
        const room = this.#rooms.get(name);
        if (room === undefined || item.gap?.reason === "reset") continue;
        const head = item.gap === undefined ? item.seq : item.gap.to;
        const isOwn = item.gap === undefined && item.from === this.#chat.user;
        if (isOwn) this.#mine(room, head);
        if (isOwn || head > room.head) this.#put({ ...room, head: Math.max(head, room.head) });
      }
    };
    pump().catch((error: unknown) => {
      if (following.signal.aborted) return;
      if (!(error instanceof ChatError)) throw error;
      // No room can be called that: whoever lists it is no server of ours, and would list it again.
      if (error.code === "bad_request") return;
      // Not readable any more: the list says what became of it.
      this.#followed.delete(name);
      this.refreshUntil(name, false).catch(reportError);
    });
  }
}

/** Who the other one of a direct room is; oneself where one writes to oneself; null for every other room. */
export function partnerOf(room: string, user: string): UserName | null {
  if (!room.startsWith("@")) return null;
  const comma = room.indexOf(",");
  const one = room.slice(1, comma);
  const other = room.slice(comma + 1);
  return (one === user ? other : one) as UserName;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
