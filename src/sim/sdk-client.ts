import type { Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { binaryEncoding } from "../client/binary-encoding.ts";
import { type Chat, connect } from "../client/client.ts";
import type { Link, LinkEvents } from "../client/ports.ts";
import { SendRefused } from "../client/outcome.ts";
import type { Room } from "../client/room.ts";
import type { SimStream } from "./connection-end.ts";
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";
import type { MessageContent } from "./room-history.ts";
import type { HistoryRequest, SendOutcome, SimClient, SubscriptionSink } from "./sim-client.ts";
import { clientLink } from "./stream-adapters.ts";

/** How often a reader who wants to know asks whether it has everything. */
const askHeadMs = 500;

/** The shipped SDK as a client of the simulated world: only the network under it is not the real one. */
export class SdkClient implements SimClient {
  readonly user: string;
  readonly chat: Chat;
  readonly #host: SimHost;
  readonly #network: Network;
  #stream: SimStream | null = null;
  #events: LinkEvents | null = null;
  #isSlow = false;
  /** Ids this user has sent, in this life or an earlier one. */
  readonly #sent: Set<string>;

  constructor(options: {
    sent: Set<string>;
    user: string;
    host: SimHost;
    network: Network;
    servers: readonly { host: string; port: number }[];
    random: Random;
    isBinary: boolean;
  }) {
    this.user = options.user;
    this.#sent = options.sent;
    this.#host = options.host;
    this.#network = options.network;
    const urls = options.servers.map(({ host, port }) => `tcp://${host}:${port}`);
    const format: Link["format"] = options.isBinary ? "binary-stream" : "json-lines";
    this.chat = connect(urls, {
      user: options.user,
      clock: options.host.clock,
      random: options.random,
      encodings: { "binary-stream": binaryEncoding("stream") },
      dial: { connect: (url, events) => this.#dial(url, format, events) },
    });
  }

  #dial(url: string, format: Link["format"], events: LinkEvents): Link {
    const { hostname, port } = new URL(url);
    const stream = this.#network.dial(this.#host, { host: hostname, port: Number(port) });
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
      const isNewCid = !this.#sent.has(cid);
      this.#sent.add(cid);
      const stored = await room.send(message.body, { cid, isNewCid, kind, ...(ref === 0 ? {} : { ref }) });
      const seq = stored.seq!;
      if (stored.ts !== null && stored.epoch !== null) {
        return { outcome: "stored", seq, ts: stored.ts, epoch: stored.epoch, dup: stored.dup };
      }
      // A lookup tells the place only; the rest stands in the room.
      const page = await room.history({ after: seq - 1, limit: 1 });
      const found = page.items[0];
      if (found === undefined || found.seq !== seq) return { outcome: "unknown" };
      return { outcome: "stored", seq, ts: found.ts, epoch: found.epoch, dup: stored.dup };
    } catch (error) {
      return error instanceof SendRefused ? { outcome: "refused", code: error.code } : { outcome: "unknown" };
    }
  }

  subscribe(
    request: { readonly room: string; readonly after: number | "latest" },
    sink: SubscriptionSink,
  ): { end(): void } {
    const room = this.#room(request.room);
    const stop = new AbortController();
    const stream = room.messages({ after: request.after, signal: stop.signal });
    let position = request.after === "latest" ? -1 : request.after;
    let isOver = false;
    const read = async (): Promise<void> => {
      for await (const item of stream) {
        if (isOver) return;
        if (item.gap !== undefined) {
          position = item.gap.to;
          sink.gap(item.gap);
          continue;
        }
        const { seq, ts, epoch, from, cid, kind, ref, body } = item;
        position = seq;
        sink.message({ room: request.room, seq, ts, epoch, from, cid, kind, ref: ref ?? 0, body });
      }
    };
    // A room that is not there yet, or no longer readable, ends the reading; that is no wrong of anybody's.
    read().catch(() => undefined);
    const offRead = this.chat.on("read", (mark) => {
      if (mark.room === room.name && !isOver) sink.mark(mark);
    });
    const ask = (): void => {
      if (isOver) return;
      room.history({ limit: 1, level: "linearizable" }).then(
        ({ head }) => {
          if (!isOver && position >= head) sink.caughtUp(position);
        },
        () => undefined,
      );
      this.#host.clock.after(millis(askHeadMs), ask);
    };
    if (request.after === 0) this.#host.clock.after(millis(askHeadMs), ask);
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
    return this.#room(request.room).lookup(request.cid, request.from);
  }

  async markRead(request: { readonly room: string; readonly seq: number }): Promise<void> {
    await this.#room(request.room).markRead(request.seq);
  }

  async join(room: string): Promise<void> {
    await this.#room(room).join();
  }

  async leave(room: string): Promise<void> {
    await this.#room(room).leave();
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
