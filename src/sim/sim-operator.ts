import { Fault } from "../base/error-codes.ts";
import type { NodeName, RoomName, Seq, UserName } from "../base/ids.ts";
import { fraction, type Random } from "../base/random.ts";
import { millis } from "../base/units.ts";
import { addServer, removeServer } from "../server/cluster-operations.ts";
import { operate, type Operation } from "../server/operator.ts";
import { roles } from "../rooms/commands.ts";
import type { Server } from "../server/server.ts";
import type { OperationName } from "./coverage.ts";
import type { OperationId, Oracle } from "./oracle.ts";
import type { Scheduler } from "./scheduler.ts";
import { peerPort } from "./sim-server.ts";

/** How often those who are outside a private room are let in again, and somebody is made to rule it. */
const tidyEveryMs = 12_000;
/** How often it is looked whether a server that was taken out is in again. */
const putInEveryMs = 3_000;

export interface OperatorPlan {
  /** Rooms that keep so many of their newest messages, from a moment on. */
  readonly retention: readonly { readonly at: number; readonly room: RoomName; readonly messages: number }[];
  /** Rooms whose older part is removed once: `share` of the way to the head. */
  readonly trims: readonly { readonly at: number; readonly room: RoomName; readonly share: number }[];
  readonly kicks: readonly { readonly at: number; readonly room: RoomName; readonly user: UserName }[];
  readonly privateRooms: ReadonlySet<string>;
  /** When the leader is asked to hand over to another server. */
  readonly transfers: readonly { readonly at: number; readonly to: NodeName }[];
  /** When a server is taken out of the cluster, and how long it stays out. */
  readonly removals: readonly { readonly at: number; readonly node: NodeName; readonly forMs: number }[];
}

/** Draws which servers are taken out and put in again: none in half of the runs. */
export function drawRemovals(
  random: Random,
  { servers, forMs }: { readonly servers: readonly string[]; readonly forMs: number },
): OperatorPlan["removals"] {
  if (servers.length === 1 || random.whole(2) === 0) return [];
  return Array.from({ length: 1 + random.whole(12) }, () => ({
    at: forMs * fraction(random),
    node: servers[random.whole(servers.length)]! as NodeName,
    forMs: 1_000 + random.whole(20_000),
  }));
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
): Omit<OperatorPlan, "removals"> {
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
  const transferCount = servers.length > 1 && random.whole(2) === 0 ? 1 + random.whole(24) : 0;
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
  readonly #isAlone: boolean;
  readonly #over: (operation: OperationName, since: number) => void;
  /** How many messages a room keeps, and the highest head it was seen to have. */
  readonly #kept = new Map<RoomName, number>();
  /** Changes of membership that are not answered. */
  readonly #changes = new Set<OperationId>();
  /** Servers that were taken out, or may have been, and are not known to be in again. */
  readonly #out = new Set<NodeName>();

  constructor(options: {
    readonly plan: OperatorPlan;
    readonly scheduler: Scheduler;
    readonly oracle: Oracle;
    readonly users: readonly string[];
    /** The server of the moment, if it takes anything. */
    readonly server: () => Server | null;
    /** How far a room is known to go. */
    readonly head: (room: RoomName) => number;
    /** A server that is alone knows of everything that failed that it is not done any more, ever. */
    readonly isAlone: boolean;
    /** Something that was asked of a server is done, and was begun then. */
    readonly over: (operation: OperationName, since: number) => void;
  }) {
    this.#plan = options.plan;
    this.#scheduler = options.scheduler;
    this.#oracle = options.oracle;
    this.#users = [...new Set(options.users)] as UserName[];
    this.#server = options.server;
    this.#head = options.head;
    this.#isAlone = options.isAlone;
    this.#over = options.over;
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
    for (const { at, node, forMs } of this.#plan.removals) {
      this.#later(at, () => this.#takeOut(node, forMs));
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

  /** A server is about to take the place of its former life: what that one was asked, if alone, is made or never will be. */
  serverStarts(): void {
    this.update();
    if (this.#isAlone) for (const id of this.#changes) this.#ended(id, "over");
  }

  #change(type: "invite" | "kick", room: RoomName, user: UserName): void {
    const server = this.#server();
    if (server === null) return;
    const way = type === "invite" ? "in" : "out";
    const id = this.#oracle.changeInvoked({ at: this.#scheduler.now(), client: "operator", way, room, user });
    this.#changes.add(id);
    operate(server, { type, room, user }).then(
      () => this.#ended(id, "done"),
      (error: unknown) => {
        const isCertain = this.#isAlone || (error instanceof Fault && error.definite);
        this.#ended(id, isCertain ? "over" : "unknown");
      },
    );
  }

  #ended(id: OperationId, outcome: "done" | "over" | "unknown"): void {
    if (this.#changes.delete(id)) this.#oracle.changeEnded(id, { at: this.#scheduler.now(), outcome });
  }

  /** Whoever can't take over is refused, and the leader goes on. */
  #handOver(to: NodeName): void {
    const server = this.#server();
    if (server !== null) this.#counted("transfer", server.transfer(to)).catch(() => undefined);
  }

  /** Not while another one is out: the others are to be a quorum that can lose one more. */
  #takeOut(node: NodeName, forMs: number): void {
    const server = this.#server();
    if (server === null || this.#out.size > 0) return;
    this.#out.add(node);
    this.#counted("member removed", removeServer(server, node)).catch(() => undefined);
    this.#later(forMs, () => this.#putIn(node));
  }

  /** From now on it is to be in: what was asked before may come to pass late, and is undone then. */
  #putIn(node: NodeName): void {
    this.#later(putInEveryMs, () => this.#putIn(node));
    const server = this.#server();
    if (server === null || server.driver.engine.standing.leader !== server.node) return;
    if (server.node === node || server.cluster?.listed.has(node) === true) {
      this.#out.delete(node);
      return;
    }
    const asked = addServer(server, node, { host: node, port: peerPort });
    this.#counted("member added", asked).catch(() => undefined);
  }

  #do(operation: Operation): void {
    const server = this.#server();
    // A refusal is the server's answer to an operator; what was asked is left undone.
    if (server === null) return;
    const done = operate(server, operation);
    if (operation.type === "role") done.catch(() => undefined);
    else this.#counted("trim", done).catch(() => undefined);
  }

  #counted<T>(operation: OperationName, asked: Promise<T>): Promise<T> {
    const since = this.#scheduler.now();
    return asked.then((answer) => {
      this.#over(operation, since);
      return answer;
    });
  }

  #later(delayMs: number, task: () => void): void {
    this.#scheduler.after(millis(delayMs), "operator", task);
  }
}
