import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { checkLimits, defaultLimits } from "../../src/base/limits.ts";
import { Command, run, serveWords, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
const data = join(folder.path, "data");
mkdirSync(data, { mode: 0o700 });
/** A file system of its own; only root may mount one, and not on every machine. */
const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "mode=700,size=4m", "tmpfs", data]).status === 0;

afterAll(async () => {
  await started.end();
  if (isMounted) spawnSync("umount", ["-l", data]);
  folder.remove();
});

const KiB = 1024;
/** Segments that are soon full, and a chunk that never is: the journal grows until the disk is full. */
const limits = {
  bodyBytesMax: 8 * KiB,
  frameBytesMax: 64 * KiB,
  entryBytesMax: 16 * KiB,
  segmentBytes: 64 * KiB,
  chunkBytes: 8_192 * KiB,
  unsealedBytesMax: 16_384 * KiB,
  // More than what a start may give back: the draft of a segment that was not finished.
  diskReserveBytes: 128 * KiB,
};
checkLimits({ ...defaultLimits, ...limits });

async function post(port: number, body: string): Promise<number> {
  const headers = { "synod-user": "alice", "content-type": "text/plain" };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/rooms/lobby/messages`, { method: "POST", headers, body });
  await answer.text();
  return answer.status;
}

async function bodies(port: number): Promise<string[]> {
  const read: string[] = [];
  for (;;) {
    const url = `http://127.0.0.1:${port}/v1/rooms/lobby/messages?limit=100&after=${read.length}`;
    const page = (await (await fetch(url, { headers: { "synod-user": "alice" } })).json()) as Page;
    read.push(...page.items.map(({ body }) => body.slice(0, 4)));
    if (!page.more) return read;
  }
}
type Page = { items: { body: string }[]; more: boolean };

async function listening(words: readonly string[]): Promise<{ server: Command; port: number }> {
  const server = new Command(words);
  started.add(server);
  await server.writes('"server.started"');
  return { server, port: Number(/"server.started".*?"port":(\d+)/.exec(server.errors + server.output)![1]) };
}

function fill(name: string): void {
  const { bavail, bsize } = statfsSync(data);
  writeFileSync(join(data, name), new Uint8Array(bavail * bsize));
}

test.skipIf(!isMounted)(
  "a server that has filled its disk to the last byte, and is killed, serves all of it again and again, and takes more once there is room [needs root]",
  async () => {
    const configuration = join(folder.path, "small.yaml");
    writeFileSync(configuration, JSON.stringify({ limits, log: "json" }));
    const words = serveWords(data, ["--config", configuration]);
    let { server, port } = await listening(words);
    const stored: string[] = [];
    for (let status = 201; status === 201; ) {
      const body = String(1_000 + stored.length);
      status = await post(port, body.padEnd(8 * KiB, "x"));
      if (status === 201) stored.push(body);
    }
    const segments = readdirSync(join(data, "journal")).filter((file) => file.endsWith(".wal")).length;
    expect(segments).toBeGreaterThan(10);

    for (const filler of ["filler-1", "filler-2", "filler-3"]) {
      server.signal("SIGKILL");
      await server.ended;
      fill(filler);
      ({ server, port } = await listening(words));
      // The one that was under way when the disk became full may be there.
      expect((await bodies(port)).slice(0, stored.length)).toEqual(stored);
      expect(await post(port, "no")).toBe(507);
      expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(503);
    }

    expect(spawnSync("mount", ["-o", "remount,size=64m", data]).status).toBe(0);
    await expect.poll(() => post(port, "yes"), { timeout: 20_000, interval: 200 }).toBe(201);
    const all = await bodies(port);
    expect([all.slice(0, stored.length), all.at(-1)]).toEqual([stored, "yes"]);
    server.signal("SIGTERM");
    expect(await server.ended).toBe(0);
    for (const filler of ["filler-1", "filler-2", "filler-3"]) rmSync(join(data, filler));
    expect((await run(["verify", data])).code).toBe(0);
  },
);
