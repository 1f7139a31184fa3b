import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createServer, type AddressInfo, connect, type Server } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { version } from "../../src/apps/cli/version.ts";
import { ownPorts, run, type ServeCommand, serveWords, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";
import { ServerProcess } from "./support/server-process.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
let made = 0;
const newData = (): string => join(folder.path, `data-${++made}`);

afterAll(async () => {
  await started.end();
  folder.remove();
});

describe("a start and a stop in good order", () => {
  test("says where it listens, tells its clients when it stops, and leaves nothing behind", async () => {
    const data = newData();
    const server = await started.serve(data);
    const { port, tcpPort, adminPort, pid, node } = server.ports;
    expect({ pid, node }).toEqual({ pid: server.child.pid, node: "n1" });
    expect(new Set([port, tcpPort, adminPort]).size).toBe(3);
    // In a pipe, one plain line for whoever started it; the log has the rest.
    expect(server.output).toBe(`Synod ${version} is ready: http://127.0.0.1:${port}/\n`);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(data)) expect(statSync(join(data, file)).mode & 0o077).toBe(0);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/openapi.json`)).status).toBe(200);
    expect(await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()).toContain('synod_ready{node="n1"} 1');

    // The thread pool has its size: a journal write must not wait behind history reads.
    if (process.platform === "linux") {
      expect(readdirSync(`/proc/${pid}/task`).length).toBeGreaterThanOrEqual(16 + 5);
    }

    const client = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`);
    const frames: string[] = [];
    client.on("message", (text: Buffer) => frames.push(text.toString()));
    await once(client, "open");
    client.send(JSON.stringify({ t: "hello", v: 1, user: "alice" }));
    await once(client, "message");
    server.signal("SIGTERM");
    const [closeCode] = (await once(client, "close")) as [number];
    expect(closeCode).toBe(1012);
    expect(frames.join()).toContain('"drain"');
    expect(await server.ended).toBe(0);
    expect(readdirSync(data).filter((file) => file.startsWith("ports") || file.startsWith("lock"))).toEqual([]);
    expect(server.errors.split("\n").every((line) => line === "" || line.startsWith("{"))).toBe(true);
  });

  test("whoever has just started it can wait for it", async () => {
    const server = new ServerProcess();
    try {
      server.ports = await ownPorts();
      const url = `http://127.0.0.1:${server.ports.adminPort}`;
      const inVain = await run(["status", url, "--wait", "0.2"]);
      expect([inVain.code, inVain.errors]).toEqual([3, expect.stringContaining("no server answers")]);
      const waiting = [run(["status", url, "--wait", "60"]), run(["cluster", "status", "--url", url, "--wait", "60"])];
      server.spawn();
      for (const { code, output } of await Promise.all(waiting))
        expect([code, output]).toEqual([0, expect.stringContaining("n1  ready")]);
    } finally {
      await server.dispose();
    }
  });

  test("the signal that would open the inspector of Node opens nothing", async () => {
    const server = await started.serve(newData());
    server.signal("SIGUSR1");
    await server.writes('"signal.ignored"');
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(server.errors).not.toContain("Debugger");
    expect(server.errors.split("\n").every((line) => line === "" || line.startsWith("{"))).toBe(true);
  });

  test("a second signal does not wait for anybody", async () => {
    const data = newData();
    const server = await started.serve(data);
    // Reads nothing and says nothing: it would be waited for.
    const silent = connect({ port: server.ports.tcpPort, host: "127.0.0.1", allowHalfOpen: true });
    silent.on("error", () => undefined);
    silent.write('{"t":"hello","v":1,"user":"alice"}\n');
    await once(silent, "data");
    server.signal("SIGTERM");
    await server.writes("server.stopping");
    server.signal("SIGTERM");
    expect(await server.ended).toBe(143);
    silent.destroy();
    expect(existsSync(join(data, "ports.json"))).toBe(false);
  });

  test.skipIf(!existsSync("/usr/bin/prlimit"))("a journal that fails ends it with code 1", async () => {
    const server = await started.serve(newData());
    // The mark behind the last batch comes a moment after the start: that write is not the one that is to fail.
    await setTimeout(300);
    // From here on no file may be written beyond its first bytes.
    execFileSync("prlimit", ["--pid", `${server.ports.pid}`, "--fsize=1"]);
    const post = fetch(`http://127.0.0.1:${server.ports.port}/v1/rooms/lobby/messages`, {
      method: "POST",
      headers: { "synod-user": "alice", "content-type": "text/plain" },
      body: "never stored",
    });
    // Who waited is told, and told that nobody knows: the message may be stored or not.
    const answer = await post;
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: "unavailable", definite: false });
    expect(await server.ended).toBe(1);
    expect(server.errors).toContain("journal.failed");
  });
});

/** Every file of a directory but who has it, with what is in it. */
const contents = (data: string): Map<string, string> =>
  new Map(
    readdirSync(data, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/^(?:lock|ports)\./.test(entry.name))
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => [path, createHash("sha256").update(readFileSync(path)).digest("hex")]),
  );

describe("a start is refused with one clear line, and nothing is touched", () => {
  test("a second process on the same directory", async () => {
    const data = newData();
    const server = await started.serve(data);
    const second = await run(["serve", "--data", data, "--port", "0", "--tcp-port", "0", "--admin-port", "0"]);
    expect(second.code).toBe(4);
    expect(second.errors).toContain(`process ${server.ports.pid} uses it`);
    const check = await run(["verify", data]);
    expect(check.code).toBe(4);
    // The first one does not mind.
    expect((await fetch(`http://127.0.0.1:${server.ports.port}/readyz`)).status).toBe(200);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    const otherName = await run(["serve", "--data", data, "--node", "n2", "--port", "0"]);
    expect(otherName.code).toBe(4);
    expect(otherName.errors).toContain('belongs to the server "n1"');
  });

  describe("a port that is taken", () => {
    let taken: Server;
    let port: number;

    beforeAll(async () => {
      taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      ({ port } = taken.address() as AddressInfo);
    });

    afterAll(() => {
      taken.close();
    });

    const cluster = (): string[] => ["--topology", "leader", "--secret-file", secret];
    test.each<[string, () => string[]]>([
      ["--port", () => []],
      ["--tcp-port", () => []],
      ["--admin-port", () => []],
      ["--tcp-port", () => [...cluster(), "--peer-port", "0"]],
      ["--peer-port", () => [...cluster(), "--peers", "n1=127.0.0.1:1,n2=127.0.0.1:2"]],
    ])("%s: no directory is made, and one that is empty stays empty", async (flag, words) => {
      const data = newData();
      const refusedOn = async (): Promise<void> => {
        const refused = await run(serveWords(data, [...words(), flag, `${port}`]));
        expect(refused.errors).toContain(`127.0.0.1:${port} is in use; choose another ${flag}`);
        expect([refused.code, refused.output]).toEqual([4, ""]);
      };
      await refusedOn();
      expect(existsSync(data)).toBe(false);
      mkdirSync(data, { mode: 0o700 });
      await refusedOn();
      expect(readdirSync(data)).toEqual([]);
    });

    test("what a server left is not touched either", async () => {
      const data = newData();
      const server = await started.serve(data);
      server.signal("SIGKILL");
      await server.ended;
      const before = contents(data);
      expect(before.size).toBeGreaterThan(2);
      const refused = await run(serveWords(data, ["--tcp-port", `${port}`]));
      expect([refused.code, refused.errors]).toEqual([4, expect.stringContaining("choose another --tcp-port")]);
      expect(contents(data)).toEqual(before);
    });
  });

  const file = join(folder.path, "a-file");
  writeFileSync(file, "");
  const open = join(folder.path, "open-to-all");
  mkdirSync(open);
  writeFileSync(join(open, "something"), "");
  chmodSync(open, 0o755);
  const configuration = join(folder.path, "wrong.yaml");
  writeFileSync(configuration, "prot: 1\n");
  const leader = ["--topology", "leader", "--secret-file"];
  const [secret, openSecret, shortSecret] = ["secret", "secret-of-all", "secret-of-few-bytes"].map((name) =>
    join(folder.path, name),
  ) as [string, string, string];
  writeFileSync(secret, "0123456789abcdef0123456789abcdef\n", { mode: 0o600 });
  writeFileSync(openSecret, "0123456789abcdef0123456789abcdef\n", { mode: 0o644 });
  writeFileSync(shortSecret, "guess\n", { mode: 0o600 });

  test.each<[string, string[], number, string]>([
    ["a topology that is not built", ["--topology", "mesh"], 2, "mesh is not built yet"],
    ["a cluster without a secret", ["--topology", "leader"], 2, "needs --secret-file FILE"],
    ["a secret that others may read", [...leader, openSecret], 4, `run: chmod 600 ${openSecret}`],
    ["a secret that can be guessed", [...leader, shortSecret], 2, "openssl rand -hex 32"],
    ["a peer without an address", ["--peers", "n2"], 2, "must be NAME=HOST:PORT"],
    ["a peer that is named twice", ["--peers", "n2=a:1,n2=b:1"], 2, "must name each server once"],
    [
      "a peer port that others can't reach",
      [...leader, secret, "--peers", "n1=10.0.0.1:7401,n2=10.0.0.2:7401"],
      2,
      "set --peer-host 10.0.0.1",
    ],
    ["peers of a solo server", ["--peers", "n2=127.0.0.1:7401"], 2, "--peers is for several servers"],
    ["a flag that does not exist", ["--prot", "1"], 2, "unknown option '--prot'"],
    ["a key that does not exist", ["--config", configuration], 2, "did you mean port?"],
    ["a flush that waits for bytes only", ["--flush-after-bytes", "9"], 2, "flush.afterBytes needs flush.afterMs"],
    ["a push that waits for messages only", ["--push-after-count", "9"], 2, "push.afterCount needs push.afterMs"],
    ["a time zone that does not exist", ["--time-zone", "Mars"], 2, "timeZone must be an IANA time zone"],
    ["open authentication for everybody", ["--host", "0.0.0.0"], 4, "--auth token"],
    ["an operators' port for everybody", ["--admin-host", "0.0.0.0"], 4, "--admin-token-file"],
    ["a file for a directory", ["--data", file], 4, "can't be used"],
    ["a directory that others may enter", ["--data", open], 4, "chmod 700"],
  ])("%s", async (_, words, code, text) => {
    const data = newData();
    const refused = await run(serveWords(data, words));
    expect(refused.errors).toContain(text);
    expect(refused.code).toBe(code);
    expect(refused.output).toBe("");
    expect(existsSync(data)).toBe(false);
    expect(readdirSync(open)).toEqual(["something"]);
  });
});

test("damage is named to the byte, and only a person decides to go on without what is gone", async () => {
  const data = newData();
  const server = await started.serve(data);
  // One batch each: the last of all is allowed to be torn, the one before it is not.
  for (const body of ["one", "two", "three"]) {
    const headers = { "synod-user": "alice", "content-type": "text/plain" };
    const url = `http://127.0.0.1:${server.ports.port}/v1/rooms/lobby/messages`;
    expect((await fetch(url, { method: "POST", headers, body })).status).toBe(201);
  }
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  expect((await run(["verify", data])).code).toBe(0);

  const journal = join(data, "journal", readdirSync(join(data, "journal")).find((name) => name.endsWith(".wal"))!);
  const at = readFileSync(journal).indexOf("two");
  const handle = openSync(journal, "r+");
  writeSync(handle, "x", at);
  const before = readFileSync(journal);

  const verified = await run(["verify", data, "-o", "json"]);
  expect(verified.code).toBe(1);
  const { damage } = JSON.parse(verified.output) as { damage: { file: string; offset: number; length: number }[] };
  expect(damage.length).toBeGreaterThan(0);
  const [range] = damage;
  expect(at).toBeGreaterThanOrEqual(range!.offset);
  expect(at).toBeLessThan(range!.offset + range!.length);

  const refused = await run(["serve", "--data", data, "--port", "0", "--tcp-port", "0", "--admin-port", "0"]);
  expect(refused.code).toBe(1);
  expect(refused.errors).toContain(`${range!.file} bytes ${range!.offset}…${range!.offset + range!.length}`);
  expect(refused.errors).toContain("--accept-loss");
  expect(readFileSync(journal).equals(before)).toBe(true);

  const accepted = await started.serve(data, ["--accept-loss"]);
  // What is gone is said, in the same words.
  expect(accepted.errors).toContain(`"event":"data.lost","file":"${range!.file}","offset":${range!.offset}`);
  expect(readdirSync(join(data, "quarantine")).length).toBeGreaterThan(0);
  accepted.signal("SIGTERM");
  expect(await accepted.ended).toBe(0);
  rmSync(data, { recursive: true });
});

test("an older copy that is restored gets another line, once and for good; a directory in use is refused", async () => {
  const data = newData();
  const backup = newData();
  const room = (server: ServeCommand): string => `http://127.0.0.1:${server.ports.port}/v1/rooms/lobby/messages`;
  const post = async (server: ServeCommand, body: string): Promise<{ seq: number; line: string }> => {
    const headers = { "synod-user": "alice", "content-type": "text/plain" };
    const answer = await fetch(room(server), { method: "POST", headers, body });
    return (await answer.json()) as { seq: number; line: string };
  };
  const stop = async (server: ServeCommand): Promise<void> => {
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
  };
  const first = await started.serve(data);
  const { line } = await post(first, "in the backup");
  await stop(first);
  cpSync(data, backup, { recursive: true });
  const second = await started.serve(data);
  expect(await post(second, "behind the backup")).toMatchObject({ seq: 2, line });
  const refused = await run(serveWords(data, ["--restored"]));
  expect(refused.code).toBe(4);
  expect(await post(second, "still the same line")).toMatchObject({ seq: 3, line });
  await stop(second);

  rmSync(data, { recursive: true });
  cpSync(backup, data, { recursive: true });
  const restored = await started.serve(data, ["--restored"]);
  const other = await post(restored, "another second message");
  expect(other.seq).toBe(2);
  expect(other.line).not.toBe(line);
  expect(restored.errors).toContain(`"event":"data.restored","line":"${other.line}"`);
  // Who had read up to 3 under the old line is told so at once, in the new one.
  const client = new WebSocket(`ws://127.0.0.1:${restored.ports.port}/v1/ws`);
  const frames: string[] = [];
  client.on("message", (text: Buffer) => frames.push(text.toString()));
  await once(client, "open");
  client.send(JSON.stringify({ t: "hello", v: 1, user: "bob" }));
  client.send(JSON.stringify({ t: "sub", id: 1, room: "lobby", after: 3, line }));
  while (!frames.join("").includes('"t":"gap"')) await once(client, "message");
  expect(frames.join("")).toContain('"reason":"reset"');
  client.close();
  await stop(restored);

  // Without the flag the line stays what it has become.
  const last = await started.serve(data);
  expect(await post(last, "third")).toMatchObject({ seq: 3, line: other.line });
  await stop(last);
  rmSync(data, { recursive: true });
  rmSync(backup, { recursive: true });
});
