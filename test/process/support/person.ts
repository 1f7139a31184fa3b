import { setTimeout as pause } from "node:timers/promises";
import { fraction, type Random } from "../../../src/base/random.ts";
import type { Chat } from "../../../src/client/client.ts";
import { SendRefused, SendUnknown } from "../../../src/client/outcome.ts";
import type { SentMessage } from "../../../src/client/sent-message.ts";
import { Oracle } from "../../../src/sim/oracle.ts";
import type { SubscriptionId } from "../../../src/sim/subscriptions.ts";

/** How busy people are, and where. */
export interface Habits {
  readonly rooms: readonly string[];
  /** Sends of one client without an answer. */
  readonly windowMax: number;
  /** Sends of one burst. */
  readonly burstMax: number;
  /** Between two bursts, at most. */
  readonly restMs: number;
  /** What clients have waited for so long, though there is a server, will not come. */
  readonly stuckAfterMs: number;
}

const defaultHabits: Habits = {
  rooms: ["lobby", "north", "south"],
  windowMax: 48,
  burstMax: 24,
  restMs: 40,
  stuckAfterMs: 30_000,
};
const repeatsPerHundred = 4;
const conflictsPerHundred = 1;

/** What happened, as the clients saw it. */
export class Witness {
  readonly oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null });
  readonly random: Random;
  acknowledged = 0;
  repeats = 0;
  conflicts = 0;
  readonly refusedCodes: string[] = [];

  readonly people: Person[] = [];
  readonly habits: Habits;

  constructor(random: Random, habits: Partial<Habits> = {}) {
    this.random = random;
    this.habits = { ...defaultHabits, ...habits };
  }

  /** Waits for what must come while there is a server that listens; says who waits for what when it does not. */
  async reached(what: () => boolean): Promise<void> {
    const stuckAt = performance.now() + this.habits.stuckAfterMs;
    while (!what()) {
      if (performance.now() > stuckAt) {
        throw new Error(`nothing comes: ${this.people.map((person) => person.state()).join("; ")}`);
      }
      await pause(2);
    }
  }
}

interface Said {
  readonly room: string;
  readonly cid: string;
  readonly body: string;
}

/** One user with one client, who sends to all rooms and reads all of them. */
export class Person {
  readonly #witness: Witness;
  readonly #chat: Chat;
  readonly #name: string;
  readonly #readings: { room: string; id: SubscriptionId; position: number; stop: AbortController }[] = [];
  readonly #said: Said[] = [];
  #numbered = 0;
  #open = 0;
  #talking: Promise<void> = Promise.resolve();
  #isOver = false;

  constructor(witness: Witness, chat: Chat, name: string) {
    this.#witness = witness;
    this.#chat = chat;
    this.#name = name;
    witness.people.push(this);
  }

  state(): string {
    const { state } = this.#chat;
    const standing = state.name === "offline" ? `offline (${state.reason})` : state.name;
    const open = this.#chat.pending().map((sent) => `${sent.content.room}/${sent.cid} ${sent.state}`);
    const read = this.#readings.map(({ room, position }) => `${room} ${position}`).join(", ");
    return `${this.#name} (read ${read}) is ${standing}, ${open.length} without an outcome, the first ${open.slice(0, 3).join(", ")}`;
  }

  /** Messages read, in all rooms. */
  get position(): number {
    return this.#readings.reduce((sum, { position }) => sum + position, 0);
  }

  async enter(): Promise<void> {
    for (const room of this.#witness.habits.rooms) await this.#ask(() => this.#chat.room(room).join());
    this.read();
  }

  /** Reads every room from the first message on. */
  read(): void {
    for (const room of this.#witness.habits.rooms) {
      const id = this.#witness.oracle.subscribed({ client: this.#name, room, after: 0 });
      const reading = { room, id, position: 0, stop: new AbortController() };
      this.#readings.push(reading);
      void this.#follow(reading);
    }
  }

  async #follow(reading: { room: string; id: SubscriptionId; position: number; stop: AbortController }): Promise<void> {
    const { room, id, stop } = reading;
    for await (const item of this.#chat.room(room).messages({ after: 0, signal: stop.signal })) {
      if (item.gap !== undefined) {
        reading.position = item.gap.to;
        this.#witness.oracle.gapAnnounced(id, item.gap);
        continue;
      }
      const { seq, ts, epoch, from, cid, kind, ref, body } = item;
      if (seq === null) throw new Error("one server orders everything at once");
      reading.position = seq;
      this.#witness.oracle.observed(id, { room, seq, ts, epoch, from, cid, kind, ref: ref ?? 0, body });
    }
  }

  /** Sends bursts, one behind the other, until `finish`. */
  talk(): void {
    const { random, habits } = this.#witness;
    this.#talking = (async () => {
      while (!this.#isOver) {
        const burst = 1 + random.whole(habits.burstMax);
        for (let n = 0; n < burst && this.#open < habits.windowMax; n++) this.#sendOne();
        await pause(random.whole(habits.restMs));
      }
    })();
  }

  #sendOne(): void {
    const { random, habits } = this.#witness;
    const { rooms } = habits;
    const die = random.whole(100);
    const said = die < repeatsPerHundred + conflictsPerHundred ? this.#recall(random) : undefined;
    if (said === undefined) {
      const room = rooms[random.whole(rooms.length)]!;
      const cid = `${this.#chat.user}-${this.#numbered++}`;
      const body = `${room} ${cid} ${"x".repeat(Math.floor(400 * fraction(random) ** 3))}`;
      this.#said.push({ room, cid, body });
      this.#send({ room, cid, body }, true);
      return;
    }
    const isConflict = die < conflictsPerHundred;
    if (isConflict) this.#witness.conflicts++;
    else this.#witness.repeats++;
    this.#send(isConflict ? { ...said, body: `${said.body}!` } : said, false);
  }

  /** Something said before: mostly just now, sometimes long ago. */
  #recall(random: Random): Said | undefined {
    const back = random.whole(2) === 0 ? random.whole(40) : random.whole(this.#said.length + 1);
    return this.#said[this.#said.length - 1 - back];
  }

  #send(message: Said, isNewCid: boolean): void {
    const { oracle } = this.#witness;
    const { room, cid, body } = message;
    const content = { room, from: this.#chat.user, cid, kind: "text", ref: 0, body };
    const id = oracle.sendInvoked({ at: performance.now(), client: this.#name, ...content });
    this.#open++;
    void this.#outcome(id, this.#chat.room(room).send(body, { cid, isNewCid })).finally(() => this.#open--);
  }

  async #outcome(id: number, sent: SentMessage): Promise<void> {
    const { oracle } = this.#witness;
    try {
      const { seq, ts, epoch, dup } = await sent;
      if (seq === null) throw new Error("one server orders everything at once");
      this.#witness.acknowledged++;
      const at = performance.now();
      if (ts !== null && epoch !== null) oracle.sendAcknowledged(id, { at, seq, ts, epoch, dup });
      else oracle.sendAcknowledged(id, { at, ...(await this.#placeAt(sent.content.room, seq)), dup });
    } catch (error) {
      if (error instanceof SendUnknown) {
        oracle.sendUnknown(id, { at: performance.now() });
        return;
      }
      if (!(error instanceof SendRefused)) throw error;
      if (error.code !== "id_conflict") this.#witness.refusedCodes.push(error.code);
      oracle.sendRefused(id, { at: performance.now(), code: error.code });
    }
  }

  /** A lookup tells the place only; the rest stands in the room. */
  async #placeAt(room: string, seq: number): Promise<{ seq: number; ts: number; epoch: number }> {
    const page = await this.#ask(() => this.#chat.room(room).history({ after: seq - 1, limit: 1 }));
    const found = page.items[0];
    if (found?.seq !== seq) throw new Error(`${room} has nothing at ${seq}, which a lookup named`);
    return { seq, ts: found.ts, epoch: found.epoch };
  }

  /** A request may run out of time while there is no server; then it is asked again. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await question();
      } catch (error) {
        const isWorthwhile = error instanceof Error && "retryable" in error && error.retryable === true;
        if (!isWorthwhile || this.#chat.state.name === "closed") throw error;
        await pause(20);
      }
    }
  }

  /** Stops talking, and settles when every send has its outcome. */
  async settle(): Promise<void> {
    this.#isOver = true;
    await this.#talking;
    await this.#witness.reached(() => this.#open === 0);
  }

  /** Settles when everything that is stored by now was read. */
  async catchUp(): Promise<void> {
    for (const reading of this.#readings) {
      const page = await this.#ask(() => this.#chat.room(reading.room).history({ limit: 1, level: "linearizable" }));
      await this.#witness.reached(() => reading.position >= page.head);
    }
  }

  async leave(): Promise<void> {
    this.#isOver = true;
    for (const { id, stop } of this.#readings.splice(0)) {
      stop.abort();
      this.#witness.oracle.finishedReading(id);
    }
    await this.#chat.close();
  }
}
