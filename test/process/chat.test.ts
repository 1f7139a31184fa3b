import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeBinary } from "../../src/protocol/binary-codec.ts";
import { binaryGreeting } from "../../src/protocol/schema.ts";
import type { ServerFrame } from "../../src/protocol/schema.ts";
import { Command, ownPorts, run, type ServeCommand, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();

afterAll(async () => {
  await started.end();
  folder.remove();
});

interface Shown {
  readonly seq: number;
  readonly from: string;
  readonly body: string;
}

const shown = (lines: string): Shown[] =>
  lines
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Shown);

test("what is piped in while the server is killed and started again is stored once and in order", async () => {
  const data = join(folder.path, "killed");
  const ports = await ownPorts();
  let server = await started.serve(data, [], ports);
  const webSocket = `ws://127.0.0.1:${ports.port}`;
  const tcp = `tcp://127.0.0.1:${ports.tcpPort}`;
  const speakers = [
    new Command(["chat", webSocket, "--user", "alice", "--within", "60"]),
    new Command(["chat", tcp, "--tcp", "--user", "bob", "--within", "60"]),
  ];
  const reader = new Command([
    "tail",
    "lobby",
    "--after",
    "0",
    "-f",
    "-o",
    "json",
    "--url",
    tcp,
    "--user",
    "carol",
    "--within",
    "60",
  ]);
  started.add(...speakers, reader);
  await Promise.all(speakers.map((speaker) => speaker.writes("connected to n1")));

  const count = 600;
  for (let at = 1; at <= count; at++) {
    for (const speaker of speakers) speaker.say(`line ${at}\n`);
    if (at % 5 === 0) await pause(2);
    if (at % 200 !== 100) continue;
    // In the middle of it, without a word.
    server.signal("SIGKILL");
    await server.ended;
    server = await started.serve(data, [], ports);
  }
  expect(await Promise.all(speakers.map((speaker) => speaker.end()))).toEqual([0, 0]);

  const stored = await run(["tail", "lobby", "--after", "0", "-o", "json", "--url", webSocket, "--user", "dora"]);
  expect(stored.code).toBe(0);
  const messages = shown(stored.output);
  const wanted = Array.from({ length: count }, (_, at) => `line ${at + 1}`);
  for (const user of ["alice", "bob"]) {
    expect(messages.filter(({ from }) => from === user).map(({ body }) => body)).toEqual(wanted);
  }
  expect(messages.map(({ seq }) => seq)).toEqual(Array.from({ length: 2 * count }, (_, at) => at + 1));

  // Who read along all the time saw the same, and nothing twice.
  while (reader.output.split("\n").length <= 2 * count) await pause(20);
  reader.signal("SIGINT");
  expect(await reader.ended).toBe(0);
  expect(shown(reader.output)).toEqual(messages);
  // Each of its own lines is shown in its place, with its mark.
  expect(speakers[0]!.output.match(/alice {6}line \d+ {2}✓ \d+/g)).toHaveLength(count);
});

describe("one server", () => {
  let server: ServeCommand;
  /** Of its public port, or of another one that is spoken to as if it were that. */
  const url = (of: "port" | "tcpPort" | "adminPort" = "port", scheme = "ws"): string =>
    `${scheme}://127.0.0.1:${server.ports[of]}`;
  const as = (user: string): string[] => ["--url", url(), "--user", user];

  beforeAll(async () => {
    server = await started.serve(join(folder.path, "plain"));
  });

  test("a message is sent once, however often, and read where it stands", async () => {
    const first = await run(["send", "lobby", "--cid", "c1", "-o", "json", ...as("alice")], { input: "from a pipe\n" });
    const again = await run(["send", "lobby", "from a pipe", "--cid", "c1", "-o", "json", ...as("alice")]);
    expect([first.code, again.code]).toEqual([0, 0]);
    const [one, two] = [first, again].map(({ output }) => JSON.parse(output) as { seq: number; dup: boolean });
    expect(one).toMatchObject({ room: "lobby", cid: "c1", seq: 1, dup: false, node: "n1" });
    expect(two).toEqual({ ...one, dup: true });
    const conflict = await run(["send", "lobby", "another text", "--cid", "c1", ...as("alice")]);
    expect(conflict.code).toBe(4);
    expect(conflict.errors).toContain("id_conflict");
    const tailed = await run(["tail", "lobby", ...as("bob")]);
    expect(tailed.output).toMatch(/ 1 \d\d:\d\d alice {6}from a pipe\n/);
  });

  test("commands in a pipe go to rooms and to people; what strangers wrote is shown and not obeyed", async () => {
    const lines = ["/join ops", "in ops", "/dm bob only for you", "//slash", "\u001b[31mred \u202egnp.exe"];
    const said = await run(["chat", ...as("alice")], { input: `${lines.join("\n")}\n` });
    expect(said.code).toBe(0);
    const ops = await run(["tail", "ops", ...as("bob")]);
    expect(ops.output).toContain("in ops");
    expect(ops.output).toContain("/slash");
    expect(ops.output).toContain("\\u{1b}[31mred \\u{202e}gnp.exe");
    expect(ops.output).not.toContain("\u001b[31m");
    const direct = await run(["tail", "@alice", ...as("bob")]);
    expect(direct.output).toContain("only for you");
    expect((await run(["tail", "@alice,bob", ...as("eve")])).code).toBe(4);
  });

  test("the owner of a room lets people in and out, and sees who is in", async () => {
    const lines = ["/join crew", "/invite bob", "/members", "/remove @bob", "/members", "/remove bob"];
    const said = await run(["chat", ...as("alice")], { input: `${lines.join("\n")}\n` });
    // All but the last was done.
    expect(said.code).toBe(4);
    const told = said.errors.split("\n").filter((line) => line.includes("crew") || line.includes("not_found"));
    expect(told.map((line) => line.replace(/^· /, ""))).toEqual([
      "bob is a member of #crew",
      "members of #crew: alice (owner), bob",
      "bob is no member of #crew any more",
      "members of #crew: alice (owner)",
      expect.stringContaining("(not_found)"),
    ]);
    // Who is no more than a member lets nobody in.
    const refused = await run(["chat", ...as("bob")], { input: "/join crew\n/invite eve\n" });
    expect(refused.errors).toContain("(forbidden)");
    expect(refused.errors.trimEnd().split("\n").at(-1)).toContain("1 command refused");
    expect(refused.code).toBe(4);
  });

  test("a refused command ends a pipe with 4, what was said is stored all the same; one that is done ends it with 0", async () => {
    expect((await run(["chat", ...as("alice")], { input: "/join yard\n/invite bob\n/who\n/rooms\n" })).code).toBe(0);
    const input = "/join yard\n/remove alice\nstill said\n/leave\n/leave\n";
    const said = await run(["chat", ...as("bob")], { input });
    expect(said.code).toBe(4);
    expect(said.errors).toContain("(forbidden)");
    // The second /leave leaves lobby, where he began.
    expect(said.errors.trimEnd().split("\n").at(-1)).toContain("1 command refused");
    expect((await run(["tail", "yard", ...as("alice")])).output).toContain("still said");
  });

  test("what is said in no room is not lost in silence", async () => {
    const said = await run(["chat", ...as("bob")], { input: "/leave\nto nobody\n" });
    expect(said.errors).toContain("you are in no room");
    expect(said.code).toBe(4);
  });

  test("a line that is no command is not said, and the exit code tells", async () => {
    const said = await run(["chat", ...as("alice")], { input: "/usr/bin/env\nbut this\n" });
    expect(said.code).toBe(2);
    expect(said.errors).toContain("there is no command /usr/bin/env");
    expect(said.output).toContain("but this");
  });

  test("reading after a place that is not there yet says so, and prints nothing", async () => {
    const beyond = await run(["tail", "lobby", "--after", "99999", ...as("bob")]);
    expect([beyond.code, beyond.output]).toEqual([0, ""]);
    expect(beyond.errors).toContain("nothing after 99999");
  });

  test("history on coming in, and who is connected", async () => {
    const chat = new Command(["chat", ...as("frank")]);
    started.add(chat);
    await chat.writes("from a pipe");
    const { adminPort } = server.ports;
    const sessions = await run(["status", `127.0.0.1:${adminPort}`, "--sessions"]);
    expect(sessions.output).toMatch(/^frank +websocket +127\.0\.0\.1 +lobby$/m);
    const status = await run(["status", "--data", join(folder.path, "plain"), "-o", "json"]);
    expect(status.code).toBe(0);
    expect(JSON.parse(status.output)).toMatchObject({ node: "n1", ready: { ok: true } });
    expect(await chat.end()).toBe(0);
  });

  test.each<[string, () => string[], number, string]>([
    [
      "a room that is not there",
      () => ["send", "nowhere", "x", ...as("alice")],
      4,
      "nowhere: there is no such room; --create makes it",
    ],
    ["a name that is none", () => ["send", "lobby", "x", ...as("a b")], 2, "choose another --user"],
    ["no name of a room", () => ["send", "a b", "x", ...as("alice")], 2, '"a b" cannot be a name'],
    ["no name of a room to read", () => ["tail", "a b", ...as("alice")], 2, '"a b" cannot be a name'],
    ["nothing to send", () => ["send", "lobby", ...as("alice")], 2, "nothing to send"],
    [
      "nobody there",
      () => ["tail", "lobby", "--url", "tcp://127.0.0.1:9", "--within", "0.5"],
      3,
      "start one with: synod serve",
    ],
    [
      "the TCP port, spoken to as the public one",
      () => ["send", "lobby", "x", "--url", url("tcpPort"), "--within", "1"],
      3,
      "write tcp://HOST:7403",
    ],
    [
      "the public port, spoken to as the TCP port",
      () => ["send", "lobby", "x", "--url", url("port", "tcp"), "--within", "1"],
      3,
      "write ws://HOST:7400",
    ],
    [
      "the operators' port, spoken to as the public one",
      () => ["chat", url("adminPort"), "--within", "1"],
      3,
      "is no chat port of Synod",
    ],
    [
      "the public port, loaded as the TCP port",
      () => ["bench", "--url", url("port", "tcp"), "--seconds", "0.1"],
      3,
      "is it Synod's TCP port",
    ],
    ["an address that is none", () => ["chat", "ftp://x"], 2, "write ws://HOST:PORT"],
    ["a command that is none", () => ["sned"], 2, "Did you mean send?"],
  ])("%s: told in one line", async (_, words, code, text) => {
    const refused = await run(words());
    expect(refused.errors).toContain(text);
    expect(refused.code).toBe(code);
    expect(refused.errors).not.toMatch(/^ {4}at /m);
  });
});

test("a server that takes a message and never answers: unknown, and how to send it again", async () => {
  const silent = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.write(Buffer.concat([Uint8Array.of(binaryGreeting), welcomeOfNobody()])));
  }).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const url = `tcp://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  const sent = await run(["send", "lobby", "hello?", "--url", url, "--user", "alice", "--within", "1"]);
  expect(sent.code).toBe(3);
  expect(sent.errors).toMatch(/nobody knows whether it was stored: .*--cid [0-9a-f]+-1,/);
  silent.close();
});

function welcomeOfNobody(): Uint8Array {
  const welcome = { t: "welcome", v: 1, user: "alice", session: "s1", node: "n1", cluster: "c1", topology: "solo" };
  const limits = { bodyBytesMax: 65_536, frameBytesMax: 458_752, histItemsMax: 500, subsMax: 100, roomsMax: 100 };
  const rest = { heartbeatMs: 25_000, servers: [], limits: { ...limits, sendsInFlightMax: 1_024 } };
  return encodeBinary("server", { ...welcome, ...rest } as unknown as ServerFrame);
}

test("with tokens, a name is what the token says", async () => {
  const secretFile = join(folder.path, "secret");
  const secret = "a secret that is long enough for HS256";
  writeFileSync(secretFile, secret);
  chmodSync(secretFile, 0o600);
  const words = ["--auth", "token", "--auth-algorithm", "HS256", "--auth-secret-file", secretFile];
  const server = await started.serve(join(folder.path, "tokens"), words);
  const url = `ws://127.0.0.1:${server.ports.port}`;
  const token = await new SignJWT({ sub: "alice", aud: "synod" })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("5m")
    .sign(new TextEncoder().encode(secret));
  const sent = await run(["send", "lobby", "hello", "--url", url], { variables: { SYNOD_TOKEN: token } });
  expect(sent.code).toBe(0);
  const read = await run(["tail", "lobby", "--url", url, "-o", "json"], { variables: { SYNOD_TOKEN: token } });
  expect(shown(read.output)).toMatchObject([{ from: "alice", body: "hello" }]);
  const without = await run(["send", "lobby", "hello", "--url", url, "--user", "alice"]);
  expect(without.code).toBe(4);
  expect(without.errors).toContain("SYNOD_TOKEN");
  const other = await run(["send", "lobby", "hello", "--url", url, "--user", "bob"], {
    variables: { SYNOD_TOKEN: token },
  });
  expect(other.code).toBe(4);
  expect(server.errors).not.toContain(token);

  // A load proves itself too: each connection as a user of its own, or all as the one that a token is for.
  const tcp = `tcp://127.0.0.1:${server.ports.tcpPort}`;
  const load = ["bench", "--url", tcp, "--clients", "2", "--window", "4", "--seconds", "0.2", "-o", "json"];
  const many = await run([...load, "--auth-secret-file", secretFile]);
  expect(many.code).toBe(0);
  expect(many.errors).toContain("--data");
  expect(JSON.parse(many.output)).toMatchObject({ clients: 2, errors: 0, serverCpuSecondsPerMillion: null });
  const one = await run([...load, "--encoding", "json"], { variables: { SYNOD_TOKEN: token } });
  expect(one.code).toBe(0);
  const sdk = await run([...load, "--client", "sdk", "--auth-secret-file", secretFile]);
  expect(sdk.code).toBe(0);
  expect(JSON.parse(sdk.output)).toMatchObject({ client: "sdk", clients: 2, errors: 0 });
  const none = await run(load);
  expect(none.code).toBe(4);
  expect(none.errors).toContain("--auth-secret-file");
  const sdkWithout = await run([...load, "--client", "sdk"]);
  expect([sdkWithout.code, sdkWithout.errors]).toEqual([4, none.errors]);
  const wrong = await run([...load, "--auth-secret-file", secretFile, "--auth-audience", "others"]);
  expect(wrong.code).toBe(4);

  // A token that is wrong ends a pipe at once, and nothing is tried for --within.
  const impatient = new Command(["chat", url, "--user", "alice", "--within", "600"], { SYNOD_TOKEN: "no.such.token" });
  started.add(impatient);
  impatient.say("never said\n");
  expect(await impatient.ended).toBe(4);
  expect(impatient.errors).toContain("refused alice (unauthorized)");
});
