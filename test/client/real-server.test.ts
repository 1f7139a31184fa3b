import { afterEach, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { connect } from "../../src/client/client.ts";
import type { Chat } from "../../src/client/client.ts";
import { jsonLinesEncoding } from "../../src/client/json-lines-encoding.ts";
import type { Dial } from "../../src/client/ports.ts";
import type { TimelineItem } from "../../src/client/reader.ts";
import { nodeClock } from "../../src/platform/node/node-clock.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import type { Server } from "../../src/server/server.ts";
import type { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { startTestServer, type WorldOptions } from "../server/server-world.ts";

/** Links straight into a server, without sockets; `cut` breaks them all. */
class DirectDial implements Dial {
  readonly #server: Server;
  readonly #cuts = new Set<() => void>();

  constructor(server: Server) {
    this.#server = server;
  }

  cut(): void {
    for (const cut of this.#cuts) cut();
  }

  connect(...[, events]: Parameters<Dial["connect"]>): ReturnType<Dial["connect"]> {
    let over = false;
    const end = (told: boolean): void => {
      if (over) return;
      over = true;
      this.#cuts.delete(cut);
      if (!(session instanceof Error)) session.closed();
      if (told) setImmediate(() => events.closed(null, "cut"));
    };
    const cut = (): void => end(true);
    const session = this.#server.connections.connect({
      door: "tcp",
      format: "json-lines",
      address: "127.0.0.1",
      write: (pieces) => {
        const bytes = new Uint8Array(Buffer.concat(pieces));
        setImmediate(() => {
          if (!over) events.message(bytes);
        });
      },
      queuedBytes: () => 0,
      pause: () => undefined,
      resume: () => undefined,
      close: () => end(true),
      destroy: () => end(true),
    });
    this.#cuts.add(cut);
    setImmediate(() => {
      if (!over) events.opened();
    });
    return {
      format: "json-lines",
      send: (data) =>
        void setImmediate(() => {
          // As the TCP door does: a line is a frame.
          for (const line of (data as string).split("\n")) {
            if (line !== "" && !over && !(session instanceof Error)) session.received(utf8(line));
          }
        }),
      bufferedBytes: () => 0,
      close: () => end(false),
    };
  }
}

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

type Town = { chat: (user: string) => Chat; dial: DirectDial; server: Server; fileSystem: SimFileSystem };

async function town(options: WorldOptions = {}): Promise<Town> {
  const { server, fileSystem } = await startTestServer(options);
  ends.push(() => server.stop(0));
  const dial = new DirectDial(server);
  let seed = 1;
  return {
    dial,
    server,
    fileSystem,
    chat: (user) => {
      const chat = connect("test:", {
        user,
        dial,
        encodings: { "json-lines": jsonLinesEncoding() },
        clock: nodeClock(),
        random: seededRandom(seed++),
        timing: { retryMs: 5, retryMsMax: 20 },
      });
      ends.push(() => chat.close());
      return chat;
    },
  };
}

async function take(items: AsyncIterable<TimelineItem>, count: number): Promise<string[]> {
  const taken: string[] = [];
  for await (const item of items) {
    taken.push(item.gap === undefined ? item.body : `gap ${item.gap.from}-${item.gap.to} ${item.gap.reason}`);
    if (taken.length === count) break;
  }
  return taken;
}

test("[SDK22] [SDK41] beside the server's own core: pipelined sends and a reader, over links that keep breaking", async () => {
  const { chat, dial } = await town();
  const alice = chat("alice").room("lobby");
  const bob = chat("bob").room("lobby");
  const sent = Array.from({ length: 400 }, (_, i) => alice.send(`m${i + 1}`));
  await sent[0];
  const reading = take(bob.messages({ after: 0 }), 400);
  for (let i = 40; i < 400; i += 60) {
    dial.cut();
    await sent[i];
  }
  const places = await Promise.all(sent);
  expect(places.map(({ seq }) => seq)).toEqual(sent.map((_, i) => i + 1));
  expect(await reading).toEqual(sent.map((_, i) => `m${i + 1}`));
  const page = await alice.history({ before: 400, limit: 2 });
  expect(page.items.map(({ body }) => body)).toEqual(["m398", "m399"]);
  expect(await alice.lookup(sent[9]!.cid)).toEqual({ seq: 10, head: 400, first: 1 });
});

test("[SDK50] beside the server's own core: a private room, its members, and who is let in and put out", async () => {
  const { chat } = await town();
  const bob = chat("bob");
  const [mine, theirs] = [chat("alice").room("den"), bob.room("den")];
  await mine.join({ private: true });
  await expect(theirs.members()).rejects.toMatchObject({ code: "not_found" });
  await mine.invite("bob");
  expect(await theirs.members({ after: "alice" })).toEqual({
    members: [{ user: "bob", role: "member" }],
    count: 2,
    more: false,
  });
  await expect(theirs.invite("carol")).rejects.toMatchObject({ code: "forbidden" });
  const reading = take(theirs.messages({ after: 0 }), 2);
  const whole = take(theirs.messages({ after: 0 }), 3).catch((error: unknown) => error);
  await mine.send("for members");
  await theirs.markRead(1);
  await mine.remove("bob");
  expect(await reading).toEqual(["for members", "gap 2-1 removed"]);
  // Nothing comes after that: who reads on learns it, and begins again when let in.
  expect(await whole).toMatchObject({ name: "ChatError", code: "not_found" });
  const appeared = new Promise((resolve) => {
    bob.on("room", resolve);
  });
  await mine.invite("bob");
  expect(await appeared).toMatchObject({ room: "den", head: 1 });
  const again = take(theirs.messages({ after: 1 }), 1);
  await mine.send("and again");
  expect(await again).toEqual(["and again"]);
});

test("[SDK30] [SDK31] beside the server's own core: direct messages for who was away, and who is there", async () => {
  const { chat, dial } = await town();
  const alice = chat("alice");
  const first = alice.direct("bob").send("while you were away");
  await first;
  const bob = chat("bob");
  const reading = take(bob.directMessages(), 4);
  await alice.direct("bob").send("now");
  await chat("carol").direct("bob").send("me too");
  dial.cut();
  await alice.direct("bob").send("after the break");
  const read = await reading;
  expect(read.filter((body) => body !== "me too")).toEqual(["while you were away", "now", "after the break"]);
  expect(read).toContain("me too");
});

test("beside the server's own core: an error of damaged history says which messages it is, and reading goes past them", async () => {
  const limits = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 16, ringSlots: 8 };
  const { chat, server, fileSystem } = await town({ limits });
  const room = chat("alice").room("lobby");
  await Promise.all(Array.from({ length: 120 }, (_, i) => room.send(`m${i + 1} ${"x".repeat(100)}`)));
  await server.sealer.idle();
  const { runs } = server.state.room("lobby")!;
  const damaged = { from: runs.firstSeq(1), to: runs.lastSeq(1) };
  const chunks = [...fileSystem.files().keys()].filter((file) => file.endsWith(".chunk")).sort();
  fileSystem.flip(chunks[1]!, 400, 3);
  const page = room.history({ after: damaged.from - 1 });
  await expect(page).rejects.toMatchObject({ name: "ChatError", code: "unavailable", retryable: false, damaged });
  const behind = await room.history({ after: damaged.to, limit: 1 });
  expect(behind.items[0]).toMatchObject({ seq: damaged.to + 1 });
  await expect(chat("alice").room("nowhere").history()).rejects.toMatchObject({ code: "not_found", damaged: null });
});
