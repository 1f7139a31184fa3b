import type { Cid, Line, NodeName, RoomName, Seq, UserName } from "../base/ids.ts";
import type { ClientFrame, Message, ServerFrameOf } from "../protocol/schema.ts";
import type { ChatEvents, Presence } from "./events.ts";
import type { MessageStream } from "./message-stream.ts";
import { ChatError } from "./outcome.ts";
import type { SentMessage } from "./sent-message.ts";
import type { Timeline } from "./timeline.ts";

export interface SendOptions {
  /** `text` if not given. */
  readonly kind?: string | undefined;
  /** The `seq` that an edit, deletion or reaction refers to. */
  readonly ref?: number | undefined;
  /**
   * The message's id, if it should be known from elsewhere; made if not given. It may have been sent before, here or in
   * another life: then this is a repeat, and costs the pipeline a turn, since nobody here knows where it stands.
   */
  readonly cid?: string | undefined;
  /** The caller vouches that `cid` was never sent before. @defaultValue false */
  readonly isNewCid?: boolean | undefined;
  /** Gives up. What was attempted before may be stored all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface MessagesOptions {
  /** The last `seq` already had; 0 for all; `latest` for new ones only. */
  readonly after: number | "latest";
  /** Ends the iteration. */
  readonly signal?: AbortSignal | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long it may take, in milliseconds. @defaultValue `requestWithinMs` of the client */
  readonly withinMs?: number | undefined;
}

export interface HistoryOptions extends RequestOptions {
  /** The newest below, the oldest above, or half and half around this `seq`; at most one of them. None: the newest. */
  readonly before?: number | undefined;
  readonly after?: number | undefined;
  readonly around?: number | undefined;
  readonly limit?: number | undefined;
  /** `local`: what the server has, this client's own messages included. `linearizable`: what was stored before asking. */
  readonly level?: "local" | "linearizable" | undefined;
  readonly atLeast?: number | undefined;
}

export interface HistoryPage {
  readonly room: RoomName;
  readonly line: Line;
  /** In the order of `seq`. */
  readonly items: readonly Message[];
  /** The oldest `seq` still kept, and the newest. */
  readonly first: Seq;
  readonly head: Seq;
  /** There is more in the direction that was asked for. */
  readonly more: boolean;
  readonly node: NodeName;
  /** So long, in milliseconds, the server had not known who orders: others may have more. Absent: it knew. */
  readonly ageMs?: number;
}

export interface Found {
  /** Where it is; null: not stored up to `head`. */
  readonly seq: Seq | null;
  readonly head: Seq;
  /** The oldest `seq` still kept: what was stored before it and removed is not found. */
  readonly first?: Seq;
}

export interface MembersPage {
  readonly members: readonly { readonly user: UserName; readonly role: "owner" | "moderator" | "member" }[];
  readonly count: number;
  /** There are more behind the last of these. */
  readonly more: boolean;
}

/** What a room needs of the client it belongs to. */
export interface RoomHost {
  send(room: RoomName, to: UserName | null, body: string, options: SendOptions): SentMessage;
  messages(room: RoomName, options: MessagesOptions): MessageStream;
  /** Asks, and answers with the `ok` of this name; throws a `ChatError` otherwise. */
  request<Name extends AnswerName>(
    frameOf: (id: number) => ClientFrame,
    options: RequestOptions,
  ): Promise<ServerFrameOf<Name>>;
  timeline(room: RoomName): Timeline;
  /** What the server said of itself, if any has yet. */
  server(): ServerFrameOf<"welcome"> | null;
  /** Says something that needs no answer; lost without a link. */
  say(frame: ClientFrame): void;
  on<Name extends keyof ChatEvents>(name: Name, listener: (event: ChatEvents[Name]) => void): () => void;
}

/** What requests are answered with. */
export type AnswerName = "okRooms" | "okHist" | "okLookup" | "okJoin" | "okPresence" | "okMembers" | "okDone";

/** One room, or the direct room with one user. Holds nothing but its name; make as many as you like. */
export class Room {
  readonly name: RoomName;
  readonly #to: UserName | null;
  readonly #host: RoomHost;

  constructor(host: RoomHost, name: RoomName, to: UserName | null) {
    this.#host = host;
    this.name = name;
    this.#to = to;
  }

  /**
   * Puts a message in order behind this client's earlier ones in this room. Never throws: await the answer to learn
   * where it is stored, or why not. Sent again until there is an answer, on whatever server, with the same cid.
   */
  send(body: string, options: SendOptions = {}): SentMessage {
    return this.#host.send(this.name, this.#to, body, options);
  }

  /**
   * All messages after a place, in order, each once, across reconnects and servers. What cannot be given is an item
   * with `gap`. Begins with the call, so that `latest` means "from now on"; waits for a consumer that does not read.
   */
  messages(options: MessagesOptions): MessageStream {
    return this.#host.messages(this.name, options);
  }

  async history(options: HistoryOptions = {}): Promise<HistoryPage> {
    const { name: room } = this;
    const { before, after, around, level } = options;
    for (const place of [before, after, around, options.limit, options.atLeast]) checkWhole(place);
    const limitMax = this.#host.server()?.limits.histItemsMax ?? Infinity;
    const limit = options.limit === undefined ? undefined : Math.min(options.limit, limitMax);
    const page = await this.#host.request<"okHist">((id) => {
      // Looked at when it is asked, not when it is queued: what was stored meanwhile must be there.
      const atLeast = Math.max(this.#host.timeline(room).seen, options.atLeast ?? 0);
      const place = { before, after, around, limit, level, atLeast: atLeast === 0 ? undefined : atLeast };
      return { t: "hist", id, room, ...place } as ClientFrame;
    }, options);
    const timeline = this.#host.timeline(room);
    timeline.learn(page.line, page.head);
    const last = page.items.at(-1);
    if (last !== undefined && last.seq !== null) timeline.saw(last.seq);
    return page;
  }

  /** Asks whether a message is stored; linearizable. `from` is oneself if not given. */
  async lookup(cid: string, from?: string, options: RequestOptions = {}): Promise<Found> {
    const place = { room: this.name, cid: cid as Cid, from: from as UserName | undefined };
    const answer = await this.#host.request<"okLookup">((id) => ({ t: "lookup", id, ...place }), options);
    const { seq, head, first } = answer;
    return { seq, head, ...(first === undefined ? {} : { first }) };
  }

  /** Becomes a member; makes the room where that is allowed. */
  async join(options: RequestOptions & { readonly private?: boolean } = {}): Promise<{ line: Line; head: Seq }> {
    const { name: room } = this;
    const answer = this.#host.request<"okJoin">(
      (id) => ({ t: "join", id, room, private: options.private === true ? true : undefined }),
      options,
    );
    const { line, head } = await answer;
    this.#host.timeline(room).learn(line, head);
    return { line, head };
  }

  async leave(options: RequestOptions = {}): Promise<void> {
    await this.#host.request<"okDone">((id) => ({ t: "leave", id, room: this.name }), options);
  }

  /** Makes somebody a member: the way into a private room. For its owner and moderators. */
  async invite(user: string, options: RequestOptions = {}): Promise<void> {
    const frame = { t: "invite", room: this.name, user: user as UserName } as const;
    await this.#host.request<"okDone">((id) => ({ ...frame, id }), options);
  }

  /** Puts a member out. For the owner; a moderator may put out plain members. */
  async remove(user: string, options: RequestOptions = {}): Promise<void> {
    const frame = { t: "remove", room: this.name, user: user as UserName } as const;
    await this.#host.request<"okDone">((id) => ({ ...frame, id }), options);
  }

  /** Members behind the name `after`, in the order of the bytes of their names; `count` is of all. */
  async members(options: RequestOptions & { after?: string; limit?: number } = {}): Promise<MembersPage> {
    checkWhole(options.limit);
    const place = { room: this.name, after: options.after as UserName | undefined, limit: options.limit };
    const answer = await this.#host.request<"okMembers">((id) => ({ t: "members", id, ...place }), options);
    const { members, count, more } = answer;
    return { members, count, more };
  }

  /** Marks everything up to `seq` as read. */
  async markRead(seq: number, options: RequestOptions = {}): Promise<void> {
    checkWhole(seq);
    await this.#host.request<"okDone">((id) => ({ t: "read", id, room: this.name, seq: seq as Seq }), options);
  }

  async presence(options: RequestOptions = {}): Promise<Presence> {
    const { name: room } = this;
    const { users, count } = await this.#host.request<"okPresence">((id) => ({ t: "presence", id, room }), options);
    return { room, users, count };
  }

  /** Tells the others; lost when there is no link right now. */
  typing(): void {
    this.#host.say({ t: "typing", room: this.name });
  }

  /** What happens in this room: `read`, `typing`, `presence`, `send`. Answers how to stop listening. */
  on<Name extends "read" | "typing" | "presence" | "send">(
    name: Name,
    listener: (event: ChatEvents[Name]) => void,
  ): () => void {
    return this.#host.on(name, (event) => {
      if (event.room === this.name) listener(event);
    });
  }
}

function checkWhole(value: number | undefined): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) {
    throw new ChatError("bad_request", `${value} is not a place in a room`);
  }
}
