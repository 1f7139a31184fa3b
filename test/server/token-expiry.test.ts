import { expect, test } from "vitest";
import { millis, timestamp } from "../../src/base/units.ts";
import type { WireFormat } from "../../src/server/client-link.ts";
import { Session } from "../../src/server/session.ts";
import { startTestServer, TestClient } from "./server-world.ts";

/** What a client of this format was sent by the time its token had expired, and how its connection ended. */
async function atExpiry(format: WireFormat): Promise<{ text: string; closed: { code: number; text: string } | null }> {
  const { server } = await startTestServer({
    settings: { authenticate: async () => ({ user: "alice" as never, expiresAt: timestamp(1) }) },
  });
  const seen: { text: string; closed: { code: number; text: string } | null } = { text: "", closed: null };
  const session = server.connections.connect({
    door: "tcp",
    format,
    address: "127.0.0.1",
    write: (pieces) => (seen.text += Buffer.concat(pieces).toString()),
    queuedBytes: () => 0,
    pause: () => undefined,
    resume: () => undefined,
    close: (code) => (seen.closed = { code, text: seen.text }),
    destroy: () => undefined,
  });
  if (!(session instanceof Session)) throw new Error("the server takes a client");
  session.received(Buffer.from('{"t":"hello","v":1,"user":"alice"}\n'));
  session.received(Buffer.from('{"t":"sub","id":1,"room":"lobby","after":0}\n'));
  await expect.poll(() => seen.text).toContain('"of":"sub"');
  seen.text = "";
  session.checkAlive(millis(session.heardAt));
  await expect.poll(() => seen.closed).not.toBeNull();
  await server.stop(0);
  return seen;
}

test("a connection whose token has expired is told so before it ends", async () => {
  const { closed } = await atExpiry("json-lines");
  expect(closed!.code).toBe(4401);
  expect(JSON.parse(closed!.text)).toMatchObject({ t: "err", code: "unauthorized", message: "the token has expired" });
});

test("an event stream whose token has expired ends with an err event", async () => {
  const { closed } = await atExpiry("event-stream");
  expect(closed!.text).toContain('event: err\ndata: {"t":"err","code":"unauthorized"');
});

test("whoever does not greet in time is told so, and may try again: it may as well be the server that is slow", async () => {
  const { server } = await startTestServer();
  const client = new TestClient(server);
  const [session] = server.connections.all;
  session!.checkAlive(session!.heardAt + server.limits.helloWithinMs);
  expect(client.closed).toBeNull();
  session!.checkAlive(session!.heardAt + server.limits.helloWithinMs + 1);
  expect(await client.next(({ t }) => t === "err")).toMatchObject({ code: "unauthorized", retryable: true });
  await expect.poll(() => client.closed).toEqual({ code: 4401, reason: "unauthorized" });
  await server.stop(0);
});

test("many who do not greet are let go in several turns, and whoever has greeted stays", async () => {
  const { server } = await startTestServer({ limits: { helloWithinMs: 1 } });
  const alice = await TestClient.open(server, "alice");
  const silent = Array.from({ length: 50 }, () => new TestClient(server));
  await expect.poll(() => silent.filter(({ closed }) => closed?.code === 4401).length, { timeout: 10_000 }).toBe(50);
  expect(await alice.ask({ t: "ping" })).toMatchObject({ t: "pong" });
  expect(server.connections.all.size).toBe(1);
  await server.stop(0);
});
