import { assert, unreachable } from "../base/assert.ts";
import { millis } from "../base/units.ts";
import { CatchUps } from "./catch-ups.ts";
import type { OperationName } from "./coverage.ts";
import type { SimHost } from "./host.ts";
import type { Oracle } from "./oracle.ts";
import type { SubscriptionId } from "./subscriptions.ts";
import type { MembershipWay } from "./membership-history.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimClient, SubscriptionSink } from "./sim-client.ts";
import type { Intent, Workload } from "./workload.ts";

/** How long who wants to be in a room waits after an answer that may pass. */
const joinAgainMs = 1_000;

export interface PlayerOptions {
  readonly scheduler: Scheduler;
  readonly oracle: Oracle;
  readonly workload: Workload;
  /** Whether there are servers that may know less than another one did: news may go back where a client moves. */
  readonly mayLag: boolean;
  /** The client of each index of the workload, and the host it runs on. Asked each time: a client may have been restarted. */
  readonly client: (index: number) => { readonly client: SimClient; readonly host: SimHost };
  /** Something that a client asked for is over. `since`: when it began; left out: now. @defaultValue nobody counts */
  readonly over?: (operation: OperationName, client: number, since?: number) => void;
}

interface Following {
  readonly id: SubscriptionId;
  readonly room: string;
  readonly end: () => void;
}

/**
 * Plays a workload on clients and tells the oracle everything they did and were given. Each intent is a turn of the
 * client's own host: a paused client does it later, one that is down not at all.
 */
export class WorkloadPlayer {
  readonly #scheduler: Scheduler;
  readonly #oracle: Oracle;
  readonly #workload: Workload;
  readonly #mayLag: boolean;
  readonly #client: PlayerOptions["client"];
  readonly #over: NonNullable<PlayerOptions["over"]>;
  /** What each client follows, by client and room. */
  readonly #following = new Map<string, Following>();
  /** The highest place each client knows of, by client and room. */
  readonly #heads = new Map<string, number>();
  /** Where a client's own messages were stored, by client and cid. */
  readonly #stored = new Map<string, number>();
  /** What a message referred to when it was first sent: a repeat says the same. */
  readonly #refs = new Map<string, number>();
  readonly #catchUps: CatchUps;
  /** Sends without an outcome, by client. */
  readonly #openSends = new Map<number, number>();
  /** Ids that were sent, by user. */
  readonly #sent = new Set<string>();
  /** Rooms that somebody sent to. */
  readonly #touched = new Set<string>();

  constructor(options: PlayerOptions) {
    this.#scheduler = options.scheduler;
    this.#oracle = options.oracle;
    this.#workload = options.workload;
    this.#mayLag = options.mayLag;
    this.#client = options.client;
    this.#over = options.over ?? (() => undefined);
    this.#catchUps = new CatchUps(options.oracle);
  }

  /** Sends whose outcome is not known yet. */
  get openSends(): number {
    let open = 0;
    for (const count of this.#openSends.values()) open += count;
    return open;
  }

  /** Plans every intent, from the present moment on. */
  play(): void {
    for (const intent of this.#workload.intents) {
      this.#scheduler.after(millis(intent.at), "intent", () => {
        const { host } = this.#client(intent.client);
        host.input(0, intent.act, () => this.#do(intent));
      });
    }
  }

  /** The process of this client is gone: call it at its crash, before it starts anew. */
  clientCrashed(index: number): void {
    this.#oracle.clientStopped(this.#name(index));
    this.#openSends.delete(index);
    for (const key of this.#heads.keys()) if (key.startsWith(`${index}\n`)) this.#heads.delete(key);
    for (const [key, following] of this.#following) {
      if (!key.startsWith(`${index}\n`)) continue;
      this.#following.delete(key);
      this.#oracle.unsubscribed(following.id);
    }
  }

  /**
   * One fresh subscription from the very beginning for each room that was sent to and that this client may read: what
   * is owed to a reader in the end. Direct rooms need one of their two users.
   */
  beginCatchUp(reader: number): void {
    const { client } = this.#client(reader);
    for (const room of this.#workload.rooms) {
      if (!this.#touched.has(room)) continue;
      const members = room.startsWith("@") ? room.slice(1).split(",") : null;
      if (members !== null && !members.includes(client.user)) continue;
      // The client may have left, and what it follows ends where another subscription begins.
      if (members === null) this.#joinForCertain(reader, room);
      this.#unfollow(`${reader}\n${room}`);
      const id = this.#oracle.subscribed({ client: this.#name(reader), room, after: 0, user: client.user });
      this.#catchUps.begin({ id, room, client, sink: this.#sink(reader, room, id) });
    }
  }

  /** Whether no send is open, and every catch-up was called complete and reached what was acknowledged. */
  get isCaughtUp(): boolean {
    return this.openSends === 0 && this.#catchUps.areDone;
  }

  /** What `isCaughtUp` still waits for, for people. */
  unfinished(): string[] {
    const open = [...this.#openSends]
      .filter(([, count]) => count > 0)
      .map(([index, count]) => `client ${index} waits for ${count} sends`);
    return [...open, ...this.#catchUps.unfinished()];
  }

  /** Tells the oracle that the catch-ups are over, whether or not they reached the end, and ends everything. */
  endCatchUp(): void {
    this.#catchUps.end();
    for (const key of this.#following.keys()) this.#unfollow(key);
  }

  #do(intent: Intent): void {
    switch (intent.act) {
      case "send":
        this.#send(intent);
        return;
      case "subscribe":
        this.#subscribe(intent);
        return;
      case "unsubscribe":
        this.#unfollow(`${intent.client}\n${intent.room}`);
        return;
      case "history":
        this.#history(intent);
        return;
      case "lookup":
        this.#lookup(intent);
        return;
      case "mark":
        this.#mark(intent);
        return;
      case "reconnect":
        this.#client(intent.client).client.reconnect();
        return;
      case "read-slowly": {
        const { client, host } = this.#client(intent.client);
        client.readSlowly(true);
        host.input(intent.forMs, "read-on", () => client.readSlowly(false));
        return;
      }
      case "members":
        this.#members(intent.client, intent.room);
        return;
      case "invite": {
        const { room, user } = intent;
        this.#change(intent.client, { way: "in", room, user }, (client) => client.invite(room, user));
        return;
      }
      case "remove": {
        const { room, user } = intent;
        this.#change(intent.client, { way: "out", room, user }, (client) => client.remove(room, user));
        return;
      }
      case "join":
      case "leave": {
        const { room, act } = intent;
        const { user } = this.#client(intent.client).client;
        const way = act === "join" ? act : "out";
        this.#change(intent.client, { way, room, user }, (client) => client[act](room));
        return;
      }
      default:
        unreachable(intent);
    }
  }

  #send(intent: Extract<Intent, { act: "send" }>): void {
    const { client } = this.#client(intent.client);
    const { room, cid, kind, body } = intent;
    const ref = this.#ref(intent);
    // What it speaks of is not known here; this client would not offer it.
    if (intent.ref !== null && ref === 0) return;
    const at = this.#scheduler.now();
    const id = this.#oracle.sendInvoked({
      at,
      client: this.#name(intent.client),
      room,
      from: client.user,
      cid,
      kind,
      ref,
      body,
    });
    this.#touched.add(room);
    this.#countOpen(intent.client, 1);
    const { host } = this.#client(intent.client);
    const { life } = host;
    const { connections } = client;
    const isRepeat = this.#sent.has(`${client.user}\n${cid}`);
    this.#sent.add(`${client.user}\n${cid}`);
    void client.send({ room, cid, kind, ref, body }).then((result) => {
      // A client that crashed no longer tells anything.
      if (host.life !== life || !host.alive) return;
      this.#countOpen(intent.client, -1);
      const now = this.#scheduler.now();
      this.#over(isRepeat ? "repeat" : "send", intent.client, at);
      if (client.connections !== connections) this.#over("retry", intent.client, at);
      if (result.outcome === "stored") {
        this.#stored.set(`${intent.client}\n${cid}`, result.seq);
        this.#know(intent.client, room, result.seq);
        this.#oracle.sendAcknowledged(id, { ...result, at: now });
      } else if (result.outcome === "refused") {
        this.#oracle.sendRefused(id, { at: now, code: result.code });
      } else {
        this.#oracle.sendUnknown(id, { at: now });
      }
    });
  }

  #countOpen(index: number, by: number): void {
    this.#openSends.set(index, (this.#openSends.get(index) ?? 0) + by);
  }

  #ref(intent: Extract<Intent, { act: "send" }>): number {
    if (intent.ref === null) return 0;
    const key = `${intent.client}\n${intent.cid}`;
    let ref = this.#refs.get(key);
    if (ref === undefined) {
      ref =
        "own" in intent.ref
          ? (this.#stored.get(`${intent.client}\n${intent.ref.own}`) ?? 0)
          : this.#place(intent.client, intent.room, intent.ref.place);
      this.#refs.set(key, ref);
    }
    return ref;
  }

  #subscribe(intent: Extract<Intent, { act: "subscribe" }>): void {
    const { client } = this.#client(intent.client);
    const { room } = intent;
    const key = `${intent.client}\n${room}`;
    this.#unfollow(key);
    const after = intent.after === "latest" ? "latest" : this.#place(intent.client, room, intent.after.place);
    const id = this.#oracle.subscribed({ client: this.#name(intent.client), room, after, user: client.user });
    const subscription = client.subscribe({ room, after }, this.#sink(intent.client, room, id));
    this.#following.set(key, { id, room, end: () => subscription.end() });
  }

  #sink(index: number, room: string, id: SubscriptionId): SubscriptionSink {
    // Since when nothing was given: since it was asked for, then since the last thing given over the same connection.
    let since = this.#scheduler.now();
    let connection: number | null = null;
    const given = (): void => {
      const { connections } = this.#client(index).client;
      if (connection !== connections) this.#over(connection === null ? "subscribe" : "resume", index, since);
      connection = connections;
      since = this.#scheduler.now();
    };
    return {
      answered: (answer) => this.#oracle.subscriptionAnswered(id, answer),
      message: (message) => {
        given();
        this.#over("live delivery", index);
        this.#know(index, room, message.seq);
        this.#oracle.observed(id, message);
      },
      gap: (gap) => this.#oracle.gapAnnounced(id, gap),
      caughtUp: (seq) => {
        given();
        this.#oracle.caughtUp(id, seq);
      },
      resumed: (after) => this.#oracle.resumed(id, after),
      mark: (mark) => {
        const { client } = this.#client(index);
        const reader = this.#mayLag ? `${this.#name(index)} connection ${client.connections}` : this.#name(index);
        this.#oracle.markShown({ client: reader, room, ...mark });
      },
      refused: () => this.#oracle.subscriptionRefused(id),
      askedAgain: () => this.#oracle.subscribedAgain(id),
    };
  }

  #unfollow(key: string): void {
    const following = this.#following.get(key);
    if (following === undefined) return;
    this.#following.delete(key);
    following.end();
    this.#oracle.unsubscribed(following.id);
  }

  #history(intent: Extract<Intent, { act: "history" }>): void {
    const { client } = this.#client(intent.client);
    const { room, limit, linearizable, direction } = intent;
    const place = this.#place(intent.client, room, intent.place);
    const atLeast = intent.atLeast ? this.#head(intent.client, room) : 0;
    // A page before, or around, the very beginning has nothing to show; ask from the first place on.
    const where =
      direction === "after"
        ? { after: place }
        : direction === "before"
          ? { before: place + 1 }
          : { around: Math.max(1, place) };
    const request = { room, limit, linearizable, ...where, ...(atLeast > 0 ? { atLeast } : {}) };
    const id = this.#oracle.historyInvoked({
      at: this.#scheduler.now(),
      client: this.#name(intent.client),
      user: client.user,
      known: this.#head(intent.client, room),
      ...request,
    });
    const operation = linearizable ? "certain page" : "history page";
    this.#settle(intent.client, operation, id, client.history(request), (answer) =>
      this.#oracle.historyAnswered(id, { at: this.#scheduler.now(), ...answer }),
    );
  }

  #lookup(intent: Extract<Intent, { act: "lookup" }>): void {
    const { client } = this.#client(intent.client);
    const from = this.#workload.users[intent.ofClient];
    assert(from !== undefined, `no client ${intent.ofClient}`);
    const { room, cid } = intent;
    const id = this.#oracle.lookupInvoked({
      at: this.#scheduler.now(),
      client: this.#name(intent.client),
      user: client.user,
      room,
      from,
      cid,
    });
    this.#settle(intent.client, "lookup", id, client.lookup({ room, from, cid }), (answer) =>
      this.#oracle.lookupAnswered(id, { at: this.#scheduler.now(), ...answer }),
    );
  }

  #mark(intent: Extract<Intent, { act: "mark" }>): void {
    const { client } = this.#client(intent.client);
    const { room } = intent;
    const seq = this.#place(intent.client, room, intent.place);
    if (seq === 0) return;
    const at = this.#scheduler.now();
    const id = this.#oracle.markInvoked({ at, client: this.#name(intent.client), user: client.user, room, seq });
    this.#settle(intent.client, "read mark", id, client.markRead({ room, seq }), () =>
      this.#oracle.markAcknowledged(id, { at: this.#scheduler.now() }),
    );
  }

  #members(index: number, room: string): void {
    const { client } = this.#client(index);
    const at = this.#scheduler.now();
    const id = this.#oracle.membersInvoked({ at, client: this.#name(index), user: client.user, room });
    this.#settle(index, "members page", id, client.members(room), (answer) =>
      this.#oracle.membersAnswered(id, { at: this.#scheduler.now(), ...answer }),
    );
  }

  /**
   * Asks again after an answer that may pass: who has been cut off for long waits longer between two tries than a request
   * may take, and where that is everybody, nobody makes the room.
   */
  #joinForCertain(index: number, room: string): void {
    const { host, client } = this.#client(index);
    const again = (): void => {
      host.input(joinAgainMs, "join again", () => this.#joinForCertain(index, room));
    };
    this.#change(index, { way: "join", room, user: client.user }, (one) => one.join(room), again);
  }

  /**
   * Changes who is in a room. Once another connection was begun, an attempt on the one before may still arrive. `passed`
   * is called after an answer that may pass.
   */
  #change(
    index: number,
    change: { readonly way: MembershipWay; readonly room: string; readonly user: string },
    ask: (client: SimClient) => Promise<void>,
    passed: () => void = () => undefined,
  ): void {
    const { client, host } = this.#client(index);
    const { connections } = client;
    const { life } = host;
    const at = this.#scheduler.now();
    const id = this.#oracle.changeInvoked({ at, client: this.#name(index), by: client.user, ...change });
    const end = (outcome: "done" | "over" | "unknown"): void => {
      this.#over("membership", index, at);
      if (host.life !== life || !host.alive) return;
      const known = client.connections === connections ? outcome : "unknown";
      this.#oracle.changeEnded(id, { at: this.#scheduler.now(), outcome: known });
    };
    void ask(client).then(
      () => end("done"),
      (error: unknown) => {
        const code = codeOf(error);
        end(code === null || code === "unavailable" ? "unknown" : "over");
        if (error instanceof Error && "retryable" in error && error.retryable === true) passed();
      },
    );
  }

  /** Tells the oracle how a request ended, unless the client crashed meanwhile. */
  #settle<T>(
    index: number,
    operation: OperationName,
    id: number,
    answer: Promise<T>,
    answered: (answer: T) => void,
  ): void {
    const { host } = this.#client(index);
    const since = this.#scheduler.now();
    const over = (): void => this.#over(operation, index, since);
    void answer.then(over, over);
    const { life } = host;
    const lives = (): boolean => host.life === life && host.alive;
    void answer.then(
      (value) => {
        if (lives()) answered(value);
      },
      (error: unknown) => {
        if (!lives()) return;
        const code = codeOf(error);
        this.#oracle.requestEnded(id, { at: this.#scheduler.now(), ...(code === null ? {} : { code }) });
      },
    );
  }

  #place(index: number, room: string, share: number): number {
    return Math.floor(this.#head(index, room) * share);
  }

  #head(index: number, room: string): number {
    return this.#heads.get(`${index}\n${room}`) ?? 0;
  }

  #know(index: number, room: string, seq: number): void {
    if (seq > this.#head(index, room)) this.#heads.set(`${index}\n${room}`, seq);
  }

  /** A client that was started anew is another client to the oracle: what the old one had under way may still arrive. */
  #name(index: number): string {
    return `client ${index}.${this.#client(index).host.life}`;
  }
}

const codeOf = (error: unknown): string | null =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
