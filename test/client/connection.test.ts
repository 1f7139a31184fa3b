import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import type { Millis } from "../../src/base/units.ts";
import { Connection } from "../../src/client/connection.ts";
import type { ConnectionEvent, ConnectionState } from "../../src/client/connection.ts";
import type { ChatState } from "../../src/client/events.ts";
import { error } from "./model-server.ts";
import { collect, tell, world } from "./world.ts";

const at = (now: number): Millis => now as Millis;
type StateName = ConnectionState["name"];
type EventType = ConnectionEvent["type"];

/** Two servers, in the given state at 0; online since long ago. */
function connectionIn(state: StateName): Connection {
  const connection = new Connection(["a", "b"], seededRandom(1));
  if (state === "idle") return connection;
  connection.step({ type: "start", now: at(0) });
  if (state === "online" || state === "offline" || state === "unauthorized" || state === "closed") {
    connection.step({ type: "welcome", now: at(0), heartbeatMs: 25_000, servers: [] });
  }
  if (state === "offline") connection.step({ type: "lost", now: at(0), reason: "test", isRefusal: false });
  if (state === "unauthorized") connection.step({ type: "refused", reason: "test" });
  if (state === "closed") connection.step({ type: "close", reason: "test" });
  return connection;
}

const events: Record<EventType, ConnectionEvent> = {
  start: { type: "start", now: at(20_000) },
  welcome: { type: "welcome", now: at(20_000), heartbeatMs: 25_000, servers: [] },
  lost: { type: "lost", now: at(20_000), reason: "test", isRefusal: false },
  move: { type: "move", now: at(20_000), reason: "behind", hint: "b" },
  refused: { type: "refused", reason: "test" },
  hint: { type: "hint", now: at(20_000) },
  wanted: { type: "wanted", now: at(20_000) },
  retry: { type: "retry", now: at(20_000) },
  due: { type: "due", now: at(60_000) },
  close: { type: "close", reason: "test" },
};

// State after the event, then the effects.
const table: Record<StateName, Record<EventType, string>> = {
  idle: {
    start: "connecting dial",
    welcome: "idle",
    lost: "idle",
    move: "idle",
    refused: "idle",
    hint: "idle",
    wanted: "idle",
    retry: "idle",
    due: "idle",
    close: "closed",
  },
  connecting: {
    start: "connecting",
    welcome: "online",
    lost: "connecting drop dial",
    move: "connecting",
    refused: "unauthorized drop",
    hint: "connecting",
    wanted: "connecting",
    retry: "connecting",
    due: "connecting drop dial",
    close: "closed drop",
  },
  online: {
    start: "online",
    welcome: "online",
    lost: "offline drop",
    move: "connecting drop dial",
    refused: "unauthorized drop",
    hint: "online ping",
    wanted: "online",
    retry: "online ping",
    due: "online ping",
    close: "closed drop",
  },
  offline: {
    start: "offline",
    welcome: "offline",
    lost: "offline",
    move: "offline",
    refused: "offline",
    hint: "connecting dial",
    wanted: "connecting dial",
    retry: "connecting dial",
    due: "connecting dial",
    close: "closed",
  },
  unauthorized: {
    start: "unauthorized",
    welcome: "unauthorized",
    lost: "unauthorized",
    move: "unauthorized",
    refused: "unauthorized",
    hint: "unauthorized",
    wanted: "unauthorized",
    retry: "connecting dial",
    due: "unauthorized",
    close: "closed",
  },
  closed: {
    start: "closed",
    welcome: "closed",
    lost: "closed",
    move: "closed",
    refused: "closed",
    hint: "closed",
    wanted: "closed",
    retry: "closed",
    due: "closed",
    close: "closed",
  },
};

describe("the connection's states", () => {
  for (const [state, row] of Object.entries(table) as [StateName, Record<EventType, string>][]) {
    test(`[SDK1] ${state}: every event has its answer`, () => {
      for (const [type, outcome] of Object.entries(row) as [EventType, string][]) {
        const connection = connectionIn(state);
        const effects = connection.step(events[type]);
        const said = [connection.state.name, ...effects.map((effect) => effect.type)].join(" ");
        expect(`${type}: ${said}`).toBe(`${type}: ${outcome}`);
      }
    });
  }

  test("[SDK2] every server once, in random order, before any is tried again", () => {
    const servers = ["a", "b", "c", "d"];
    const firsts = new Set<string>();
    for (let seed = 0; seed < 40; seed++) {
      const connection = new Connection(servers, seededRandom(seed));
      const dialled: string[] = [];
      connection.step({ type: "start", now: at(0) });
      let now = 0;
      while (dialled.length < 8) {
        const { state } = connection;
        if (state.name === "connecting") dialled.push(state.url);
        connection.step({ type: "lost", now: at(now), reason: "test", isRefusal: false });
        if (connection.state.name !== "offline") continue;
        now = connection.dueAt();
        connection.step({ type: "due", now: at(now) });
      }
      firsts.add(dialled[0]!);
      expect(new Set(dialled.slice(0, 4))).toEqual(new Set(servers));
      expect(dialled.every((url, i) => url !== dialled[i - 1])).toBe(true);
    }
    expect(firsts).toEqual(new Set(servers));
  });

  test("[SDK3] the bound of the back-off doubles from 500 ms to 20 s, and the wait is anything below it", () => {
    const longest: number[] = Array.from({ length: 9 }, () => 0);
    const shortest: number[] = Array.from({ length: 9 }, () => Infinity);
    for (let seed = 0; seed < 300; seed++) {
      const connection = new Connection(["a"], seededRandom(seed));
      connection.step({ type: "start", now: at(0) });
      for (let i = 0; i < 9; i++) {
        connection.step({ type: "lost", now: at(0), reason: "test", isRefusal: false });
        const wait = connection.dueAt();
        longest[i] = Math.max(longest[i]!, wait);
        shortest[i] = Math.min(shortest[i]!, wait);
        connection.step({ type: "hint", now: at(0) });
      }
    }
    const bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];
    for (const [i, bound] of bounds.entries()) {
      expect(longest[i]).toBeLessThan(bound);
      expect(longest[i]).toBeGreaterThan(bound * 0.9);
      expect(shortest[i]).toBeLessThan(bound * 0.1);
    }
  });

  test("[SDK3] who does not get through to one server tries a few others at once, and then waits", () => {
    const servers = ["a", "b", "c", "d", "e"];
    const connection = new Connection(servers, seededRandom(1));
    const lose = (isRefusal: boolean): void =>
      void connection.step({ type: "lost", now: at(7), reason: "test", isRefusal });
    const tried: string[] = [];
    const states = (isRefusal: boolean, count: number): string[] =>
      Array.from({ length: count }, () => {
        if (connection.state.name === "connecting") tried.push(connection.state.url);
        lose(isRefusal);
        return connection.state.name;
      });
    connection.step({ type: "start", now: at(0) });
    expect(states(false, 3)).toEqual(["connecting", "connecting", "offline"]);
    // The rest of the round, and no more: all of them were tried a moment ago.
    connection.step({ type: "due", now: at(connection.dueAt()) });
    expect(states(false, 2)).toEqual(["connecting", "offline"]);
    expect(new Set(tried)).toEqual(new Set(servers));
    // What one server refuses another one would refuse too.
    connection.step({ type: "due", now: at(connection.dueAt()) });
    expect(states(true, 1)).toEqual(["offline"]);
    // Those who lose a link together do not come together, and begin with all the others.
    connection.step({ type: "hint", now: at(0) });
    connection.step({ type: "welcome", now: at(0), heartbeatMs: 25_000, servers: [] });
    expect(states(false, 1)).toEqual(["offline"]);
    connection.step({ type: "due", now: at(connection.dueAt()) });
    expect(states(false, 3)).toEqual(["connecting", "connecting", "offline"]);
  });

  test("[SDK3] ten seconds online start the back-off over; less does not", () => {
    const waitAfter = (online: number): number => {
      let longest = 0;
      for (let seed = 0; seed < 50; seed++) {
        const connection = new Connection(["a"], seededRandom(seed));
        connection.step({ type: "start", now: at(0) });
        for (let i = 0; i < 8; i++) {
          connection.step({ type: "lost", now: at(0), reason: "test", isRefusal: false });
          connection.step({ type: "hint", now: at(0) });
        }
        connection.step({ type: "welcome", now: at(0), heartbeatMs: 25_000, servers: [] });
        connection.step({ type: "lost", now: at(online), reason: "test", isRefusal: false });
        longest = Math.max(longest, connection.dueAt() - online);
      }
      return longest;
    };
    expect(waitAfter(9_999)).toBeGreaterThan(10_000);
    expect(waitAfter(10_000)).toBeLessThan(500);
  });
});

/** How a client stands that has not reached any server for long and tries again later than a request may take. */
async function inLongBackOff() {
  const { clock, server, chat } = world();
  server.down.add("*");
  const client = chat();
  const waitsMs = (): number => (client.state.name === "offline" ? client.state.retryAt - clock.wall() : 0);
  // A second since the last try, too.
  let before = 0;
  while (waitsMs() < 12_000 || before < 12_000) {
    before = waitsMs();
    await clock.advance(1_000);
  }
  return { clock, server, client };
}

describe("the connection", () => {
  const follow = (states: ChatState[]) =>
    states.map((state) => ("reason" in state ? `${state.name} ${state.reason}` : state.name));

  test("[SDK1] every change of state is told, with its reason", async () => {
    const { clock, server, chat } = world();
    const states: ChatState[] = [];
    const client = chat();
    expect(client.state.name).toBe("connecting");
    client.on("state", (state) => states.push(state));
    await clock.advance(10);
    server.cutAll();
    await clock.advance(2_000);
    await client.close();
    expect(follow(states)).toEqual(["online", "offline cut", "connecting", "online", "closed closed"]);
  });

  test("[SDK4] silence of two heartbeats, one of them after a ping, gives up a half-open link", async () => {
    const { clock, server, chat } = world();
    server.heartbeatMs = 1_000;
    const client = chat();
    await clock.advance(10);
    const [link] = server.links;
    link!.mute = true;
    const states: ChatState[] = [];
    client.on("state", (state) => states.push(state));
    await clock.advance(1_900);
    expect(follow(states)).toEqual([]);
    await clock.advance(200);
    expect(follow(states)[0]).toBe("offline silence");
    await clock.advance(2_000);
    expect(client.state.name).toBe("online");
  });

  test("[SDK4] while the server answers pings, a quiet link stays", async () => {
    const { clock, server, chat } = world();
    server.heartbeatMs = 1_000;
    chat();
    await clock.advance(60_000);
    expect(server.dialled).toHaveLength(1);
    expect(server.frames("ping").length).toBeGreaterThanOrEqual(58);
  });

  test("[SDK49] a server that says nothing any more is left soon while another could answer, and only then", async () => {
    const { clock, server, chat } = world();
    const client = chat({}, ["ws://a", "ws://b"]);
    const alone = chat({ user: "bob" }, ["ws://a"]);
    await clock.advance(1_000);
    for (const link of server.links) link.mute = true;
    const sent = client.room("lobby").send("a");
    const other = alone.room("lobby").send("b");
    await clock.advance(1_190);
    expect([client.state.name, sent.state]).toEqual(["online", "sending"]);
    await clock.advance(1_000);
    expect([client.state.name, tell(sent)]).toEqual(["online", "stored 1"]);
    expect(tell(other)).toBe("sending");
    await clock.advance(5_000);
    expect(alone.state.name).toBe("online");
    expect(server.dialled).toHaveLength(3);
  });

  test("[SDK49] requests and subscriptions are awaited like sends; where nothing is, a ping goes out as ever", async () => {
    const { clock, server, chat } = world();
    const reading = chat({}, ["ws://a", "ws://b"]);
    const asking = chat({}, ["ws://a", "ws://b"]);
    const idle = chat({}, ["ws://a", "ws://b"]);
    await clock.advance(1_000);
    for (const link of server.links) link.mute = true;
    const states: string[] = [];
    idle.on("state", ({ name }) => states.push(name));
    const read = collect(reading.room("lobby").messages({ after: 0 }));
    server.post("lobby", "bob", "hello");
    const answered = asking.room("lobby").members();
    await clock.advance(2_000);
    expect(read.seen).toEqual(["hello"]);
    await expect(answered).resolves.toBeDefined();
    await clock.advance(21_000);
    expect([states, server.frames("ping").length]).toEqual([[], 0]);
    await clock.advance(8_000);
    expect(states.slice(-2)).toEqual(["connecting", "online"]);
  });

  test("[SDK49] a server that works at it, and says that it is there, is not left", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) => (frame.t === "send" ? [] : null);
    const client = chat({}, ["ws://a", "ws://b"]);
    await clock.advance(1_000);
    client.room("lobby").send("a");
    await clock.advance(9_000);
    expect(server.dialled).toHaveLength(1);
    // Asked now and then, and not with every turn.
    expect(server.frames("ping").length).toBeGreaterThan(5);
    expect(server.frames("ping").length).toBeLessThan(16);
  });

  test("[SDK49] the next server is tried at once; where all are silent each is given longer, until one answers", async () => {
    const { clock, server, chat } = world();
    const client = chat({}, ["ws://a", "ws://b"]);
    await clock.advance(1_000);
    // As if the ways to all of them had become slow of a sudden.
    let isSilent = true;
    server.intercept = (frame) => (isSilent && frame.t !== "hello" ? [] : null);
    client.room("lobby").send("a");
    await clock.advance(1_250);
    expect([server.dialled.length, client.state.name]).toEqual([2, "online"]);
    await clock.advance(2_250);
    expect(server.dialled).toHaveLength(2);
    isSilent = false;
    await clock.advance(250);
    expect([server.bodies("lobby"), server.dialled.length]).toEqual([["a"], 3]);
    isSilent = true;
    client.room("lobby").send("b");
    await clock.advance(1_250);
    expect(server.dialled).toHaveLength(4);
  });

  test("[SDK49] whoever is slow, here or on the way, takes nobody for gone", async () => {
    const { clock, server, chat } = world();
    server.delayMs = 640;
    const client = chat({}, ["ws://a", "ws://b"]);
    await clock.advance(5_000);
    const sent = client.room("lobby").send("a");
    await clock.advance(3_000);
    expect([server.dialled.length, tell(sent)]).toEqual([1, "stored 1"]);
  });

  for (const monotonic of ["runs on", "stands still"] as const) {
    test(`[SDK4] after a sleep, a link that is gone is found out soon (the monotonic clock ${monotonic})`, async () => {
      const { clock, server, chat } = world();
      const client = chat();
      const room = client.room("lobby");
      const read = collect(room.messages({ after: 0 }));
      await clock.advance(12_000);
      const [link] = server.links;
      // Nobody says so: the network was another one, and what is sent on the old link goes nowhere.
      link!.mute = true;
      server.post("lobby", "bob", "while you slept");
      clock.sleep(3_600_000, monotonic);
      const states: ChatState[] = [];
      client.on("state", (state) => states.push(state));
      await clock.advance(16_000);
      expect(follow(states)[0]).toBe("offline silence");
      expect(client.state.name).toBe("online");
      expect(read.seen).toEqual(["while you slept"]);
      expect(server.dialled).toHaveLength(2);
    });

    test(`[SDK4] after a sleep, a link that lives is kept (the monotonic clock ${monotonic})`, async () => {
      const { clock, server, chat } = world();
      const client = chat();
      await clock.advance(12_000);
      clock.sleep(3_600_000, monotonic);
      await clock.advance(60_000);
      expect(client.state.name).toBe("online");
      expect(server.dialled).toHaveLength(1);
      expect(server.frames("ping").length).toBeGreaterThanOrEqual(2);
    });

    test(`[SDK4] after a sleep, a try does not wait any longer (the monotonic clock ${monotonic})`, async () => {
      const { clock, server, chat } = world();
      server.down.add("*");
      const client = chat();
      await clock.advance(300_000);
      const tried = server.dialled.length;
      clock.sleep(3_600_000, monotonic);
      server.down.clear();
      const sent = client.room("lobby").send("good morning");
      await clock.advance(10_100);
      expect(server.dialled).toHaveLength(tried + 1);
      expect(tell(sent)).toBe("stored 1");
    });
  }

  test("[SDK5] after a hint, a link that is gone is found out within 5 s", async () => {
    const { clock, server, chat } = world();
    let better = (): void => undefined;
    const client = chat({
      hints: {
        listen: (listener) => {
          better = listener;
          return () => undefined;
        },
      },
    });
    await clock.advance(20_000);
    const [link] = server.links;
    link!.mute = true;
    better();
    await clock.advance(4_900);
    // Hinting again asks no more often, and waits no longer.
    better();
    expect(server.dialled).toHaveLength(1);
    await clock.advance(1_000);
    expect(server.dialled).toHaveLength(2);
    expect(client.state.name).toBe("online");
    expect(server.frames("ping")).toHaveLength(0);
  });

  test("[SDK5] a server that drains is left at once for another", async () => {
    const { clock, server, chat } = world();
    chat({}, ["ws://a", "ws://b"]);
    await clock.advance(10);
    server.say({ t: "drain", withinMs: 5_000 });
    await clock.advance(1);
    expect(new Set(server.dialled)).toEqual(new Set(["ws://a", "ws://b"]));
  });

  test("[SDK5] with nowhere else to go, a drain is waited for", async () => {
    const { clock, server, chat } = world();
    chat();
    await clock.advance(10);
    server.say({ t: "drain", withinMs: 5_000 });
    await clock.advance(100);
    expect(server.dialled).toHaveLength(1);
  });

  test("[SDK5] a hint of the machine is a try at once", async () => {
    const { clock, server, chat } = world();
    let better = (): void => undefined;
    let stopped = false;
    const hints = {
      listen: (listener: () => void) => {
        better = listener;
        return () => {
          stopped = true;
        };
      },
    };
    server.down.add("*");
    const client = chat({ hints });
    await clock.advance(60_000);
    while (client.state.name !== "offline") await clock.advance(1);
    server.down.clear();
    better();
    await clock.advance(5);
    expect(client.state.name).toBe("online");
    await client.close();
    expect(stopped).toBe(true);
  });

  test("[SDK2] servers that the greeting names are tried too", async () => {
    const { clock, server, chat } = world();
    server.servers = ["ws://b"];
    const client = chat();
    await clock.advance(10);
    server.down.add("ws://a");
    server.cutAll();
    await clock.advance(5_000);
    expect(client.state).toMatchObject({ name: "online", url: "ws://b" });
  });

  test("[SDK6] the token is asked for before every greeting; one that is refused is asked for again", async () => {
    const { clock, server, chat } = world();
    let asked = 0;
    const client = chat({ token: () => Promise.resolve(`token ${++asked}`) });
    server.intercept = (frame) =>
      frame.t === "hello" && frame.token !== "token 3"
        ? [{ ...error(0, "unauthorized", true, false), id: undefined } as never]
        : null;
    await clock.advance(10_000);
    expect(client.state.name).toBe("online");
    expect(server.frames("hello").map(({ token }) => token)).toEqual(["token 1", "token 2", "token 3"]);
  });

  test("[SDK6] a refused token is not sent again: the client says so, keeps what is to be sent, and goes on with another", async () => {
    const { clock, server, chat } = world();
    let token = "old";
    server.intercept = (frame) =>
      frame.t === "hello" && frame.token !== "new"
        ? [{ ...error(0, "unauthorized", true, false), id: undefined } as never]
        : null;
    const client = chat({ token: () => Promise.resolve(token) });
    const sent = client.room("lobby").send("a");
    const asked = client.rooms().catch((failure: unknown) => failure);
    await clock.advance(60_000);
    expect(client.state).toMatchObject({ name: "unauthorized" });
    expect(server.frames("hello")).toHaveLength(1);
    expect(clock.timers).toBe(0);
    expect(sent.state).toBe("queued");
    expect(await asked).toMatchObject({ code: "unauthorized" });
    await expect(client.rooms()).rejects.toMatchObject({ code: "unauthorized" });
    // Somebody wants another try with it: one.
    client.reconnect();
    await clock.advance(60_000);
    expect(server.frames("hello")).toHaveLength(2);
    token = "new";
    const refreshed = client.refreshToken();
    await clock.advance(100);
    await refreshed;
    expect(client.state.name).toBe("online");
    expect(await sent).toMatchObject({ seq: 1 });
  });

  test("[SDK6] tokens that are all refused are not asked for for ever", async () => {
    const { clock, server, chat } = world();
    let asked = 0;
    server.intercept = (frame) =>
      frame.t === "hello" ? [{ ...error(0, "unauthorized", true, false), id: undefined } as never] : null;
    const client = chat({ token: () => Promise.resolve(`token ${++asked}`) });
    await clock.advance(600_000);
    expect(client.state.name).toBe("unauthorized");
    expect(asked).toBe(3);
  });

  test("[SDK6] a token that ran out ends the link; the next one that is given goes on", async () => {
    const { clock, server, chat } = world();
    let token = "old";
    const client = chat({ token: () => Promise.resolve(token) });
    await clock.advance(10);
    for (const link of server.links) link.cut("the token is no longer valid", 4401);
    await clock.advance(60_000);
    expect(client.state.name).toBe("unauthorized");
    const late = client.room("lobby").send("said meanwhile");
    await clock.advance(100);
    token = "new";
    client.reconnect();
    await clock.advance(100);
    expect(server.frames("hello").map((hello) => hello.token)).toEqual(["old", "new"]);
    expect(await late).toMatchObject({ seq: 1 });
  });

  test("[SDK5] `reconnect` dials at once, and asks a link that is there whether it lives", async () => {
    const { clock, server, chat } = world();
    server.down.add("*");
    const client = chat();
    await clock.advance(60_000);
    while (client.state.name !== "offline") await clock.advance(1);
    server.down.clear();
    client.reconnect();
    await clock.advance(5);
    expect(client.state.name).toBe("online");
    expect(server.frames("ping")).toHaveLength(0);
    client.reconnect();
    await clock.advance(5);
    expect(server.frames("ping")).toHaveLength(1);
    await client.close();
    client.reconnect();
    await clock.advance(100);
    expect(client.state).toEqual({ name: "closed", reason: "closed" });
  });

  test("[SDK3] a request in the middle of a long back-off is a try at once", async () => {
    const { clock, server, client } = await inLongBackOff();
    server.down.clear();
    const tried = server.dialled.length;
    const page = client.room("lobby").history();
    await clock.advance(100);
    expect(server.dialled).toHaveLength(tried + 1);
    expect((await page).items).toEqual([]);
  });

  test("[SDK3] a message where none waited is a try at once, and those behind it are none", async () => {
    const { clock, server, client } = await inLongBackOff();
    const tried = server.dialled.length;
    const room = client.room("lobby");
    const sent = room.send("a");
    await clock.advance(100);
    expect(server.dialled).toHaveLength(tried + 1);
    const { state } = client;
    if (state.name !== "offline") throw new Error(`it is ${state.name}`);
    const next = room.send("b");
    while (clock.wall() < state.retryAt - 10) await clock.advance(1);
    expect(server.dialled).toHaveLength(tried + 1);
    server.down.clear();
    await clock.advance(100);
    expect([tell(sent), tell(next)]).toEqual(["stored 1", "stored 2"]);
  });

  test("[SDK3] whoever asks all the time is no reason for more than one try a second", async () => {
    const { clock, server, client } = await inLongBackOff();
    const tried = server.dialled.length;
    const begun = clock.now();
    while (clock.now() < begun + 10_000) {
      void client.rooms({ withinMs: 50 }).catch(() => undefined);
      await clock.advance(20);
    }
    // The back-off by itself would have made one or two, and may draw less than a second besides.
    const tries = server.dialled.length - tried;
    expect(tries).toBeGreaterThanOrEqual(10);
    expect(tries).toBeLessThanOrEqual(12);
  });

  test("[SDK6] a token that cannot be had is a reason to be offline, not to end", async () => {
    const { clock, chat } = world();
    const states: ChatState[] = [];
    const client = chat({ token: () => Promise.reject(new Error("no network")) });
    client.on("state", (state) => states.push(state));
    await clock.advance(100);
    expect(follow(states)[0]).toBe("offline token: no network");
    await client.close();
  });

  test("[SDK7] a greeting refused for good ends the client: requests, sends and iterations are told", async () => {
    const { clock, server, chat } = world();
    server.intercept = (frame) =>
      frame.t === "hello" ? [{ ...error(0, "forbidden", true, false), id: undefined } as never] : null;
    const client = chat();
    const room = client.room("lobby");
    const sent = room.send("a");
    const page = room.history().catch((error: unknown) => error);
    const item = room
      .messages({ after: 0 })
      .next()
      .catch((error: unknown) => error);
    await clock.advance(10);
    expect(client.state).toEqual({ name: "closed", reason: "forbidden" });
    expect(await page).toMatchObject({ code: "forbidden" });
    expect(await item).toMatchObject({ code: "forbidden" });
    expect(sent.state).toBe("refused");
  });

  test("[SDK7] replaced by another link of the same session: ends, and does not push back", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    await clock.advance(10);
    for (const link of server.links) link.cut("replaced", 4409);
    await clock.advance(60_000);
    expect(client.state).toEqual({ name: "closed", reason: "replaced" });
    expect(server.dialled).toHaveLength(1);
  });

  test("[SDK8] what no server may send ends the link, not the client", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    await clock.advance(10);
    server.say({ t: "msg", room: 7 } as never);
    await clock.advance(3_000);
    expect(server.dialled).toHaveLength(2);
    expect(client.state.name).toBe("online");
  });

  test("[SDK8] frames and fields of a newer server are ignored", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    await clock.advance(10);
    server.say({ t: "sparkle", colour: "red" } as never);
    server.say({ t: "pong", id: 99, colour: "red" } as never);
    await clock.advance(100);
    expect(server.dialled).toHaveLength(1);
    expect(client.state.name).toBe("online");
  });

  test("[SDK9] after close nothing is left: no link, no timer, no listener on a signal", async () => {
    const { clock, server, chat } = world();
    const stop = new AbortController();
    let listeners = 0;
    const { signal } = stop;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...words: Parameters<typeof add>) => (listeners++, add(...words));
    signal.removeEventListener = (...words: Parameters<typeof remove>) => (listeners--, remove(...words));
    server.intercept = (frame) => (frame.t === "hello" || frame.t === "sub" ? null : []);
    const client = chat();
    const room = client.room("lobby");
    const ended: string[] = [];
    const note = (what: string) => () => void ended.push(what);
    room.send("a", { signal }).then(note("sent"), note("send failed"));
    room.history({ signal }).then(note("page"), note("history failed"));
    room.messages({ after: 0, signal }).next().then(note("end"), note("error"));
    client.directMessages({ signal }).next().then(note("direct end"), note("error"));
    const others = clock.timers;
    await clock.advance(50);
    expect(others).toBeGreaterThan(0);
    await client.close();
    await clock.settle();
    expect(ended.sort()).toEqual(["direct end", "end", "history failed", "send failed"]);
    expect(clock.timers).toBe(0);
    expect(server.links.size).toBe(0);
    expect(listeners).toBe(0);
  });

  test("[SDK9] a listener that throws harms nobody else, and its error is seen", async () => {
    const { clock, chat } = world();
    const client = chat();
    const heard: string[] = [];
    client.on("state", () => {
      throw new Error("mine");
    });
    client.on("state", (state) => heard.push(state.name));
    await expect(clock.advance(10)).rejects.toThrow("mine");
    expect(heard).toEqual(["online"]);
  });

  test("[SDK9] a drain waits for the answers, and for no longer than it was told to", async () => {
    const { clock, server, chat } = world();
    const client = chat();
    const sent = client.room("lobby").send("a");
    const closed = client.close({ drain: true });
    expect(client.room("lobby").send("late").state).toBe("refused");
    await clock.advance(20);
    await closed;
    expect(sent.state).toBe("stored");

    server.down.add("*");
    const other = chat();
    const lost = other.room("lobby").send("b");
    let over = false;
    void other.close({ drain: true, drainWithinMs: 3_000 }).then(() => {
      over = true;
    });
    await clock.advance(2_900);
    expect(over).toBe(false);
    await clock.advance(200);
    expect([over, lost.state]).toEqual([true, "refused"]);
    expect(clock.timers).toBe(0);
  });
});
