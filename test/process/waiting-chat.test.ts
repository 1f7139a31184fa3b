import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterAll, expect, test } from "vitest";
import { Command, run, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();

afterAll(async () => {
  await started.end();
  folder.remove();
});

const lines = (count: number): string => Array.from({ length: count }, (_, at) => `line ${at + 1}\n`).join("");
const lastOf = (text: string): string => text.trimEnd().split("\n").at(-1)!;

test("a disk that is full: what is said is refused in time, with the reason, and a pipe ends", async () => {
  const data = join(folder.path, "full");
  const configuration = join(folder.path, "full.yaml");
  // More than any disk has free.
  writeFileSync(configuration, JSON.stringify({ limits: { diskReserveBytes: 2 ** 52 } }));
  let server = await started.serve(data);
  const { ports } = server;
  const as = (user: string): string[] => ["--url", `ws://127.0.0.1:${ports.port}`, "--user", user];
  expect((await run(["chat", ...as("alice")], { input: "before\n" })).code).toBe(0);
  server.signal("SIGTERM");
  await server.ended;
  server = await started.serve(data, ["--config", configuration], ports);

  const sent = await run(["send", "lobby", "full", ...as("alice"), "--within", "2"]);
  expect(sent.code).toBe(4);
  expect(sent.errors).toContain("not stored yet, and tried again: the disk is full");
  expect(lastOf(sent.errors)).toMatch(/^synod: the disk is full.*\(storage_full\)$/);

  const piped = await run(["chat", ...as("alice"), "--within", "2"], { input: lines(3) });
  expect(piped.code).toBe(4);
  // A member comes in all the same.
  expect(piped.output).toMatch(/alice +before {2}✓ 1$/m);
  expect(piped.errors.match(/what is said there waits, and is tried again: the disk is full/g)).toHaveLength(1);
  expect(lastOf(piped.errors)).toMatch(/^synod: nothing was stored for 2 s: the disk is full.*; 3 messages refused$/);

  // A stranger cannot even come in.
  const stranger = await run(["chat", ...as("zoe"), "--within", "2"], { input: lines(2) });
  expect(stranger.code).toBe(4);
  expect(stranger.errors).toContain("#lobby: coming in waits, and is tried again: the disk is full");
  expect(lastOf(stranger.errors)).toContain("; 2 messages not sent");
});

test("a chat that is given nothing shows what was said last; one whose output is not read sends all it is given", async () => {
  const server = await started.serve(join(folder.path, "read"));
  const url = `tcp://127.0.0.1:${server.ports.tcpPort}`;
  const talker = new Command(["chat", url, "--user", "alice"]);
  started.add(talker);
  talker.say("first\n");
  await talker.writes("first");
  talker.child.stdout!.destroy();
  talker.say(lines(3_000));
  expect(await talker.end()).toBe(0);
  const stored = await run(["tail", "lobby", "-n", "1", "--url", url, "--user", "bob"]);
  expect(stored.output).toMatch(/ 3001 \d\d:\d\d alice +line 3000\n$/);
  const silent = await run(["chat", url, "--user", "bob"], { input: "" });
  expect(silent.code).toBe(0);
  expect(silent.output).toContain("last 20, of 3001");
  expect(silent.output).toMatch(/line 3000\n$/);
});

test("who follows a room is told that the connection went and came back", async () => {
  const data = join(folder.path, "followed");
  const server = await started.serve(data);
  const follower = new Command([
    "tail",
    "lobby",
    "-f",
    "--url",
    `ws://127.0.0.1:${server.ports.port}`,
    "--user",
    "bob",
  ]);
  started.add(follower);
  const speak = ["send", "lobby", "hello", "--url", `ws://127.0.0.1:${server.ports.port}`, "--user", "alice"];
  expect((await run(speak)).code).toBe(0);
  await follower.writes("hello");
  server.signal("SIGKILL");
  await follower.writes("synod: no connection (");
  await server.ended;
  await started.serve(data, [], server.ports);
  await follower.writes("synod: connected again, to n1");
  follower.signal("SIGINT");
  expect(await follower.ended).toBe(0);
  expect(follower.errors.match(/no connection/g)).toHaveLength(1);
});

test("a token that runs out ends who follows a room, with the reason", async () => {
  const secret = "a secret that is long enough for HS256";
  const secretFile = join(folder.path, "secret");
  writeFileSync(secretFile, secret, { mode: 0o600 });
  const words = ["--auth", "token", "--auth-algorithm", "HS256", "--auth-secret-file", secretFile];
  const server = await started.serve(join(folder.path, "tokens"), words);
  const token = await new SignJWT({ sub: "alice", aud: "synod" })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("3s")
    .sign(new TextEncoder().encode(secret));
  const tokenFile = join(folder.path, "token");
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const url = `ws://127.0.0.1:${server.ports.port}`;
  const follower = new Command(["tail", "lobby", "-f", "--url", url, "--token-file", tokenFile]);
  started.add(follower);
  expect(await follower.ended).toBe(4);
  expect(follower.errors).toContain("refused alice (unauthorized)");
});
