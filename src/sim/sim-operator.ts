import type { NodeName, RoomName, Seq, UserName } from "../base/ids.ts";
import { fraction, type Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { operate, type Operation } from "../server/operator.ts";
import { roles } from "../rooms/commands.ts";
import type { Server } from "../server/server.ts";
import type { OperationId, Oracle } from "./oracle.ts";
import type { Scheduler } from "./scheduler.ts";

/** How often those who are outside a private room are let in again, and somebody is made to rule it. */
const tidyEveryMs = 12_000;

export interface OperatorPlan {
  /** Rooms that keep so many of their newest messages, from a moment on. */
  readonly retention: readonly { readonly at: number; readonly room: RoomName; readonly messages: number }[];
  /** Rooms whose older part is removed once: `share` of the way to the head. */
  readonly trims: readonly { readonly at: number; readonly room: RoomName; readonly share: number }[];
  readonly kicks: readonly { readonly at: number; readonly room: RoomName; readonly user: UserName }[];
  readonly privateRooms: ReadonlySet<string>;
  /** When the leader is asked to hand over to another server. */
  readonly transfers: readonly { readonly at: number; readonly to: NodeName }[];
}

/** Draws what an operator does in a run: in about half of them nothing is removed, in two of three no room is private. */
export function drawOperatorPlan(
  random: Random,
  options: {
    readonly rooms: readonly string[];
    readonly users: readonly string[];
    readonly servers: readonly string[];
    readonly forMs: number;
  },
): OperatorPlan {
  const { forMs } = options;
  const servers = options.servers as readonly NodeName[];
  const rooms = options.rooms.filter((room) => !room.startsWith("@")) as RoomName[];
  const users = options.users as readonly UserName[];
  const pick = <T>(list: readonly T[]): T => list[random.whole(list.length)]!;
  const sometime = (): number => forMs * (0.1 + 0.6 * fraction(random));
  const retention =
    random.whole(2) === 0 ? [{ at: sometime(), room: pick(rooms), messages: pick([1, 10, 50, 200]) }] : [];
  const trims = random.whole(3) === 0 ? [{ at: sometime(), room: pick(rooms), share: fraction(random) }] : [];
  const privateRooms = new Set(random.whole(3) === 0 && rooms.length > 1 ? [rooms[1]!] : []);
  const kicks = [...privateRooms].flatMap((room) =>
    Array.from({ length: 1 + random.whole(8) }, () => ({ at: forMs * fraction(random), room, user: pick(users) })),
  );
  const transferCount = servers.length > 1 && random.whole(2) === 0 ? 1 + random.whole(8) : 0;
  const transfers = Array.from({ length: transferCount }, () => ({ at: forMs * fraction(random), to: pick(servers) }));
  return { retention, trims, kicks, privateRooms, transfers };
}

/**
 * Who runs the server: asks for retention, and lets people in and out, whatever the server is going through. Tells the
 * oracle what may be missing from then on.
 */
export class SimOperator {
  readonly #plan: OperatorPlan;
  readonly #scheduler: Scheduler;
  readonly #oracle: Oracle;
  readonly #users: readonly UserName[];
  readonly #server: () => Server | null;
  readonly #head: (room: RoomName) => number;
  readonly #isCertain: (error: unknown) => boolean;
  /** How many messages a room keeps, and the highest head it was seen to have. */
  readonly #kept = new Map<RoomName, number>();
  /** Changes of membership that are not answered. */
  readonly #changes = new Set<OperationId>();

  constructor(options: {
    readonly plan: OperatorPlan;
    readonly scheduler: Scheduler;
    readonly oracle: Oracle;
    readonly users: readonly string[];
    /** The server of the moment, if it takes anything. */
    readonly server: () => Server | null;
    /** How far a room is known to go; left out: as far as that server knows it. */
    readonly head?: (room: RoomName) => number;
    /** Whether what ended with this error is not done any more, ever. @defaultValue yes: a server that is alone knows */
    readonly isCertain?: (error: unknown) => boolean;
  }) {
    this.#plan = options.plan;
    this.#scheduler = options.scheduler;
    this.#oracle = options.oracle;
    this.#users = [...new Set(options.users)] as UserName[];
    this.#server = options.server;
    this.#head = options.head ?? ((room) => this.#server()?.state.room(room)?.head ?? 0);
    this.#isCertain = options.isCertain ?? (() => true);
  }

  start(): void {
    for (const { at, room, messages } of this.#plan.retention) {
      this.#later(at, () => {
        this.#kept.set(room, messages);
        this.#do({ type: "retention", room, ageMs: 0, messages, bytes: 0 });
      });
    }
    for (const { at, room, share } of this.#plan.trims) {
      this.#later(at, () => {
        const first = Math.floor(this.#head(room) * share);
        if (first < 1) return;
        this.#oracle.removable(room, first);
        this.#do({ type: "trim", room, first: first as Seq });
      });
    }
    for (const { at, room, user } of this.#plan.kicks) {
      this.#later(at, () => this.#change("kick", room, user));
    }
    for (const { at, to } of this.#plan.transfers) {
      this.#later(at, () => this.#handOver(to));
    }
    if (this.#plan.privateRooms.size > 0) this.#later(tidyEveryMs, () => this.#tidy());
  }

  /** Tells the oracle what retention may have removed by now: called before anything is judged by it. */
  update(): void {
    for (const [room, messages] of this.#kept) {
      const head = this.#head(room);
      if (head >= messages) this.#oracle.removable(room, head - messages + 1);
    }
  }

  #tidy(): void {
    for (const room of this.#plan.privateRooms) {
      const existing = this.#server()?.state.room(room);
      if (existing === undefined) continue;
      for (const user of this.#users) {
        if (existing.member(user) === undefined) this.#change("invite", room as RoomName, user);
      }
      const [owner, moderator] = this.#users;
      for (const [user, role] of [
        [owner, "owner"],
        [moderator, "moderator"],
      ] as const) {
        const member = user === undefined ? undefined : existing.member(user);
        if (user !== undefined && member !== undefined && member.role !== roles[role]) {
          this.#do({ type: "role", room: room as RoomName, user, role });
        }
      }
    }
    this.#later(tidyEveryMs, () => this.#tidy());
  }

  /** A server runs, and none before it does: what one of those was asked is made, or never will be. */
  serverStarted(): void {
    for (const id of this.#changes) this.#ended(id, "over");
  }

  #change(type: "invite" | "kick", room: RoomName, user: UserName): void {
    const server = this.#server();
    if (server === null) return;
    const way = type === "invite" ? "in" : "out";
    const id = this.#oracle.changeInvoked({ at: this.#scheduler.now(), client: "operator", way, room, user });
    this.#changes.add(id);
    operate(server, { type, room, user }).then(
      () => this.#ended(id, "done"),
      (error: unknown) => this.#ended(id, this.#isCertain(error) ? "over" : "unknown"),
    );
  }

  #ended(id: OperationId, outcome: "done" | "over" | "unknown"): void {
    if (this.#changes.delete(id)) this.#oracle.changeEnded(id, { at: this.#scheduler.now(), outcome });
  }

  /** Whoever can't take over is refused, and the leader goes on. */
  #handOver(to: NodeName): void {
    this.#server()
      ?.transfer(to)
      .catch(() => undefined);
  }

  #do(operation: Operation): void {
    const server = this.#server();
    // A refusal is the server's answer to an operator; what was asked is left undone.
    if (server !== null) operate(server, operation).catch(() => undefined);
  }

  #later(delayMs: number, task: () => void): void {
    this.#scheduler.after(millis(delayMs), "operator", task);
  }
}
