import { expect, test } from "vitest";
import { defaultLimits } from "../../src/base/limits.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";
import type { ServerFrame } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import type { ClientLink, ClientSession } from "../../src/server/client-link.ts";
import type { Server } from "../../src/server/server.ts";
import { Town } from "./town.ts";

/** A connection in JSON lines that keeps what it is told. */
class Visitor implements ClientLink {
  readonly door = "tcp";
  readonly format = "json-lines";
  readonly address = "127.0.0.1";
  readonly frames: ServerFrame[] = [];
  readonly #session: ClientSession;

  constructor(server: Server, user: string) {
    const session = server.connections.connect(this);
    if (session instanceof Error) throw session;
    this.#session = session;
    this.say({ t: "hello", v: 1, user });
  }

  say(frame: object): void {
    this.#session.received(utf8(JSON.stringify(frame)));
  }

  write(pieces: readonly Uint8Array[]): void {
    for (const line of Buffer.concat(pieces).toString("utf8").split("\n")) {
      const frames: ServerFrame[] = [];
      if (line !== "") decodeJson("server", line, defaultLimits, frames as never);
      this.frames.push(...frames);
    }
  }

  /** Who is in the lobby, as it was told last. */
  get there(): readonly string[] {
    const told = this.frames.filter((frame) => frame.t === "presence" || (frame.t === "ok" && frame.of === "presence"));
    return (told.at(-1) as { users?: readonly string[] } | undefined)?.users ?? [];
  }

  hangUp(): void {
    this.#session.closed();
  }

  queuedBytes(): number {
    return 0;
  }
  pause(): void {}
  resume(): void {}
  close(): void {}
  destroy(): void {}
}

test("who reads a room on another server is there, until the reader goes or the link does", async () => {
  const town = await Town.founded();
  const alice = new Visitor(town.of("n1").now, "alice");
  const bob = new Visitor(town.of("n2").now, "bob");
  const carol = new Visitor(town.of("n3").now, "carol");
  await town.rest(50);
  for (const visitor of [alice, bob, carol]) visitor.say({ t: "sub", id: 1, room: "lobby", after: "latest" });
  await town.rest(50);
  alice.say({ t: "presence", id: 2, room: "lobby" });
  await town.until("all three are there", () => alice.there.length === 3, 3_000);
  expect(alice.there).toEqual(["alice", "bob", "carol"]);
  bob.hangUp();
  await town.until("bob is gone", () => alice.there.length === 2, 3_000);
  town.kill(town.of("n3"));
  await town.until("carol can't be known to be there", () => alice.there.length === 1, 3_000);
  expect(alice.there).toEqual(["alice"]);
});

test("who is typing on one server is seen on the others", async () => {
  const town = await Town.founded();
  const alice = new Visitor(town.of("n1").now, "alice");
  const bob = new Visitor(town.of("n2").now, "bob");
  await town.rest(50);
  alice.say({ t: "sub", id: 1, room: "lobby", after: "latest" });
  await town.rest(50);
  bob.say({ t: "typing", room: "lobby" });
  await town.until(
    "it is seen",
    () => alice.frames.some((frame) => frame.t === "typing" && frame.user === "bob"),
    1_000,
  );
});

test("an empty room is there for those who read it on another server", async () => {
  const town = await Town.founded();
  const { leader, followers } = town;
  const alice = new Visitor(leader!.now, "alice");
  const bob = new Visitor(followers[0]!.now, "bob");
  await town.rest(50);
  alice.say({ t: "join", id: 1, room: "hall" });
  await town.rest(500);
  bob.say({ t: "sub", id: 1, room: "hall", after: 0 });
  await town.rest(500);
  alice.say({ t: "leave", id: 2, room: "hall" });
  // Longer than between two looks for rooms to give back.
  for (let i = 0; i < 7; i++) {
    await town.rest(10_000);
    for (const visitor of [alice, bob]) visitor.say({ t: "ping" });
  }
  alice.say({ t: "join", id: 3, room: "hall" });
  await town.rest(500);
  alice.say({ t: "send", id: 4, room: "hall", cid: "c1", body: "again" });
  await town.rest(2_000);
  expect(bob.frames.filter(({ t }) => t === "gap")).toEqual([]);
  expect(bob.frames.filter(({ t }) => t === "msg")).toMatchObject([{ room: "hall", seq: 1, body: "again" }]);
});
