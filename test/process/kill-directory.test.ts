import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  batchHeaderBytes,
  batchKinds,
  batchLength,
  decodeSegmentHeader,
  sealBatch,
  sectorBytes,
} from "../../src/storage/journal/layout.ts";
import { scanSegment } from "../../src/storage/journal/scan.ts";
import type { ClusterId, Incarnation } from "../../src/base/ids.ts";
import { Ledger } from "./support/ledger.ts";
import { LineClient } from "./support/line-client.ts";
import { runCommand, ServerProcess, until } from "./support/server-process.ts";
import { smallLimits } from "./support/small-limits.ts";

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

async function serverOn(data?: string): Promise<ServerProcess> {
  const options = { limits: smallLimits(), ...(data === undefined ? {} : { data }) };
  const server = await ServerProcess.start(options);
  ends.push(() => server.dispose());
  return server;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "synod-directory-"));
  ends.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function clientOf(server: ServerProcess): Promise<LineClient> {
  const client = await LineClient.open(server.ports.tcpPort, "alice");
  ends.push(() => client.end());
  return client;
}

/** A directory as a killed server left it, and what that server had acknowledged. */
async function killedDirectory(): Promise<{ data: string; ledger: Ledger }> {
  const server = await serverOn();
  const client = await clientOf(server);
  const ledger = new Ledger();
  await client.ask({ t: "join", room: ledger.room });
  for (let burst = 0; burst < 20; burst++) {
    await Promise.all(Array.from({ length: 40 }, () => ledger.send(client)));
  }
  const onTheWay = Array.from({ length: 40 }, () => ledger.send(client));
  await onTheWay[0];
  await server.kill();
  await Promise.all(onTheWay);
  return { data: server.data, ledger };
}

/** Where the last segment of a stopped directory ends, and what a next batch there would carry. */
function journalEnd(data: string): {
  file: string;
  end: number;
  number: number;
  checksum: number;
  generation: Uint8Array;
} {
  const identity = readFileSync(join(data, "identity"));
  const id = (at: number): string => identity.subarray(at, at + 16).toString("hex");
  const expected = { cluster: id(12) as ClusterId, incarnation: id(28) as Incarnation };
  const names = readdirSync(join(data, "journal")).filter((name) => name.endsWith(".wal"));
  for (const name of names.sort().toReversed()) {
    const file = join(data, "journal", name);
    const image = readFileSync(file);
    const verdict = decodeSegmentHeader(image, expected);
    if (verdict.state !== "valid") continue;
    const { generation } = verdict.header;
    const { end, lastNumber, lastChecksum } = scanSegment(image, { generation, previous: null });
    if (lastNumber !== null && lastChecksum !== null) {
      return { file, end, number: lastNumber, checksum: lastChecksum, generation };
    }
  }
  throw new Error(`no segment of ${data} holds a batch`);
}

/** What an unclean stop may leave behind the last batch that was flushed: nothing of it was ever acknowledged. */
const tails: Readonly<Record<string, (tail: Uint8Array, at: ReturnType<typeof journalEnd>) => void>> = {
  "left as it is": () => undefined,
  zeroed: (tail) => tail.fill(0),
  "filled with noise": (tail) => {
    for (let i = 0; i < tail.length; i++) tail[i] = (Math.imul(i + 1, 0x9e37_79b1) >>> 24) & 0xff;
  },
  "the first sector of a batch that never got whole": (tail, { number, checksum, generation }) => {
    const recordBytes = 1_500;
    const batch = new Uint8Array(batchLength(recordBytes));
    batch.fill(0x5a, batchHeaderBytes, batchHeaderBytes + recordBytes);
    sealBatch(batch, 0, {
      number: number + 1,
      kind: batchKinds.records,
      generation,
      previousChecksum: checksum,
      recordCount: 1,
      recordBytes,
    });
    tail.fill(0);
    tail.set(batch.subarray(0, Math.min(sectorBytes, tail.length)));
  },
  "the later sectors of a batch whose first never came": (tail) => {
    tail.fill(0x33, sectorBytes, Math.min(tail.length, 4 * sectorBytes));
    tail.fill(0, 0, Math.min(tail.length, sectorBytes));
  },
};

describe("what an unclean stop leaves behind the last flushed batch costs nothing that was acknowledged", () => {
  let left: { data: string; ledger: Ledger; end: () => void };

  beforeAll(async () => {
    const { data, ledger } = await killedDirectory();
    const kept = mkdtempSync(join(tmpdir(), "synod-left-"));
    cpSync(data, join(kept, "data"), { recursive: true });
    left = { data: join(kept, "data"), ledger, end: () => rmSync(kept, { recursive: true, force: true }) };
    expect(ledger.acknowledged.size).toBeGreaterThan(500);
  });

  afterAll(() => left?.end());

  test.each(Object.entries(tails))("%s", async (...[, change]) => {
    const { data, ledger } = left;
    const copy = join(folder(), "data");
    cpSync(data, copy, { recursive: true });
    const at = journalEnd(copy);
    const image = readFileSync(at.file);
    change(image.subarray(at.end), at);
    writeFileSync(at.file, image);

    const server = await serverOn(copy);
    const stored = await ledger.check(server);
    expect(stored).toBeGreaterThanOrEqual(ledger.acknowledged.size);
    // It goes on behind what is there.
    const client = await clientOf(server);
    const next = await client.ask({ t: "send", room: ledger.room, cid: "next", body: "next" });
    expect(next).toMatchObject({ t: "ok", seq: stored + 1, dup: false });
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(server.faults()).toEqual([]);
    expect(await runCommand(["verify", copy])).toMatchObject({ code: 0 });
  });
});

/** Every file with a hash of what it holds; what a refused start must leave as it was. */
function contents(data: string): Record<string, string> {
  const files = readdirSync(data, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    files
      .filter((file) => statSync(join(data, file)).isFile())
      .map((file) => [
        file,
        createHash("sha256")
          .update(readFileSync(join(data, file)))
          .digest("hex"),
      ]),
  );
}

/** Starts on a directory that must be refused: a code, and one line for people, behind warnings at most. */
async function refusal(data: string): Promise<{ code: number | null; line: string }> {
  const words = ["serve", "--data", data, "--port", "0", "--tcp-port", "0", "--admin-port", "0", "--log", "json"];
  const { code, signal, errors } = await runCommand(words);
  expect(signal).toBeNull();
  // The log tells the same for programs. What damage there is may take a list; it is indented.
  const plain = errors.split("\n").filter((line) => line !== "" && !line.startsWith("{") && !line.startsWith("  "));
  expect(plain).toEqual([expect.stringMatching(/^synod: /)]);
  return { code, line: plain[0]! };
}

describe("a directory that cannot be trusted or used is refused with a code and one line", () => {
  async function stoppedDirectory(): Promise<string> {
    const server = await serverOn();
    const client = await clientOf(server);
    const ledger = new Ledger();
    await client.ask({ t: "join", room: ledger.room });
    await Promise.all(Array.from({ length: 100 }, () => ledger.send(client)));
    expect(ledger.acknowledged.size).toBe(100);
    await server.stop();
    return server.data;
  }

  test("another process has it: refused, and that one goes on", async () => {
    const server = await serverOn();
    const { code, line } = await refusal(server.data);
    expect(code).toBe(4);
    expect(line).toContain(`process ${server.pid}`);
    const client = await clientOf(server);
    expect((await client.ask({ t: "join", room: "lobby" })).t).toBe("ok");
  });

  test("its format is newer than the program", async () => {
    const data = await stoppedDirectory();
    const file = join(data, "identity");
    const bytes = readFileSync(file);
    for (const page of [0, 4096]) {
      bytes.writeUInt16LE(99, page + 8);
      bytes.writeUInt32LE(crc32(bytes.subarray(page, page + 60)), page + 60);
      bytes.writeUInt32LE(crc32(bytes.subarray(page, page + 4092)), page + 4092);
    }
    writeFileSync(file, bytes);
    const before = contents(data);
    const { code, line } = await refusal(data);
    expect(code).toBe(4);
    expect(line).toMatch(/format/);
    expect(contents(data)).toEqual(before);
  });

  test("its identity is damaged, or missing", async () => {
    const data = await stoppedDirectory();
    const file = join(data, "identity");
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0xee, 0, 100).fill(0xee, 4096, 4196));
    const before = contents(data);
    expect((await refusal(data)).code).toBe(4);
    expect(contents(data)).toEqual(before);
    rmSync(file);
    expect((await refusal(data)).code).toBe(4);
  });

  test("its journal is missing", async () => {
    const data = await stoppedDirectory();
    rmSync(join(data, "journal"), { recursive: true });
    const { code, line } = await refusal(data);
    expect([1, 4]).toContain(code);
    expect(line).toMatch(/journal|damaged/);
  });

  test("a segment of its journal is missing, or of another server", async () => {
    const data = await stoppedDirectory();
    const other = await stoppedDirectory();
    const name = readdirSync(join(data, "journal"))
      .filter((file) => file.endsWith(".wal"))
      .sort()
      .at(-1)!;
    rmSync(join(data, "journal", name));
    expect([1, 4]).toContain((await refusal(data)).code);
    cpSync(join(other, "journal", name), join(data, "journal", name));
    expect([1, 4]).toContain((await refusal(data)).code);
  });

  test("it cannot be written to [needs root]", async (context) => {
    context.skip(process.getuid?.() !== 0);
    const data = join(folder(), "data");
    mkdirSync(data, { mode: 0o700 });
    mountTmpfs(data, "size=4m,mode=700,ro");
    const { code, line } = await refusal(data);
    expect(code).toBe(4);
    expect(line).toContain(data);
  });
});

function mountTmpfs(path: string, options: string): void {
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", path], { encoding: "utf8" });
  expect([mounted.stderr, mounted.status]).toEqual(["", 0]);
  ends.push(() => void spawnSync("umount", ["-l", path]));
}

test("a full disk: sends are refused, reads go on, and it recovers by itself [needs root]", async (context) => {
  context.skip(process.getuid?.() !== 0);
  const data = join(folder(), "data");
  mkdirSync(data, { mode: 0o700 });
  mountTmpfs(data, "size=16m,mode=700");
  const server = await serverOn(data);
  const [client, other] = [await clientOf(server), await clientOf(server)];
  const ledger = new Ledger();
  await client.ask({ t: "join", room: ledger.room });
  while (ledger.acknowledged.size < 200) await ledger.send(client);

  // Somebody else fills the disk to the last byte while messages come in.
  const filler = join(data, "filler");
  const free = statfsSync(data);
  writeFileSync(filler, new Uint8Array(free.bavail * free.bsize));
  const full = new AbortController();
  const sending = (async () => {
    // What the journal has taken and cannot write waits for space; nobody who comes later waits with it.
    while (!full.signal.aborted) await ledger.send(client, 900);
  })();
  await until(async () => (await fetch(`${server.url}/readyz`)).status === 503, 50);
  full.abort();
  for (let n = 0; n < 20; n++) expect(await ledger.send(other, 900)).toBe("storage_full");
  // Everything that was acknowledged can still be read.
  await ledger.check(server);
  const ready = await fetch(`${server.url}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("full")]);
  expect((await fetch(`${server.url}/livez`)).status).toBe(200);

  rmSync(filler);
  const freedAt = performance.now();
  await until(async () => (await ledger.send(other)) === "ok", 20);
  process.stdout.write(
    `full disk: sends work again ${Math.round(performance.now() - freedAt)} ms after space came back\n`,
  );
  await sending;
  while (ledger.acknowledged.size < 400) await ledger.send(client);
  expect([...ledger.refusals.keys()]).toEqual(["storage_full"]);

  await server.kill();
  server.spawn();
  await server.listening();
  await ledger.check(server);
  expect(await server.stop()).toEqual({ code: 0, signal: null });
  const events = server.faults().map((line) => (JSON.parse(line) as { event: string }).event);
  expect(events.filter((event) => event !== "disk.full" && event !== "seal.failed")).toEqual([]);
});
