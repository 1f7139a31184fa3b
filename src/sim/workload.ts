import { assert } from "../base/assert.ts";
import { fraction, type Random } from "../base/random.ts";
import { exponential } from "./pipe.ts";

/** Which earlier message an edit, deletion or reaction speaks of. */
export type RefChoice =
  /** One of the sender's own, by cid: what only its author may change. */
  | { readonly own: string }
  /** Somewhere between the first (0) and the newest (1) place this client knows of. */
  | { readonly place: number };

/**
 * What one client is going to do, as data. Places are shares of the head that the client knows by then, because nobody
 * knows beforehand which messages will be stored.
 */
export type Intent = { readonly at: number; readonly client: number } & (
  | {
      readonly act: "send";
      readonly room: string;
      readonly cid: string;
      readonly kind: string;
      readonly body: string;
      readonly ref: RefChoice | null;
    }
  | { readonly act: "subscribe"; readonly room: string; readonly after: { readonly place: number } | "latest" }
  | { readonly act: "unsubscribe"; readonly room: string }
  | {
      readonly act: "history";
      readonly room: string;
      readonly direction: "before" | "after" | "around";
      readonly place: number;
      readonly limit: number;
      readonly linearizable: boolean;
      /** Ask for at least what this client knows. */
      readonly atLeast: boolean;
    }
  | { readonly act: "lookup"; readonly room: string; readonly ofClient: number; readonly cid: string }
  | { readonly act: "mark"; readonly room: string; readonly place: number }
  | { readonly act: "join" | "leave" | "members"; readonly room: string }
  | { readonly act: "invite" | "remove"; readonly room: string; readonly user: string }
  | { readonly act: "reconnect" }
  | { readonly act: "read-slowly"; readonly forMs: number }
);

export interface Workload {
  /** The user of each client. Some users have two clients, as people have two devices. */
  readonly users: readonly string[];
  /** Rooms and direct rooms, those with no messages included. */
  readonly rooms: readonly string[];
  /** Sorted by time. */
  readonly intents: readonly Intent[];
}

export interface WorkloadOptions {
  readonly random: Random;
  readonly clients: number;
  readonly rooms: number;
  readonly forMs: number;
  /** Of all clients together. @defaultValue 20 */
  readonly sendsPerSecond?: number;
  /** Longest body in bytes; bodies are ASCII with some longer characters. @defaultValue 200 */
  readonly bodyBytesMax?: number;
  /** Most sends that a client makes at one moment, without waiting. @defaultValue drawn from 1, 4, 32 */
  readonly burstMax?: number;
}

/** Sends that are made again with the same cid, and with the same cid and another body, of a hundred. */
const repeatsPerHundred = 2;
const conflictsPerHundred = 1;

/** Draws what clients do. The same seed draws the same, and nothing depends on how servers or clients are made. */
export function drawWorkload(options: WorkloadOptions): Workload {
  const { random, clients, forMs } = options;
  assert(clients > 0 && options.rooms > 0 && forMs > 0, "a workload needs clients, rooms and time");
  const users = drawUsers(random, clients);
  const rooms = ["lobby"];
  for (let room = 1; room < options.rooms; room++) rooms.push(`room${room}`);
  const directRooms = drawDirectRooms(random, users);
  const intents: Intent[] = [];
  const draw = new Drawing(random, { users, rooms, directRooms, bodyBytesMax: options.bodyBytesMax ?? 200, forMs });
  const burstMax = options.burstMax ?? [1, 4, 32][random.whole(3)]!;
  // Bursts are as many fewer as they are longer, so that the rate stays what was asked for.
  const everyMs = (1_000 / (options.sendsPerSecond ?? 20)) * ((burstMax + 1) / 2);
  for (let client = 0; client < clients; client++) intents.push(...draw.greeting(client));
  for (let at = exponential(random, everyMs); at < forMs; at += 0.001 + exponential(random, everyMs)) {
    intents.push(...draw.burst(at, burstMax));
    intents.push(...draw.besides(at));
  }
  intents.sort((one, other) => one.at - other.at);
  return { users, rooms: [...rooms, ...directRooms], intents };
}

/** The direct room of two users, as PROTOCOL names it. */
export function directRoom(one: string, other: string): string {
  return one < other ? `@${one},${other}` : `@${other},${one}`;
}

function drawUsers(random: Random, clients: number): string[] {
  const users: string[] = [];
  for (let client = 0; client < clients; client++) {
    const second = client > 0 && random.whole(4) === 0;
    users.push(second ? users[random.whole(client)]! : `user${client}`);
  }
  return users;
}

function drawDirectRooms(random: Random, users: readonly string[]): string[] {
  const rooms = new Set<string>();
  for (let pair = 0; pair < Math.min(4, users.length); pair++) {
    rooms.add(directRoom(users[random.whole(users.length)]!, users[random.whole(users.length)]!));
  }
  return [...rooms];
}

/** Draws one piece of a workload after the other; remembers what was sent, so that later pieces can speak of it. */
class Drawing {
  readonly #random: Random;
  readonly #users: readonly string[];
  readonly #rooms: readonly string[];
  readonly #directRooms: readonly string[];
  readonly #bodyBytesMax: number;
  readonly #forMs: number;
  readonly #sent: Extract<Intent, { act: "send" }>[] = [];
  /** The cids of what each client wrote in each room. */
  readonly #texts = new Map<string, string[]>();
  #cids = 0;

  constructor(
    random: Random,
    options: {
      readonly users: readonly string[];
      readonly rooms: readonly string[];
      readonly directRooms: readonly string[];
      readonly bodyBytesMax: number;
      readonly forMs: number;
    },
  ) {
    this.#random = random;
    this.#users = options.users;
    this.#rooms = options.rooms;
    this.#directRooms = options.directRooms;
    this.#bodyBytesMax = options.bodyBytesMax;
    this.#forMs = options.forMs;
  }

  /** A client joins the rooms and follows most of them. */
  greeting(client: number): Intent[] {
    const intents: Intent[] = [];
    for (const room of this.#roomsOf(client)) {
      const at = fraction(this.#random) * 500;
      if (!room.startsWith("@")) intents.push({ at, client, act: "join", room });
      if (this.#random.whole(4) > 0) intents.push({ at: at + 1, client, act: "subscribe", room, after: this.#after() });
    }
    return intents;
  }

  /** Sends that a client makes at one moment, to one room mostly, some of which it makes again later. */
  burst(at: number, burstMax: number): Intent[] {
    const random = this.#random;
    const client = random.whole(this.#users.length);
    const rooms = this.#roomsOf(client);
    // The first room is the busiest.
    const home = random.whole(2) === 0 ? this.#rooms[0]! : rooms[random.whole(rooms.length)]!;
    const intents: Intent[] = [];
    const count = 1 + random.whole(burstMax);
    for (let n = 0; n < count; n++) {
      const room = random.whole(8) === 0 ? rooms[random.whole(rooms.length)]! : home;
      const send = this.#send({ at, client, room });
      this.#sent.push(send);
      intents.push(send);
      const die = random.whole(100);
      const again = Math.min(this.#forMs - 0.001, at + exponential(random, random.whole(2) === 0 ? 100 : 20_000));
      if (die < repeatsPerHundred) intents.push({ ...send, at: again });
      else if (die < repeatsPerHundred + conflictsPerHundred) {
        intents.push({ ...send, at: again, body: `${send.body.slice(0, -1)}!` });
      }
    }
    return intents;
  }

  /** What clients do besides sending: about one thing for every burst. */
  besides(at: number): Intent[] {
    const random = this.#random;
    const client = random.whole(this.#users.length);
    const rooms = this.#roomsOf(client);
    const room = rooms[random.whole(rooms.length)]!;
    const die = random.whole(100);
    if (die < 25) {
      const direction = (["before", "after", "around"] as const)[random.whole(3)]!;
      const linearizable = random.whole(3) === 0;
      const limit = [1, 3, 20, 100][random.whole(4)]!;
      const place = fraction(random) * 1.1;
      return [
        { at, client, act: "history", room, direction, place, limit, linearizable, atLeast: random.whole(2) === 0 },
      ];
    }
    if (die < 40 && this.#sent.length > 0) {
      // Mostly something recent, whose outcome may still be open.
      const back =
        random.whole(2) === 0 ? random.whole(Math.min(10, this.#sent.length)) : random.whole(this.#sent.length);
      const sent = this.#sent[this.#sent.length - 1 - back]!;
      if (sent.room.startsWith("@") && !this.#roomsOf(client).includes(sent.room)) return [];
      return [{ at, client, act: "lookup", room: sent.room, ofClient: sent.client, cid: sent.cid }];
    }
    if (die < 55) return [{ at, client, act: "mark", room, place: fraction(random) }];
    if (die < 70) return [{ at, client, act: "subscribe", room, after: this.#after() }];
    if (die < 74) return [{ at, client, act: "unsubscribe", room }];
    if (die < 78) return [{ at, client, act: "reconnect" }];
    if (die < 80)
      return [{ at, client, act: "read-slowly", forMs: Math.min(this.#forMs - at, exponential(random, 3_000)) }];
    if (die < 82 && !room.startsWith("@")) {
      const away = Math.min(this.#forMs - 0.001, at + exponential(random, 1_000));
      return [
        { at, client, act: "leave", room },
        { at: away, client, act: "join", room },
      ];
    }
    return [];
  }

  #send(where: {
    readonly at: number;
    readonly client: number;
    readonly room: string;
  }): Extract<Intent, { act: "send" }> {
    const random = this.#random;
    const cid = `c${where.client}.${this.#cids++}`;
    const key = `${where.client}\n${where.room}`;
    const own = this.#texts.get(key) ?? [];
    this.#texts.set(key, own);
    const die = random.whole(20);
    const base = { ...where, act: "send", cid } as const;
    if (die < 2 && own.length > 0) {
      const ref = { own: own[random.whole(own.length)]! };
      return die === 0
        ? { ...base, kind: "edit", body: this.#body(cid), ref }
        : { ...base, kind: "delete", body: "", ref };
    }
    if (die < 4) {
      const kind = die === 2 ? "react" : "unreact";
      return { ...base, kind, body: ["+1", "-1", "❤"][random.whole(3)]!, ref: { place: fraction(random) } };
    }
    own.push(cid);
    return { ...base, kind: "text", body: this.#body(cid), ref: null };
  }

  /** A body that names its message, so that a mix-up shows, filled to a length that is mostly short. */
  #body(cid: string): string {
    const random = this.#random;
    const length = Math.floor(this.#bodyBytesMax * fraction(random) ** 3);
    const filler = ["x", "é", "中", "𝄞"][random.whole(8)] ?? "x";
    const bytesEach = filler === "x" ? 1 : filler === "é" ? 2 : filler === "中" ? 3 : 4;
    const rest = Math.max(0, Math.min(length, this.#bodyBytesMax - cid.length - 2));
    return `${cid} ${filler.repeat(Math.floor(rest / bytesEach))}.`;
  }

  #after(): { readonly place: number } | "latest" {
    const die = this.#random.whole(4);
    if (die === 0) return "latest";
    return { place: die === 1 ? 0 : fraction(this.#random) };
  }

  #roomsOf(client: number): string[] {
    const user = this.#users[client]!;
    return [...this.#rooms, ...this.#directRooms.filter((room) => room.slice(1).split(",").includes(user))];
  }
}
