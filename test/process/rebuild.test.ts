import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { run, serve, type ServeCommand, serveWords, temporaryFolder } from "./command.ts";

const folder = temporaryFolder();
const data = join(folder.path, "data");
let server: ServeCommand;

afterAll(() => {
  if (server?.isRunning) server.signal("SIGKILL");
  folder.remove();
});

interface Stored {
  readonly seq: number;
  readonly line: string;
  readonly dup: boolean;
}

const urlOf = (room: string): string => `http://127.0.0.1:${server.ports.port}/v1/rooms/${encodeURIComponent(room)}`;

/** The same id for the same body, so that sending it again is a repeat. */
async function post(user: string, room: string, body: string): Promise<Stored> {
  const headers = {
    "synod-user": user,
    "content-type": "text/plain",
    "idempotency-key": body.slice(0, 20).replaceAll(/\W/g, "-"),
  };
  const answer = await fetch(`${urlOf(room)}/messages`, { method: "POST", headers, body });
  expect([room, body.slice(0, 20), answer.ok]).toEqual([room, body.slice(0, 20), true]);
  return (await answer.json()) as Stored;
}

/** The bodies that a user is given; the status of the answer when it is none. */
async function read(user: string, room: string): Promise<string[] | number> {
  const bodies: string[] = [];
  for (;;) {
    const query = `after=${bodies.length}&limit=100`;
    const answer = await fetch(`${urlOf(room)}/messages?${query}`, { headers: { "synod-user": user } });
    if (!answer.ok) return answer.status;
    const page = (await answer.json()) as { items: { seq: number; body: string }[]; more: boolean };
    expect(page.items.map(({ seq }) => seq)).toEqual(page.items.map((_, n) => bodies.length + 1 + n));
    bodies.push(...page.items.map(({ body }) => body));
    if (!page.more) return bodies;
  }
}

async function enter(user: string, room: string, isPrivate: boolean): Promise<void> {
  const headers = { "synod-user": user, "content-type": "application/json" };
  const answer = await fetch(urlOf(room), { method: "PUT", headers, body: JSON.stringify({ private: isPrivate }) });
  expect(answer.ok).toBe(true);
}

test("both snapshots are gone: a start says what that costs, and once told to go on, serves every message and lets nobody in", async () => {
  // Small files, so that there is something sealed; a configuration is the only way to say so.
  const configuration = join(folder.path, "small.yaml");
  const limits = { segmentBytes: 65_536, chunkBytes: 32_768, entryBytesMax: 16_384, bodyBytesMax: 2_048 };
  const more = { unsealedBytesMax: 262_144, uncommittedBytesMax: 65_536, frameBytesMax: 32_768 };
  writeFileSync(configuration, JSON.stringify({ limits: { ...limits, ...more }, log: "json" }));
  const words = ["--config", configuration];

  server = await serve(data, words);
  await enter("alice", "secret", true);
  await enter("alice", "open-to-all", false);
  const said = new Map<string, string[]>();
  let line = "";
  for (let n = 0; n < 60; n++) {
    for (const [user, room] of [
      ["alice", "secret"],
      ["alice", "open-to-all"],
      ["bob", "@alice,bob"],
    ] as const) {
      const body = `${n} of ${room} ${"x".repeat(900)}`;
      ({ line } = await post(user, room, body));
      said.set(room, [...(said.get(room) ?? []), body]);
    }
  }
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  const snapshots = readdirSync(join(data, "snapshot")).map((name) => join(data, "snapshot", name));
  expect(snapshots.length).toBe(2);
  // One is gone, and of the other half is left.
  rmSync(snapshots[0]!);
  truncateSync(snapshots[1]!, Math.floor(readFileSync(snapshots[1]!).length / 2));

  const refused = await run(serveWords(data, words));
  expect(refused.code).toBe(1);
  for (const told of ["who is in which room", "--open-room", '"secret": 1 to 60', "180 messages"]) {
    expect(
      refused.errors.replaceAll(/(\d+) messages and up to (\d+) that/g, (_, a, b) => `${+a + +b} messages`),
    ).toContain(told);
  }

  server = await serve(data, [...words, "--accept-loss", "--open-room", "open-to-all", "lobby"]);
  expect(server.errors).toContain('"event":"state.rebuilt"');
  expect(await read("mallory", "open-to-all")).toEqual(said.get("open-to-all"));
  for (const user of ["alice", "mallory"]) expect(await read(user, "secret")).toBe(404);
  expect(await read("alice", "@alice,bob")).toEqual(said.get("@alice,bob"));
  expect(await read("bob", "@alice,bob")).toEqual(said.get("@alice,bob"));
  expect(await read("mallory", "@alice,bob")).toBe(404);
  // The operator lets one person in.
  const invite = `http://127.0.0.1:${server.ports.adminPort}/admin/v1/rooms/secret/invite`;
  const headers = { "content-type": "application/json" };
  expect((await fetch(invite, { method: "POST", headers, body: JSON.stringify({ user: "alice" }) })).ok).toBe(true);
  expect(await read("alice", "secret")).toEqual(said.get("secret"));
  expect(await read("mallory", "secret")).toBe(404);
  // What was sent is known, and what comes goes behind it, in another line.
  expect(await post("alice", "secret", said.get("secret")![7]!)).toMatchObject({ seq: 8, dup: true });
  const next = await post("alice", "secret", "goes on");
  expect(next).toMatchObject({ seq: 61, dup: false });
  expect(next.line).not.toBe(line);
  server.signal("SIGKILL");
  await server.ended;

  // Nothing needs to be said any more.
  server = await serve(data, words);
  expect(await read("alice", "secret")).toEqual([...said.get("secret")!, "goes on"]);
  expect(await post("alice", "secret", "and on")).toMatchObject({ seq: 62, line: next.line });
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  expect((await run(["verify", data])).code).toBe(0);
});
