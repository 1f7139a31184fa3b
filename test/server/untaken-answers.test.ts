import { expect, test } from "vitest";
import { turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const KiB = 1024;
const page = 64 * KiB;
/** Of a page as it is sent: its bodies, and what stands around them. */
const pageMax = page + 4 * KiB;

async function worldOf(heldOutputBytesMax: number) {
  const { server } = await startTestServer({
    limits: { bodyBytesMax: 8 * KiB, histBytesMax: page, catchUpBytesMax: 8 * KiB, heldOutputBytesMax },
  });
  const writer = await TestClient.open(server, "writer");
  await writer.ask({ t: "join", room: "fat" });
  for (let i = 0; i < 20; i++) await writer.ask({ t: "send", room: "fat", cid: `c${i}`, body: "z".repeat(8_000) });
  const deaf = async (n: number): Promise<TestClient> => {
    const client = await TestClient.open(server, `deaf${n}`);
    client.reading = false;
    return client;
  };
  return { server, writer, deaf };
}

const pagesOf = ({ frames }: TestClient): number =>
  frames.filter((frame) => frame.t === "ok" && frame.of === "hist").length;

test("who asks and does not read holds one page; the others are built as it reads", async () => {
  const { server, deaf } = await worldOf(64 * 1_024 * KiB);
  const client = await deaf(1);
  for (let id = 0; id < 8; id++) client.say({ t: "hist", id, room: "fat", limit: 500 });
  for (let id = 8; id < 40; id++) client.say({ t: "rooms", id });
  await turns();
  expect(pagesOf(client)).toBe(1);
  expect(client.queued).toBeLessThan(pageMax);
  for (let n = 2; n <= 8; n++) {
    client.drain();
    await turns();
    expect(pagesOf(client)).toBe(n);
    expect(client.queued).toBeLessThan(pageMax);
  }
  client.drain();
  await turns();
  const ids = client.frames.flatMap((frame) => (frame.t === "ok" && "id" in frame ? [frame.id] : []));
  expect(ids).toEqual(Array.from({ length: 40 }, (_, id) => id));
  await server.stop(0);
});

test("a crowd that asks and does not read holds no more than the bound, and nobody else waits", async () => {
  const bound = 8 * page;
  const { server, writer, deaf } = await worldOf(bound);
  const crowd = await Promise.all(Array.from({ length: 40 }, (_, n) => deaf(n)));
  for (const client of crowd) {
    for (let id = 0; id < 8; id++) client.say({ t: "hist", id, room: "fat", limit: 500 });
  }
  await turns();
  const queued = (): number => crowd.reduce((sum, client) => sum + client.queued, 0);
  // Those that are being built when the bound is reached are sent.
  expect(queued()).toBeLessThan(bound + 4 * pageMax);
  expect(queued()).toBeGreaterThan(bound / 2);
  expect(server.held.bytes).toBeLessThanOrEqual(queued());
  // What is small is not held up.
  expect((await writer.ask({ t: "send", room: "fat", cid: "more", body: "x" })).t).toBe("ok");
  const newcomer = await TestClient.open(server, "newcomer");
  expect((await newcomer.ask({ t: "ping" })).t).toBe("pong");
  // As they read, everybody is served in the end.
  for (let round = 0; round < 400 && crowd.some((client) => pagesOf(client) < 8); round++) {
    for (const client of crowd) if (client.queued > 0) client.drain();
    await turns();
    expect(queued()).toBeLessThan(bound + 4 * pageMax);
  }
  expect(crowd.map(pagesOf)).toEqual(crowd.map(() => 8));
  await server.stop(0);
});

test("small answers to a client that does not read keep no more memory than they have bytes", async () => {
  const { server, writer, deaf } = await worldOf(64 * 1_024 * KiB);
  const client = await deaf(1);
  client.say({ t: "ping", id: 1 });
  await turns();
  const kept = new Set<ArrayBufferLike>();
  const write = client.write.bind(client);
  client.write = (pieces) => {
    for (const piece of pieces) kept.add(piece.buffer);
    write(pieces);
  };
  for (let id = 2; id < 50; id++) {
    client.say({ t: "ping", id });
    // The slab fills with what others are sent.
    await writer.ask({ t: "hist", room: "fat", limit: 500 });
  }
  await turns();
  const bytes = [...kept].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(kept.size).toBeGreaterThanOrEqual(48);
  expect(bytes).toBeLessThan(48 * 256);
  await server.stop(0);
});
