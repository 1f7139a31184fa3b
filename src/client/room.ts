import type { Line, NodeName, RoomName, Seq, UserName } from "../base/ids.ts";
import type { Message } from "../protocol/schema.ts";
import type { ChatEvents, Presence } from "./events.ts";
import type { MessageStream } from "./message-stream.ts";
import type { SentMessage } from "./sent-message.ts";

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
}

export interface Found {
  /** Where it is; null: not stored up to `head`. */
  readonly seq: Seq | null;
  readonly head: Seq;
}

/** What a room needs of the client it belongs to. */
export interface RoomHost {
  send(room: RoomName, to: UserName | null, body: string, options: SendOptions): SentMessage;
  messages(room: RoomName, options: MessagesOptions): MessageStream;
  history(room: RoomName, options: HistoryOptions): Promise<HistoryPage>;
  lookup(room: RoomName, cid: string, from: string | undefined, options: RequestOptions): Promise<Found>;
  join(room: RoomName, isPrivate: boolean, options: RequestOptions): Promise<{ line: Line; head: Seq }>;
  simple(
    frame: { t: "leave"; room: RoomName } | { t: "read"; room: RoomName; seq: Seq },
    options: RequestOptions,
  ): Promise<void>;
  presence(room: RoomName, options: RequestOptions): Promise<Presence>;
  typing(room: RoomName): void;
  on<Name extends keyof ChatEvents>(name: Name, listener: (event: ChatEvents[Name]) => void): () => void;
}

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

  history(options: HistoryOptions = {}): Promise<HistoryPage> {
    return this.#host.history(this.name, options);
  }

  /** Asks whether a message is stored; linearizable. `from` is oneself if not given. */
  lookup(cid: string, from?: string, options: RequestOptions = {}): Promise<Found> {
    return this.#host.lookup(this.name, cid, from, options);
  }

  /** Becomes a member; makes the room where that is allowed. */
  join(options: RequestOptions & { readonly private?: boolean } = {}): Promise<{ line: Line; head: Seq }> {
    return this.#host.join(this.name, options.private === true, options);
  }

  leave(options: RequestOptions = {}): Promise<void> {
    return this.#host.simple({ t: "leave", room: this.name }, options);
  }

  /** Marks everything up to `seq` as read. */
  markRead(seq: number, options: RequestOptions = {}): Promise<void> {
    return this.#host.simple({ t: "read", room: this.name, seq: seq as Seq }, options);
  }

  presence(options: RequestOptions = {}): Promise<Presence> {
    return this.#host.presence(this.name, options);
  }

  /** Tells the others; lost when there is no link right now. */
  typing(): void {
    this.#host.typing(this.name);
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
