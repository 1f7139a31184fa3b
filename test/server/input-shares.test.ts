import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { Clock, Timer } from "../../src/base/clock.ts";
import type { Cid, RoomName, UserName } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { millis, timestamp } from "../../src/base/units.ts";
import type { Refused } from "../../src/protocol/check-frame.ts";
import { encodeBinary } from "../../src/protocol/binary-codec.ts";
import type { ClientFrame } from "../../src/protocol/schema.ts";
import { sendId } from "../../src/protocol/send-bytes.ts";
import type { ClientLink } from "../../src/server/client-link.ts";
import { InputShares } from "../../src/server/input-shares.ts";
import { type FrameTaker, SessionInput } from "../../src/server/session-input.ts";

/** Time that goes on when it is told to, turn by turn: what is deferred in a turn runs in the next. */
class TurnClock implements Clock {
  #now = 0;
  #timers: { due: number; task: () => void }[] = [];
  #deferred: (() => void)[] = [];

  now(): ReturnType<Clock["now"]> {
    return millis(this.#now);
  }

  wall(): ReturnType<Clock["wall"]> {
    return timestamp(this.#now);
  }

  after(delay: number, task: () => void): Timer {
    const timer = { due: this.#now + delay, task };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) };
  }

  defer(task: () => void): void {
    this.#deferred.push(task);
  }

  advance(by: number): void {
    this.#now += by;
    const due = this.#timers.filter((timer) => timer.due <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.due > this.#now);
    for (const timer of due) timer.task();
  }

  turns(count: number): void {
    for (let turn = 0; turn < count; turn++) for (const task of this.#deferred.splice(0)) task();
  }
}

/** A server's input without a server: notes whose frames are taken, in their order, until they are flushed. */
class Town {
  readonly clock = new TurnClock();
  readonly gathered = { hasGathered: false };
  /** Whether something comes of what is taken. */
  readonly isGathering: boolean;
  readonly shares = new InputShares(this.clock, this.gathered);
  format: ClientLink["format"] = "binary-stream";
  /** Names of those who were taken, in order. */
  taken: string[] = [];

  constructor(isGathering = true) {
    this.isGathering = isGathering;
  }

  /** One more connection of a user. */
  connect(user: string, name = user): Person {
    return new Person(this, user as UserName, name);
  }

  /** What was gathered goes out, and the next flush begins. */
  flush(): void {
    this.gathered.hasGathered = false;
    this.shares.gone();
  }

  count(name: string): number {
    return this.taken.filter((one) => one === name).length;
  }
}

class Person implements FrameTaker {
  readonly state = "open";
  readonly user: UserName;
  readonly input: SessionInput;
  readonly #town: Town;
  readonly #name: string;
  #said = 0;
  isPaused = false;
  readonly ids: number[] = [];

  constructor(town: Town, user: UserName, name: string) {
    this.#town = town;
    this.user = user;
    this.#name = name;
    const link: ClientLink = {
      door: "tcp",
      format: town.format,
      address: "192.0.2.1",
      write: () => undefined,
      queuedBytes: () => 0,
      pause: () => void (this.isPaused = true),
      resume: () => void (this.isPaused = false),
      close: () => undefined,
      destroy: () => undefined,
    };
    this.input = new SessionInput(this, link, defaultLimits, town.shares);
  }

  /** Says so many frames of `bytes` bytes each, in one go. */
  say(count: number, bytes = 100): void {
    const frames = new Uint8Array(count * bytes);
    for (let n = 0; n < count; n++) frames.set(frameOf(++this.#said, bytes), n * bytes);
    this.input.received(frames);
    // They were lent.
    frames.fill(0xee);
  }

  takeSend(bytes: Uint8Array, offset: number, _end: number): boolean {
    this.ids.push(sendId(bytes, offset));
    this.#town.taken.push(this.#name);
    this.#town.gathered.hasGathered = this.#town.isGathering;
    return true;
  }

  /** Says so many pings as JSON, each in a piece of its own. */
  ping(count: number): void {
    for (let n = 0; n < count; n++) {
      const text = new TextEncoder().encode(JSON.stringify({ t: "ping", id: ++this.#said }));
      this.input.received(text);
      text.fill(0xee);
    }
  }

  takeFrame(frame: ClientFrame | Refused): boolean {
    if (frame.t !== "ping") throw new Error(`${frame.t} was not said`);
    this.ids.push(Number(frame.id));
    this.#town.taken.push(this.#name);
    this.#town.gathered.hasGathered = this.#town.isGathering;
    return true;
  }

  greetingTooLong(): void {
    throw new Error("nobody greets here");
  }
}

/** A send with a body that makes the frame as long as it is to be. */
function frameOf(id: number, bytes: number): Uint8Array {
  const frame = (body: string): Uint8Array =>
    encodeBinary("client", { t: "send", id, room: "r" as RoomName, cid: "c" as Cid, body });
  return frame("x".repeat(bytes - frame("").length));
}

/** More than anybody is given in any flush of these tests. */
const flood = 3_000;

test("[SHARE1] what is said once is taken in its turn, whatever others have said before, on however many connections", () => {
  const town = new Town();
  const loud = ["a", "b", "c", "d"].map((name) => town.connect("loud", name));
  for (const one of loud) one.say(flood);
  town.clock.turns(50);
  for (let round = 0; round < 20; round++) {
    town.connect(`quiet-${round}`).say(1);
    expect(town.taken.at(-1)).toBe(`quiet-${round}`);
    town.clock.turns(2);
  }
});

test("[SHARE2] users get equal parts, however many connections they have and however long their frames are", () => {
  const town = new Town();
  const bytes = { loud: 0, plain: 0, long: 0 };
  for (const name of ["a", "b", "c", "d"]) town.connect("loud", name).say(flood);
  town.connect("plain").say(flood);
  town.connect("long").say(500, 1_000);
  town.flush();
  town.taken = [];
  for (let flush = 0; flush < 8; flush++) {
    town.clock.turns(10);
    town.flush();
  }
  for (const name of town.taken) {
    if (name === "plain") bytes.plain += 612;
    else if (name === "long") bytes.long += 1_512;
    else bytes.loud += 612;
  }
  expect(bytes.plain / bytes.loud).toBeCloseTo(1, 1);
  expect(bytes.long / bytes.loud).toBeCloseTo(1, 1);
  // And so do the connections of one.
  expect(town.count("a") / town.count("d")).toBeCloseTo(1, 1);
});

test("[SHARE3] those who have more are given no more for one flush, however many turns it takes and however many they are", () => {
  const town = new Town();
  for (let user = 0; user < 8; user++) {
    for (const name of ["a", "b"]) town.connect(`user-${user}`, `${user}${name}`).say(flood / 4);
  }
  town.flush();
  town.clock.turns(50);
  for (let flush = 0; flush < 5; flush++) {
    town.taken = [];
    town.flush();
    town.clock.turns(50);
    const cost = town.taken.length * 612;
    expect(cost).toBeGreaterThan(150 * 1_024);
    // Each connection may have begun its last frame with little left.
    expect(cost).toBeLessThan(192 * 1_024 + 16 * 612);
  }
});

test("[SHARE4] a flush that takes long lets more be taken, a little at a time", () => {
  const town = new Town();
  town.connect("loud").say(flood);
  town.clock.turns(50);
  const before = town.taken.length;
  for (let ms = 0; ms < 6; ms++) {
    town.clock.advance(1);
    town.clock.turns(10);
  }
  // Six milliseconds are twice three.
  expect(town.taken.length - before).toBeGreaterThan((1.8 * 192 * 1_024) / 612);
  expect(town.taken.length - before).toBeLessThan((2.2 * 192 * 1_024) / 612);
});

test("[SHARE5] a frame longer than its user's part comes off the turns behind it", () => {
  const town = new Town();
  const [long, plain] = [town.connect("long"), town.connect("plain")];
  long.say(200, 60_000);
  plain.say(flood * 8);
  for (let flush = 0; flush < 40; flush++) {
    town.clock.turns(10);
    town.flush();
  }
  expect(long.ids.length).toBeLessThan(200);
  expect((long.ids.length * 60_512) / (town.count("plain") * 612)).toBeCloseTo(1, 1);
});

test("[SHARE6] whoever waits is served also when nothing comes of what is taken, and when nothing ever goes out", () => {
  for (const isGathering of [false, true]) {
    const town = new Town(isGathering);
    const [loud, other] = [town.connect("loud"), town.connect("other")];
    loud.say(flood);
    other.say(flood);
    for (let ms = 0; ms < 100; ms++) {
      town.clock.advance(1);
      town.clock.turns(10);
    }
    for (const { ids, isPaused } of [loud, other]) {
      expect(ids).toEqual(Array.from({ length: flood }, (_, n) => n + 1));
      expect(isPaused).toBe(false);
    }
  }
});

test("[SHARE7] a connection that ends leaves nothing behind, and its user's others go on", () => {
  const town = new Town();
  const [one, two] = [town.connect("loud", "one"), town.connect("loud", "two")];
  one.say(flood);
  two.say(flood);
  town.clock.turns(4);
  const before = one.ids.length;
  one.input.clear();
  for (let ms = 0; ms < 100; ms++) {
    town.clock.advance(1);
    town.clock.turns(10);
  }
  expect(one.ids.length).toBe(before);
  expect(two.ids.length).toBe(flood);
  two.input.clear();
  expect(town.shares.userCount).toBe(0);
});

test("[SHARE8] what waits stays as it was sent, in memory that serves again", () => {
  for (const format of ["binary-stream", "json-websocket"] as const) {
    const town = new Town();
    town.format = format;
    const loud = town.connect("loud");
    let spareBytes = 0;
    for (let round = 1; round <= 4; round++) {
      if (format === "binary-stream") for (let piece = 0; piece < 10; piece++) loud.say(flood / 10);
      else loud.ping(flood);
      // All that waits is in use.
      if (round > 1) expect(town.shares.memory.spareBytes).toBeLessThan(spareBytes / 2);
      for (let flush = 0; flush < 40; flush++) {
        town.clock.turns(10);
        town.flush();
      }
      expect(loud.ids).toEqual(Array.from({ length: round * flood }, (_, n) => n + 1));
      // What one round needed is enough for the next (numbers grow by a digit).
      if (round > 1) expect(town.shares.memory.spareBytes).toBeLessThan(spareBytes * 1.1);
      spareBytes = town.shares.memory.spareBytes;
      expect(spareBytes).toBeGreaterThan(flood * 10);
      expect(spareBytes).toBeLessThan(flood * 250);
    }
  }
});

test("every rule of SPEC.md has a test, and every id that is cited is a rule", () => {
  const spec = readFileSync(new URL("../../src/server/SPEC.md", import.meta.url), "utf8");
  const rules = [...spec.matchAll(/^- \*\*\[(SHARE\d+)\]\*\*/gm)].map(([, id]) => id);
  const own = readFileSync(new URL(import.meta.url), "utf8");
  expect([...own.matchAll(/^test\("\[(SHARE\d+)\]/gm)].map(([, id]) => id)).toEqual(rules);
  expect(rules.length).toBeGreaterThan(6);
});
