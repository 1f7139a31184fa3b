import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { binaryEncoding } from "../client/binary-encoding.ts";
import { type Chat, connect } from "../client/client.ts";
import { jsonLinesEncoding } from "../client/json-lines-encoding.ts";
import type { Link, LinkEvents } from "../client/ports.ts";
import { ChatError, SendRefused } from "../client/outcome.ts";
import type { Room } from "../client/room.ts";
import type { SimStream } from "./connection-end.ts";
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";
import type { MessageContent } from "./room-history.ts";
import type { RunMarks } from "./run-marks.ts";
import type { HistoryRequest, SendOutcome, SimClient, SubscriptionSink } from "./sim-client.ts";
import { clientLink } from "./stream-adapters.ts";

/** How long a reader waits before it tries a room again that it may not read, or that is not there. */
const readAgainMs = 1_000;

/** What holds for a user over all devices and all lives of each. */
export interface Person {
  readonly user: string;
  /** Ids this user has sent. */
  readonly sent: Set<string>;
  /** How far each room was marked as read, answered or not. */
  readonly marked: Map<string, number>;
}

export interface SdkClientOptions {
  readonly person: Person;
  readonly host: SimHost;
  readonly network: Network;
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  readonly random: Random;
  readonly isBinary: boolean;
  /** Rooms that are made private, and that people are put out of. */
  readonly privateRooms: ReadonlySet<string>;
  readonly marks: RunMarks;
  /** How often a reader who wants to know asks whether it has everything. */
  readonly askHeadMs: number;
  /** Called before anything that speaks of what a room keeps is passed on. */
  readonly beforeNews: () => void;
}

/** The shipped SDK as a client of the simulated world: only the network under it is not the real one. */
export class SdkClient implements SimClient {
  readonly user: string;
  readonly chat: Chat;
  readonly #options: SdkClientOptions;
  #stream: SimStream | null = null;
  #events: LinkEvents | null = null;
  #isSlow = false;
  connections = 0;
  /** Where the last connection was begun to; null before the first. */
  server: string | null = null;

  constructor(options: SdkClientOptions) {
    this.user = options.person.user;
    this.#options = options;
    options.marks.count(options.isBinary ? "client in binary" : "client in JSON");
    const urls = options.servers.map(({ host, port }) => `tcp://${host}:${port}`);
    const format: Link["format"] = options.isBinary ? "binary-stream" : "json-lines";
    this.chat = connect(urls, {
      user: this.user,
      clock: options.host.clock,
      random: options.random,
      encodings: { "binary-stream": binaryEncoding("stream"), "json-lines": jsonLinesEncoding() },
      dial: { connect: (url, events) => this.#dial(url, format, events) },
    });
  }

  #dial(url: string, format: Link["format"], events: LinkEvents): Link {
    this.connections++;
    const { hostname, port } = new URL(url);
    this.server = hostname;
    const stream = this.#options.network.dial(this.#options.host, { host: hostname, port: Number(port) });
    this.#stream = stream;
    this.#events = events;
    const link = clientLink(stream, format, events);
    if (this.#isSlow) stream.pauseReading();
    return link;
  }

  #room(name: string): Room {
    if (!name.startsWith("@")) return this.chat.room(name);
    const people = name.slice(1).split(",");
    return this.chat.direct(people[0] === this.user ? people[1]! : people[0]!);
  }

  async send(message: Omit<MessageContent, "from">): Promise<SendOutcome> {
    const room = this.#room(message.room);
    const { cid, kind, ref } = message;
    try {
      const { sent } = this.#options.person;
      const isNewCid = !sent.has(cid);
      sent.add(cid);
      const stored = await room.send(message.body, { cid, isNewCid, kind, ...(ref === 0 ? {} : { ref }) });
      const seq = stored.seq!;
      if (stored.dup) this.#options.marks.count("repeat answered");
      if (stored.ts !== null && stored.epoch !== null) {
        return { outcome: "stored", seq, ts: stored.ts, epoch: stored.epoch, dup: stored.dup };
      }
      // A lookup tells the place only; the rest stands in the room.
      const page = await room.history({ after: seq - 1, limit: 1 });
      const found = page.items[0];
      if (found === undefined || found.seq !== seq) return { outcome: "unknown" };
      return { outcome: "stored", seq, ts: found.ts, epoch: found.epoch, dup: stored.dup };
    } catch (error) {
      if (!(error instanceof SendRefused)) return { outcome: "unknown" };
      this.#options.marks.count(error.code === "id_conflict" ? "conflict answered" : "send refused");
      return { outcome: "refused", code: error.code };
    } finally {
      this.#options.beforeNews();
    }
  }

  subscribe(
    request: { readonly room: string; readonly after: number | "latest" },
    sink: SubscriptionSink,
  ): { end(): void } {
    const room = this.#room(request.room);
    const { host, privateRooms, marks, askHeadMs, beforeNews } = this.#options;
    const isPrivate = privateRooms.has(request.room);
    const stop = new AbortController();
    let position = request.after === "latest" ? -1 : request.after;
    let wasOut = false;
    let isOver = false;
    const read = async (): Promise<void> => {
      const stream = room.messages({ after: position < 0 ? "latest" : position, signal: stop.signal });
      for await (const item of stream) {
        if (isOver) return;
        beforeNews();
        if (item.gap !== undefined) {
          if (isPrivate && item.gap.reason === "removed") {
            // No gap in what is there: the refusal follows, and whoever is let in again goes on from where he was.
            marks.count("put out of a private room");
            wasOut = true;
            continue;
          }
          marks.count("gap told");
          position = item.gap.to;
          sink.gap(item.gap);
          continue;
        }
        if (wasOut) {
          marks.count("let in again");
          wasOut = false;
        }
        const { seq, ts, epoch, from, cid, kind, ref, body } = item;
        position = seq;
        sink.message({ room: request.room, seq, ts, epoch, from, cid, kind, ref: ref ?? 0, body });
      }
    };
    // A room that is not there yet, or that may not be read now, ends the reading. Whoever wants it tries again.
    const keepReading = (): void => {
      if (isOver) return;
      const again = (): void => {
        host.clock.after(millis(readAgainMs), () => {
          if (!isOver) sink.askedAgain();
          keepReading();
        });
      };
      read().then(again, (error: unknown) => {
        if (!isOver && error instanceof ChatError && error.code === "not_found") sink.refused();
        again();
      });
    };
    keepReading();
    const offRead = this.chat.on("read", (mark) => {
      // Who leaves a private room leaves their mark behind too, and begins anew.
      if (mark.room === room.name && !isOver && !isPrivate) sink.mark(mark);
    });
    const ask = (): void => {
      if (isOver) return;
      room.history({ limit: 1, level: "linearizable" }).then(
        ({ head }) => {
          if (!isOver && position >= head) sink.caughtUp(position);
        },
        () => undefined,
      );
      host.clock.after(millis(askHeadMs), ask);
    };
    if (request.after === 0) host.clock.after(millis(askHeadMs), ask);
    return {
      end: () => {
        isOver = true;
        offRead();
        stop.abort();
      },
    };
  }

  async history(request: HistoryRequest): ReturnType<SimClient["history"]> {
    const { before, after, around, limit, linearizable, atLeast } = request;
    const page = await this.#room(request.room).history({
      before,
      after,
      around,
      limit,
      level: linearizable ? "linearizable" : "local",
      atLeast,
    });
    this.#options.beforeNews();
    const items = page.items.map(({ seq, ts, epoch, from, cid, kind, ref, body }) => {
      return { room: request.room, seq: seq!, ts, epoch, from, cid, kind, ref: ref ?? 0, body };
    });
    return { items, first: page.first, head: page.head };
  }

  async lookup(request: {
    readonly room: string;
    readonly from: string;
    readonly cid: string;
  }): ReturnType<SimClient["lookup"]> {
    const found = await this.#room(request.room).lookup(request.cid, request.from);
    this.#options.beforeNews();
    return found;
  }

  async markRead(request: { readonly room: string; readonly seq: number }): Promise<void> {
    const { marked } = this.#options.person;
    marked.set(request.room, Math.max(marked.get(request.room) ?? 0, request.seq));
    await this.#room(request.room).markRead(request.seq);
  }

  async join(room: string): Promise<void> {
    await this.#room(room).join({ private: this.#options.privateRooms.has(room) });
  }

  async leave(room: string): Promise<void> {
    await this.#room(room).leave();
  }

  async invite(room: string, user: string): Promise<void> {
    await this.#room(room).invite(user);
    this.#options.marks.count("invited by a member");
  }

  async remove(room: string, user: string): Promise<void> {
    await this.#room(room).remove(user);
    this.#options.marks.count("removed by a member");
  }

  async members(room: string): ReturnType<SimClient["members"]> {
    const { members, more } = await this.#room(room).members();
    this.#options.marks.count("members listed");
    return { members: members.map(({ user }) => user), more };
  }

  reconnect(): void {
    this.#stream?.destroy();
    this.#events?.closed(null, "dropped");
  }

  readSlowly(isSlow: boolean): void {
    this.#isSlow = isSlow;
    if (isSlow) this.#stream?.pauseReading();
    else this.#stream?.resumeReading();
  }
}
