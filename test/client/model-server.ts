import type { Cid, ClusterId, Line, NodeName, RoomName, Seq, Term, UserName } from "../../src/base/ids.ts";
import type { Millis } from "../../src/base/units.ts";
import type { Dial, Link, LinkEvents, WireFormat } from "../../src/client/ports.ts";
import type { ClientFrame, ClientFrameOf, Message, ServerFrame } from "../../src/protocol/schema.ts";
import type { VirtualClock } from "./virtual-clock.ts";

/** What becomes of the next send. */
export type Fate =
  | "store"
  /** Stored, and the answer never comes: the link breaks. */
  | "store, then cut"
  /** The link breaks first. */
  | "cut"
  /** Stored some time after the link broke. */
  | "cut, then store"
  | "overloaded"
  | "forbidden"
  /** Stored or not, the server cannot tell: not definite. */
  | "no_quorum, stored"
  | "no_quorum, lost";

interface ModelRoom {
  readonly name: RoomName;
  line: Line;
  first: number;
  readonly log: Message[];
  readonly read: Map<string, number>;
}

/** The least that a server must be, written from PROTOCOL.md alone. All addresses are one server, without delay inside. */
export class ModelServer implements Dial {
  readonly clock: VirtualClock;
  readonly rooms = new Map<string, ModelRoom>();
  readonly links = new Set<ModelLink>();
  /** Every frame that clients sent, in order. */
  readonly received: ClientFrame[] = [];
  readonly dialled: string[] = [];
  readonly down = new Set<string>();
  cluster = "c1" as ClusterId;
  servers: string[] = [];
  heartbeatMs = 25_000;
  sendsInFlightMax = 1_024;
  bodyBytesMax = 65_536;
  delayMs = 1;
  fates: Fate[] = [];
  /** Answers in place of the model's own; null lets the model answer. */
  intercept: (frame: ClientFrame, link: ModelLink) => ServerFrame[] | null = () => null;
  #late = 0;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  connect(url: string, events: LinkEvents): Link {
    this.dialled.push(url);
    const link = new ModelLink(this, url, events);
    this.clock.after(this.delayMs as Millis, () => {
      if (link.over) return;
      if (this.down.has(url) || this.down.has("*")) link.cut("refused");
      else {
        this.links.add(link);
        events.opened();
      }
    });
    return link;
  }

  room(name: string): ModelRoom {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = { name: name as RoomName, line: "l1" as Line, first: 1, log: [], read: new Map() };
      this.rooms.set(name, room);
    }
    return room;
  }

  /** Messages of a room, as "cid" in order. */
  cids(name: string): string[] {
    return this.room(name).log.map((message) => message.cid);
  }

  bodies(name: string): string[] {
    return this.room(name).log.map((message) => message.body);
  }

  /** Somebody else speaks. */
  post(roomName: string, from: string, body: string): number {
    const room = this.room(roomName);
    return this.#store(room, from, { cid: `${from}-${room.log.length}` as Cid, body } as ClientFrameOf<"send">)
      .seq as number;
  }

  /** Somebody made the user a member of this room. */
  letIn(user: string, roomName: string): void {
    const news = placeOf(this.room(roomName), user);
    for (const link of this.links) if (link.user === user) link.say([{ t: "room", ...news }]);
  }

  /** The room loses its newest messages, and its line says so. */
  loseHistory(name: string, keep: number): void {
    const room = this.room(name);
    room.log.length = keep;
    room.line = `${room.line}x` as Line;
  }

  cutAll(): void {
    for (const link of this.links) link.cut("cut");
  }

  say(frame: ServerFrame): void {
    for (const link of this.links) link.say([frame]);
  }

  frames<T extends ClientFrame["t"]>(t: T): Extract<ClientFrame, { t: T }>[] {
    return this.received.filter((frame): frame is Extract<ClientFrame, { t: T }> => frame.t === t);
  }

  handle(frame: ClientFrame, link: ModelLink): void {
    this.received.push(frame);
    const own = this.intercept(frame, link);
    if (own !== null) {
      link.say(own);
      return;
    }
    switch (frame.t) {
      case "hello":
        return this.#hello(frame, link);
      case "ping":
        return link.say([{ t: "pong", id: frame.id }]);
      case "sub":
        return this.#sub(frame, link);
      case "unsub":
        link.subs.delete(frame.room);
        link.unsubbed.add(frame.room);
        return link.say([{ t: "ok", of: "done", id: frame.id }]);
      case "send":
        return this.#send(frame, link);
      case "hist":
        return this.#hist(frame, link);
      case "lookup": {
        const answer = (): void => {
          // Linearizable: what was taken in before is in order first.
          if (this.#late > 0) {
            this.clock.after(1 as Millis, answer);
            return;
          }
          const { room: name, cid } = frame;
          const { log, first: oldest } = this.room(name);
          const from = frame.from ?? link.user;
          const found = log.find(
            (message) => message.cid === cid && message.from === from && (message.seq ?? 0) >= oldest,
          );
          const place = { t: "ok", of: "lookup", id: frame.id, room: name, cid } as const;
          const [head, first] = [log.length as Seq, oldest as Seq];
          if (found === undefined) return link.say([{ ...place, seq: null, head, first }]);
          const { seq, ts, epoch, kind, ref, body } = found;
          link.say([{ ...place, seq, head, first, ts, epoch, kind, ...(ref === undefined ? {} : { ref }), body }]);
        };
        return answer();
      }
      case "join": {
        const { line, log } = this.room(frame.room);
        const head = log.length as Seq;
        return link.say([{ t: "ok", of: "join", id: frame.id, room: frame.room, line, head, epoch: 1 as Term }]);
      }
      case "read":
        this.room(frame.room).read.set(link.user, frame.seq);
        return link.say([{ t: "ok", of: "done", id: frame.id }]);
      case "leave":
      case "refresh":
      case "invite":
      case "remove":
        return link.say([{ t: "ok", of: "done", id: frame.id }]);
      case "rooms": {
        const rooms = [...this.rooms.values()]
          .filter(({ name }) => !name.startsWith("@") || isOf(name, link.user))
          .map((room) => ({ ...placeOf(room, link.user), unread: 0 }));
        return link.say([{ t: "ok", of: "rooms", id: frame.id, rooms }]);
      }
      case "presence":
        return link.say([{ t: "ok", of: "presence", id: frame.id, room: frame.room, users: [link.user as UserName] }]);
      case "members":
        return link.say([
          { t: "ok", of: "members", id: frame.id, room: frame.room, count: 0, more: false, members: [] },
        ]);
      case "typing":
        return;
    }
  }

  #hello(frame: ClientFrameOf<"hello">, link: ModelLink): void {
    link.user = frame.user;
    const { cluster, heartbeatMs, servers, bodyBytesMax, sendsInFlightMax } = this;
    const node = "n1" as NodeName;
    const limits = {
      bodyBytesMax,
      frameBytesMax: 458_752,
      histItemsMax: 500,
      subsMax: 100,
      roomsMax: 100,
      sendsInFlightMax,
    };
    link.say([
      {
        t: "welcome",
        v: 1,
        user: frame.user,
        session: "s1",
        node,
        cluster,
        topology: "solo",
        heartbeatMs,
        servers,
        limits,
      },
    ]);
    for (const room of this.rooms.values()) {
      if (!isOf(room.name, link.user)) continue;
      link.direct.add(room.name);
      const news = placeOf(room, link.user);
      if (news.head > news.read) link.say([{ t: "room", ...news }]);
    }
  }

  #sub(frame: ClientFrameOf<"sub">, link: ModelLink): void {
    const room = this.room(frame.room);
    const head = room.log.length as Seq;
    const { line } = room;
    const node = "n1" as NodeName;
    const first = room.first as Seq;
    link.say([{ t: "ok", of: "sub", id: frame.id, room: room.name, line, first, head, epoch: 1 as Term, node }]);
    if (frame.line !== undefined && frame.line !== line) {
      link.say([{ t: "gap", room: room.name, from: 1 as Seq, to: head, reason: "reset", line }]);
      return;
    }
    let after = frame.after === "latest" ? head : frame.after;
    if (after + 1 < room.first) {
      link.say([
        { t: "gap", room: room.name, from: (after + 1) as Seq, to: (room.first - 1) as Seq, reason: "retention" },
      ]);
      after = (room.first - 1) as Seq;
    }
    link.subs.add(room.name);
    for (const message of room.log.slice(after)) link.say([{ t: "msg", room: room.name, ...message }]);
  }

  #hist(frame: ClientFrameOf<"hist">, link: ModelLink): void {
    const room = this.room(frame.room);
    const limit = frame.limit ?? 50;
    const { after, before } = frame;
    const items =
      after !== undefined
        ? room.log.slice(after, after + limit)
        : room.log.slice(0, before === undefined ? undefined : before - 1).slice(-limit);
    const head = room.log.length as Seq;
    const more = items.length === limit;
    const node = "n1" as NodeName;
    link.say([
      {
        t: "ok",
        of: "hist",
        id: frame.id,
        room: room.name,
        line: room.line,
        first: room.first as Seq,
        head,
        node,
        more,
        items,
      },
    ]);
  }

  #send(frame: ClientFrameOf<"send">, link: ModelLink): void {
    const fate = this.fates.shift() ?? "store";
    const { id } = frame;
    switch (fate) {
      case "cut":
        return link.cut("cut");
      case "store, then cut":
        this.#attempt(frame, link.user);
        return link.cut("cut");
      case "cut, then store": {
        const { user } = link;
        link.cut("cut");
        this.#late++;
        this.clock.after(30 as Millis, () => {
          this.#late--;
          this.#attempt(frame, user);
        });
        return;
      }
      case "overloaded":
        return link.say([error(id, "overloaded", true, true, 20)]);
      case "forbidden":
        return link.say([error(id, "forbidden", true, false)]);
      case "no_quorum, lost":
        return link.say([error(id, "no_quorum", false, true, 20)]);
      case "no_quorum, stored":
        this.#attempt(frame, link.user);
        return link.say([error(id, "no_quorum", false, true, 20)]);
      case "store":
        return link.say([{ ...this.#attempt(frame, link.user), id } as ServerFrame]);
    }
  }

  /** Puts it in order, or says why not, as the rules for `cid` and `prev` have it. */
  #attempt(frame: ClientFrameOf<"send">, user: string): object {
    const name = frame.room ?? directOf(user, frame.to!);
    const room = this.room(name);
    const mine = room.log.filter((message) => message.from === user);
    const same = mine.find((message) => message.cid === frame.cid);
    if (same !== undefined && same.body !== frame.body) return error(0, "id_conflict", true, false);
    if (same === undefined && frame.prev !== undefined && !mine.some((message) => message.cid === frame.prev)) {
      return error(0, "order", true, true);
    }
    const message = same ?? this.#store(room, user, frame);
    const node = "n1" as NodeName;
    const { seq, ts, epoch, cid } = message;
    return {
      t: "ok",
      of: "send",
      room: name,
      cid,
      seq,
      ts,
      epoch,
      line: room.line,
      leader: node,
      node,
      dup: same !== undefined,
    };
  }

  #store(room: ModelRoom, from: string, frame: ClientFrameOf<"send">): Message {
    const seq = (room.log.length + 1) as Seq;
    const { cid, body, kind, ref } = frame;
    const ts = this.clock.wall();
    const message: Message = {
      seq,
      from: from as UserName,
      cid,
      ts,
      epoch: 1 as Term,
      kind: kind ?? "text",
      ref,
      body,
    };
    room.log.push(message);
    for (const link of this.links) {
      const isNew = isOf(room.name, link.user) && !link.direct.has(room.name);
      if (isNew) {
        link.direct.add(room.name);
        link.say([{ t: "room", ...placeOf(room, link.user), head: (seq - 1) as Seq }]);
      }
      const automatic = link.direct.has(room.name) && !link.unsubbed.has(room.name);
      if (link.subs.has(room.name) || automatic) link.say([{ t: "msg", room: room.name, ...message }]);
    }
    return message;
  }
}

/** One connection, seen from the server. */
export class ModelLink implements Link {
  readonly format: WireFormat = "json-websocket";
  readonly url: string;
  readonly subs = new Set<string>();
  readonly unsubbed = new Set<string>();
  readonly direct = new Set<string>();
  user = "";
  over = false;
  /** Takes what comes and says nothing, as a cable does that was pulled. */
  mute = false;
  buffered = 0;
  readonly #server: ModelServer;
  readonly #events: LinkEvents;

  constructor(server: ModelServer, url: string, events: LinkEvents) {
    this.#server = server;
    this.url = url;
    this.#events = events;
  }

  send(data: string | Uint8Array): void {
    const value = JSON.parse(data as string) as ClientFrame | ClientFrame[];
    this.#later(() => {
      for (const frame of Array.isArray(value) ? value : [value])
        if (!this.over && !this.mute) this.#server.handle(frame, this);
    });
  }

  bufferedBytes(): number {
    return this.buffered;
  }

  close(): void {
    this.#end();
  }

  say(frames: readonly ServerFrame[]): void {
    if (this.mute) return;
    for (const frame of frames) {
      const text = JSON.stringify(frame);
      this.#later(() => this.#events.message(text));
    }
  }

  /** The link breaks; what is on its way in either direction is gone. */
  cut(reason: string, code: number | null = null): void {
    if (this.over) return;
    this.#end();
    this.#server.clock.after(1 as Millis, () => this.#events.closed(code, reason));
  }

  #end(): void {
    this.over = true;
    this.#server.links.delete(this);
  }

  #later(task: () => void): void {
    this.#server.clock.after(this.#server.delayMs as Millis, () => {
      if (!this.over) task();
    });
  }
}

export function error(
  id: number | string,
  code: string,
  definite: boolean,
  retryable: boolean,
  retryAfterMs?: number,
): ServerFrame {
  return { t: "err", id, code, message: `${code} by the model`, definite, retryable, retryAfterMs };
}

const directOf = (one: string, other: string): string => (one < other ? `@${one},${other}` : `@${other},${one}`);
const isOf = (room: string, user: string): boolean => room.startsWith("@") && room.slice(1).split(",").includes(user);

const placeOf = (room: ModelRoom, user: string): { room: RoomName; line: Line; first: Seq; head: Seq; read: Seq } => ({
  room: room.name,
  line: room.line,
  first: room.first as Seq,
  head: room.log.length as Seq,
  read: (room.read.get(user) ?? 0) as Seq,
});
