import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Command, run, serveWords, temporaryFolder } from "./command.ts";
import { endedInGoodOrder } from "./ended-in-good-order.ts";
import { StartedCommands } from "./started-commands.ts";
import { smallLimits } from "./support/small-limits.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
let made = 0;
const newData = (): string => join(folder.path, `data-${++made}`);

const mounted: string[] = [];
const asRoot = test.skipIf(process.getuid?.() !== 0);

afterAll(async () => {
  await started.end();
  for (const path of mounted) spawnSync("umount", ["-l", path]);
  folder.remove();
});

async function post(port: number, body: string): Promise<{ status: number; seq: number }> {
  const headers = { "synod-user": "alice", "content-type": "text/plain" };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/rooms/lobby/messages`, { method: "POST", headers, body });
  const { seq } = (await answer.json()) as { seq: number };
  return { status: answer.status, seq };
}

test("a server whose ports file can't be written serves all the same, and nobody else gets its directory", async () => {
  const data = newData();
  const first = await started.serve(data);
  expect(await post(first.ports.port, "one")).toEqual({ status: 201, seq: 1 });
  first.signal("SIGTERM");
  expect(await first.ended).toBe(0);

  mkdirSync(join(data, "ports.json"));
  const server = new Command(serveWords(data));
  started.add(server);
  await server.writes('"server.started"');
  expect(server.errors).toContain('"event":"ports.not-written"');
  const [, port] = /"port":(\d+)/.exec(server.errors)!;
  expect(await post(Number(port), "two")).toEqual({ status: 201, seq: 2 });

  rmSync(join(data, "ports.json"), { recursive: true });
  const second = await run(serveWords(data));
  expect(second.code).toBe(4);
  expect(second.errors).toContain(`process ${server.child.pid} uses it`);
  expect(await post(Number(port), "three")).toEqual({ status: 201, seq: 3 });
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  expect(readdirSync(data).filter((file) => file.startsWith("ports") || file.startsWith("lock"))).toEqual([]);
  expect(await endedInGoodOrder(data)).toBe(true);
});

/** A data directory on a file system of its own. */
function mountedData(options: string): string {
  const data = newData();
  mkdirSync(data, { mode: 0o700 });
  const mount = spawnSync("mount", ["-t", "tmpfs", "-o", `mode=700,${options}`, "tmpfs", data], { encoding: "utf8" });
  expect([mount.stderr, mount.status]).toEqual(["", 0]);
  mounted.push(data);
  return data;
}

/** Settles with the port once the server listens; its ports file may not be there. */
async function listening(server: Command): Promise<number> {
  started.add(server);
  await server.writes('"server.started"');
  return Number(/"server.started".*?"port":(\d+)/.exec(server.errors + server.output)![1]);
}

const bodies = async (port: number): Promise<string[]> => {
  const headers = { "synod-user": "alice" };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/rooms/lobby/messages`, { headers });
  return ((await answer.json()) as { items: { body: string }[] }).items.map(({ body }) => body);
};

asRoot.each([
  ["to the last byte", 0],
  ["but for a page", 4_096],
  ["but for half of the reserve", 512 * 1_024],
])(
  "a start on a disk that is full %s serves what is there and takes nothing, until there is space [needs root]",
  async (...[, leftBytes]) => {
    const data = mountedData("size=16m");
    const configuration = join(folder.path, "small.yaml");
    writeFileSync(configuration, JSON.stringify({ limits: smallLimits(), log: "json" }));
    const words = serveWords(data, ["--config", configuration]);
    const first = new Command(words);
    const port = await listening(first);
    for (const body of ["one", "two", "three"]) expect((await post(port, body)).status).toBe(201);
    first.signal("SIGKILL");
    await first.ended;

    const filler = join(data, "filler");
    const { bavail, bsize } = statfsSync(data);
    writeFileSync(filler, new Uint8Array(bavail * bsize - leftBytes));
    const server = new Command(words);
    const again = await listening(server);
    // The first that is sent meets a server that has looked at its disk.
    expect((await post(again, "too much")).status).toBe(507);
    expect(await bodies(again)).toEqual(["one", "two", "three"]);
    const ready = await fetch(`http://127.0.0.1:${again}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("full")]);
    // Nobody else gets the directory meanwhile, and what that attempt left is gone.
    const second = await run(words);
    expect([second.code, second.errors]).toEqual([4, expect.stringContaining(`process ${server.child.pid} uses it`)]);
    expect(readdirSync(data).filter((file) => file.startsWith("lock")).length).toBe(1);

    rmSync(filler);
    await expect.poll(async () => (await post(again, "four")).status, { timeout: 20_000, interval: 200 }).toBe(201);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    expect(readdirSync(data).filter((file) => file.startsWith("lock"))).toEqual([]);
    expect((await run(["verify", data])).code).toBe(0);
  },
);

asRoot(
  "a directory that can't be made, on a file system that is only read, is refused in one line [needs root]",
  async () => {
    const parent = mountedData("size=1m");
    expect(spawnSync("mount", ["-o", "remount,ro", parent]).status).toBe(0);
    const refused = await run(serveWords(join(parent, "data")));
    expect(refused.code).toBe(4);
    expect(refused.errors).toContain(`the data directory ${join(parent, "data")} can't be used`);
    expect(refused.errors).not.toContain("at ");
  },
);
