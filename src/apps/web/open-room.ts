import type { RoomName, UserName } from "../../base/ids.ts";
import { ChatError } from "../../client/outcome.ts";
import type { Presence } from "../../client/events.ts";
import type { TimelineItem } from "../../client/reader.ts";
import type { HistoryPage, Room } from "../../client/room.ts";
import { Amendments } from "./amendments.ts";
import { TimelineWindow } from "./timeline-window.ts";

export type RoomPhase =
  | { readonly name: "loading" }
  | { readonly name: "ready" }
  /** The server knows no such room, or not for this user. */
  | { readonly name: "absent" }
  | { readonly name: "failed"; readonly code: string; readonly message: string };

export interface RoomEvents {
  /** Something to show has changed. */
  changed(): void;
  /** A message of this user stands in the order now. */
  shown(room: RoomName, cid: string): void;
  /** The room begins anew: what was stored before may be gone. */
  reset(room: RoomName): void;
}

const pageItems = 60;
/** Typing is told again every two seconds by whoever goes on. */
const typingMs = 4_000;
const typistsMax = 20;
const readersMax = 200;

/**
 * The room that is on the page: a window on its order, filled from history at both ends and from the live stream.
 *
 * 1. The stream continues exactly where the first page ended, so nothing lies between them.
 * 2. The stream is read also while the window stands elsewhere: edits are never missed, and `head` is always known.
 * 3. After `close` nothing changes any more.
 */
export class OpenRoom {
  readonly room: Room;
  readonly user: UserName;
  readonly window = new TimelineWindow();
  readonly amendments = new Amendments();
  phase: RoomPhase = { name: "loading" };
  presence: Presence | null = null;
  /** Up to where others have read, as far as it was told since the room was opened. */
  readonly readUpTo = new Map<UserName, number>();
  /** The history was replaced while the room was on the page. */
  wasReset = false;
  /** Whether the reader stands at the end; set by the view. */
  follows = true;
  /** Messages that came while the reader stood elsewhere. */
  newBelow = 0;
  loading: "older" | "newer" | null = null;
  readonly #events: RoomEvents;
  readonly #typists = new Map<UserName, number>();
  readonly #ending = new AbortController();
  #stream: AbortController | null = null;
  #starting = false;

  constructor(options: { room: Room; user: UserName; events: RoomEvents }) {
    this.room = options.room;
    this.user = options.user;
    this.#events = options.events;
    this.#listen();
  }

  get typists(): readonly UserName[] {
    const now = performance.now();
    return [...this.#typists].filter(([, until]) => until > now).map(([user]) => user);
  }

  /** Loads the newest page and follows what comes after it. Does nothing when that is under way or done. */
  async start(): Promise<void> {
    if (this.#starting || this.#stream !== null || this.#ending.signal.aborted) return;
    this.#starting = true;
    this.phase = { name: "loading" };
    this.#events.changed();
    try {
      const page = await this.room.history({ limit: pageItems, signal: this.#ending.signal });
      this.#take(page);
      this.window.start(page);
      this.phase = { name: "ready" };
      this.#follow(this.window.last);
      this.#askPresence();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#starting = false;
    }
    if (this.phase.name === "ready" && this.window.rows.length < 20) await this.loadOlder();
    this.#events.changed();
  }

  /** A page further back, until there is something more to see. */
  async loadOlder(): Promise<void> {
    await this.#load("older", async (signal) => {
      while (!this.window.isAtStart) {
        const before = this.window.first;
        const page = await this.room.history({ before, limit: pageItems, signal });
        this.#take(page);
        if (this.window.prepend(page, before) || before === this.window.first) return;
      }
    });
  }

  /** The page after the window, which had left the newest behind. */
  async loadNewer(): Promise<void> {
    await this.#load("newer", async (signal) => {
      while (!this.window.isAtHead) {
        const after = this.window.last;
        const page = await this.room.history({ after, limit: pageItems, signal });
        this.#take(page);
        if (this.window.append(page, after) || after === this.window.last) return;
      }
    });
  }

  /** Back to the newest page, whatever lies between. */
  async toNewest(): Promise<void> {
    if (this.window.isAtHead || this.phase.name !== "ready") return;
    await this.#load("newer", async (signal) => {
      const page = await this.room.history({ limit: pageItems, signal });
      this.#take(page);
      // What the stream has given beyond this page is asked for next.
      const { head } = this.window;
      this.window.start(page);
      this.window.head = Math.max(this.window.head, head);
    });
    this.follows = true;
    this.newBelow = 0;
    if (!this.window.isAtHead) await this.loadNewer();
  }

  /** There is a link again. */
  online(): void {
    if (this.#stream === null) this.start().catch(reportError);
    else this.#askPresence();
  }

  /** There is no link: who is here is not known. */
  offline(): void {
    this.presence = null;
    this.#typists.clear();
  }

  close(): void {
    this.#ending.abort();
    this.#stream?.abort();
  }

  #listen(): void {
    const { signal } = this.#ending;
    const stops = [
      this.room.on("presence", (presence) => {
        this.presence = presence;
        this.#events.changed();
      }),
      this.room.on("read", ({ user, seq }) => {
        if (user === this.user) return;
        if (this.readUpTo.size >= readersMax && !this.readUpTo.has(user)) return;
        this.readUpTo.set(user, Math.max(seq, this.readUpTo.get(user) ?? 0));
        this.#events.changed();
      }),
      this.room.on("typing", ({ user }) => {
        if (user === this.user || (this.#typists.size >= typistsMax && !this.#typists.has(user))) return;
        this.#typists.set(user, performance.now() + typingMs);
        this.#events.changed();
        setTimeout(() => {
          if ((this.#typists.get(user) ?? 0) <= performance.now()) this.#typists.delete(user);
          if (!signal.aborted) this.#events.changed();
        }, typingMs + 50);
      }),
    ];
    // Presence is gossip that may be lost; asking again bounds its age.
    const timer = setInterval(() => {
      if (this.presence !== null) this.#askPresence();
    }, 30_000);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const stop of stops) stop();
    });
  }

  async #load(which: "older" | "newer", work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.loading !== null || this.phase.name !== "ready") return;
    this.loading = which;
    this.#events.changed();
    try {
      await work(this.#ending.signal);
    } catch (error) {
      // The window stands as it was; scrolling on, or the next link, tries again.
      if (!(error instanceof ChatError)) throw error;
    } finally {
      this.loading = null;
      this.#events.changed();
    }
  }

  #take(page: HistoryPage): void {
    for (const message of page.items) {
      this.amendments.add(message);
      if (message.from === this.user) this.#events.shown(this.room.name, message.cid);
    }
  }

  #follow(after: number): void {
    const stream = new AbortController();
    this.#stream = stream;
    const pump = async (): Promise<void> => {
      for await (const item of this.room.messages({ after, signal: stream.signal })) {
        if (stream.signal.aborted) return;
        if (item.gap?.reason === "reset") {
          this.#begin(stream);
          return;
        }
        this.#live(item);
      }
    };
    pump().catch((error: unknown) => {
      if (stream.signal.aborted) return;
      this.#stream = null;
      this.#failed(error);
      this.#events.changed();
    });
  }

  #live(item: TimelineItem): void {
    if (item.gap !== undefined) {
      this.window.liveGap(item.gap);
      this.#events.changed();
      return;
    }
    this.amendments.add(item);
    const rows = this.window.rows.length;
    const added = this.window.live(item, this.follows);
    if (!this.follows && (!added || this.window.rows.length > rows)) this.newBelow++;
    this.#typists.delete(item.from);
    if (item.from === this.user) this.#events.shown(this.room.name, item.cid);
    this.#events.changed();
  }

  // The room has another history: forget this one and begin anew.
  #begin(stream: AbortController): void {
    stream.abort();
    this.#stream = null;
    this.window.clear();
    this.amendments.clear();
    this.readUpTo.clear();
    this.wasReset = true;
    this.#events.reset(this.room.name);
    this.start().catch(reportError);
  }

  #failed(error: unknown): void {
    if (this.#ending.signal.aborted) return;
    if (!(error instanceof ChatError)) throw error;
    this.phase =
      error.code === "not_found" ? { name: "absent" } : { name: "failed", code: error.code, message: error.message };
  }

  #askPresence(): void {
    this.room.presence({ signal: this.#ending.signal }).then(
      (presence) => {
        if (this.#ending.signal.aborted) return;
        this.presence = presence;
        this.#events.changed();
      },
      () => {
        // Not known, then; it is asked again with the next link.
        this.presence = null;
        this.#events.changed();
      },
    );
  }
}

/** For promises that nobody waits for: an error of the program comes up where the platform reports such. */
export function reportError(error: unknown): void {
  setTimeout(() => {
    throw error;
  }, 0);
}
