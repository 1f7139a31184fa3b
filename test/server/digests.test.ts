import { expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import { commandTypes } from "../../src/rooms/commands.ts";
import { sealReasons } from "../../src/rooms/seal.ts";
import { operate } from "../../src/server/operator.ts";
import type { Server } from "../../src/server/server.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const lobby = "lobby" as RoomName;
const window = 500;
type Fault = { code: string };

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 1);
  });

async function fill(server: Server, from: number, to: number): Promise<void> {
  const alice = await TestClient.open(server, "alice");
  for (let next = from; next <= to; next += window) {
    const last = Math.min(to, next + window - 1);
    for (let n = next; n <= last; n++)
      alice.say({ t: "send", id: n, room: "lobby", cid: `c${n}`, body: `message ${n}` });
    await alice.next((frame) => frame.t === "ok" && "seq" in frame && frame.seq === last);
  }
  alice.hangUp();
}

async function seal(server: Server): Promise<void> {
  const before = server.state.lastChunk;
  server.proposals.seal(sealReasons.full);
  while (server.state.lastChunk === before) await turn();
  await server.sealer.idle();
}

test("digests outlive the messages they are made of, and any number of restarts", async () => {
  const { server: first, fileSystem } = await startTestServer();
  let server = first;
  const digestsAt = async (places: readonly number[]): Promise<string[]> => {
    const room = server.state.room(lobby)!;
    const found: string[] = [];
    for (const upTo of places)
      found.push(await server.digests.of(room, upTo).catch((cause: unknown) => (cause as Fault).code));
    return found;
  };
  const restart = async (): Promise<void> => {
    await server.stop(0);
    ({ server } = await startTestServer({ fileSystem }));
  };
  await fill(server, 1, 1_500);
  await seal(server);
  await fill(server, 1_501, 2_600);
  await seal(server);
  await fill(server, 2_601, 3_100);

  const whole = [1_024, 2_048, 3_072];
  const behind = [2_500, 2_777, 3_100];
  const wholeBefore = await digestsAt(whole);
  const behindBefore = await digestsAt(behind);
  expect(new Set([...wholeBefore, ...behindBefore]).size).toBe(6);

  // In two steps, the second into what is not sealed yet. Both chunks are emptied and removed.
  await operate(server, { type: "trim", room: lobby, first: 1_200 as Seq });
  expect(await digestsAt([1_024, 1_199, ...behind])).toEqual([
    wholeBefore[0],
    expect.stringMatching(/^[0-9a-f]{64}$/),
    ...behindBefore,
  ]);
  await operate(server, { type: "trim", room: lobby, first: 2_778 as Seq });
  await server.sealer.idle();
  expect([server.state.room(lobby)!.first, server.chunkCount]).toEqual([2_778, 0]);

  for (let restarts = 0; restarts <= 2; restarts++) {
    expect(await digestsAt(whole), `after ${restarts} restarts`).toEqual(wholeBefore);
    // Of a place between two links there is a digest from the last removed message on.
    expect(await digestsAt([2_500, 2_777, 3_100])).toEqual(["gone", behindBefore[1], behindBefore[2]]);
    // The second start reads it from a snapshot, the first from the journal.
    if (restarts === 1) await seal(server);
    if (restarts < 2) await restart();
  }
  await server.stop(0);
});

test("retention keeps the digests of what it removes", async () => {
  const { server } = await startTestServer();
  await fill(server, 1, 2_100);
  const room = server.state.room(lobby)!;
  const before = [await server.digests.of(room, 1_024), await server.digests.of(room, 2_048)];
  server.trimmer.want(room, 1_000);
  server.trimmer.want(room, 2_060);
  while (room.first < 2_060) await turn();
  expect(room.digests.through).toBe(2_059);
  expect([await server.digests.of(room, 1_024), await server.digests.of(room, 2_048)]).toEqual(before);
  await server.stop(0);
});

test("a room that was deleted and made again goes on in its digests", async () => {
  const { server, fileSystem } = await startTestServer();
  await fill(server, 1, 1_500);
  const room = server.state.room(lobby)!;
  const before = [await server.digests.of(room, 1_024), await server.digests.of(room, 1_500)];
  await operate(server, { type: "delete", room: lobby });
  const alice = await TestClient.open(server, "alice");
  // While it is not there, it is not there.
  expect(await alice.ask({ t: "hist", room: "lobby" })).toMatchObject({ code: "not_found" });
  await alice.ask({ t: "join", room: "lobby" });
  await fill(server, 1_501, 1_510);
  expect([room.first, room.head]).toEqual([1_501, 1_510]);
  expect([await server.digests.of(room, 1_024), await server.digests.of(room, 1_500)]).toEqual(before);
  const after = await server.digests.of(room, 1_510);
  expect(after).toMatch(/^[0-9a-f]{64}$/);
  await expect(server.digests.of(room, 1_400)).rejects.toMatchObject({ code: "gone" });
  await server.stop(0);
  const again = await startTestServer({ fileSystem });
  expect(await again.server.digests.of(again.server.state.room(lobby)!, 1_510)).toBe(after);
  await again.server.stop(0);
});

test("where messages went without their digests, whoever asks is told which, and that there is none from there on", async () => {
  const { server } = await startTestServer();
  await fill(server, 1, 20);
  const room = server.state.room(lobby)!;
  await server.requests.command({ type: commandTypes.trim, room: room.nameBytes, first: 11 });
  const asked = server.digests.of(room, 20);
  const why: unknown = expect.stringContaining("messages 1 to 10 were");
  await expect(asked).rejects.toMatchObject({
    code: "gone",
    message: why,
  });
  await server.stop(0);
});
