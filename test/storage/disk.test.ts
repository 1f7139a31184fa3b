import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { getSystemErrorName } from "node:util";
import { describe, expect, test, vi } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { nodeFileSystem } from "../../src/platform/node/node-file-system.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { fileName, openDisk, quarantineFolder } from "../../src/storage/disk.ts";
import type { Disk } from "../../src/storage/disk.ts";
import { systemCodeOf } from "../../src/storage/file-system.ts";
import { diskContract } from "./disk-contract.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("real disk", () => {
  diskContract(async () => {
    const folder = await mkdtemp(join(tmpdir(), "synod-disk-"));
    const reopen = (): Disk => openDisk(nodeFileSystem(folder));
    return { disk: reopen(), reopen, end: () => rm(folder, { recursive: true }) };
  });

  test("what an unfinished publish left is removed, and never listed", async () => {
    const folder = await mkdtemp(join(tmpdir(), "synod-disk-"));
    const disk = openDisk(nodeFileSystem(folder));
    await writeFile(join(folder, "note.7.tmp"), "half");
    expect(await disk.list("")).toEqual([]);
    await disk.publish(fileName("note"), [bytes("whole")]);
    expect((await nodeFileSystem(folder).list("")).map((item) => item.name)).toEqual(["note"]);
    await disk.close();
    await rm(folder, { recursive: true });
  });
});

describe("disk in memory", () => {
  diskContract(() => {
    const fileSystem = new SimFileSystem();
    const reopen = (): Disk => openDisk(fileSystem);
    return Promise.resolve({ disk: reopen(), reopen, end: () => Promise.resolve() });
  });
});

describe("simulated disk with every write and read short", () => {
  diskContract(() => {
    const fileSystem = new SimFileSystem({ random: seededRandom(3) });
    fileSystem.failAt(0, "short", { persistent: true });
    const reopen = (): Disk => openDisk(fileSystem);
    return Promise.resolve({ disk: reopen(), reopen, end: () => Promise.resolve() });
  });
});

describe("simulated disk that loses power", () => {
  const file = fileName("journal/1.wal");

  /** Each story is run with a crash at every call and in every mode; then `check` sees a new process's disk. */
  async function sweep(
    story: (disk: Disk, reached: (what: string) => void) => Promise<void>,
    check: (disk: Disk, reached: ReadonlySet<string>) => Promise<void>,
  ): Promise<number> {
    for (let at = 1; ; at++) {
      for (const [seed, mode] of crashModes.entries()) {
        const fileSystem = new SimFileSystem({ random: seededRandom(seed) });
        const reached = new Set<string>();
        fileSystem.crashAt(at, mode);
        const whole = await Promise.race([
          story(openDisk(fileSystem), (what) => reached.add(what)).then(() => true),
          fileSystem.whenStopped().then(() => false),
        ]);
        if (whole) return at;
        fileSystem.crash(seededRandom(at * 10 + seed), mode);
        await check(openDisk(fileSystem), reached);
        // Killed once, then the power goes: what only the cache had is gone too.
        fileSystem.crash(seededRandom(at), "lost");
        await check(openDisk(fileSystem), reached);
      }
    }
  }

  test("publish is whole or not at all, and settled means durable", async () => {
    const points = await sweep(
      async (disk, reached) => {
        await disk.publish(file, [bytes("first")]);
        reached("first");
        await disk.publish(file, [bytes("the "), bytes("second")]);
        reached("second");
      },
      async (disk, reached) => {
        const size = await disk.sizeOf(file);
        const content = size === null ? null : new TextDecoder().decode(await disk.read(file, 0, 100));
        expect([null, "first", "the second"]).toContain(content);
        if (reached.has("second")) expect(content).toBe("the second");
        else if (reached.has("first")) expect(content).not.toBe(null);
      },
    );
    expect(points).toBeGreaterThan(15);
  });

  test("allocate, write, rename and remove are durable when settled", async () => {
    const moved = fileName("quarantine/1.wal");
    await sweep(
      async (disk, reached) => {
        await disk.allocate(file, 2048);
        reached("allocated");
        await disk.writeDurable(file, 500, bytes("x".repeat(1000)));
        reached("written");
        await disk.rename(file, moved);
        reached("renamed");
        await disk.remove(moved);
        reached("removed");
      },
      async (disk, reached) => {
        const [size, movedSize] = [await disk.sizeOf(file), await disk.sizeOf(moved)];
        // A file that is there has its whole size, under either name.
        for (const one of [size, movedSize]) expect([null, 2048]).toContain(one);
        if (reached.has("removed")) expect([size, movedSize]).toEqual([null, null]);
        else if (reached.has("renamed")) expect(size).toBe(null);
        else if (reached.has("allocated")) expect(size ?? movedSize).toBe(2048);
        if (reached.has("written") && (size ?? movedSize) !== null) {
          const content = await disk.read(size === null ? moved : file, 500, 1000);
          expect(content.every((byte) => byte === 120)).toBe(true);
        }
      },
    );
  });

  test("a quota that is used up is a full disk, though Node knows no name for it", async () => {
    // What Node makes of it on Linux: a number and no name.
    const { EDQUOT } = constants.errno;
    const code = getSystemErrorName(-EDQUOT);
    expect(code).toBe(process.platform === "linux" ? "Unknown system error -122" : code);
    const cause = Object.assign(new Error(`${code}: ${code}, write`), { errno: -EDQUOT, code });
    expect(systemCodeOf(cause)).toBe("EDQUOT");
    const fileSystem = new SimFileSystem({ random: seededRandom(1) });
    const disk = openDisk(fileSystem);
    await disk.publish(file, [bytes("before")]);
    const open = vi.spyOn(fileSystem, "open").mockRejectedValue(cause);
    await expect(disk.publish(file, [bytes("content")])).rejects.toMatchObject({ code: "storage_full", kind: "full" });
    open.mockRestore();
    expect(await disk.read(file, 0, 10)).toEqual(bytes("before"));
    const other = Object.assign(new Error("odd"), { errno: -4_094, code: "Unknown system error -4094" });
    expect(systemCodeOf(other)).toBe("Unknown system error -4094");
  });

  test("an error at any call is told, and what was settled before it stays", async () => {
    for (const code of ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE"]) {
      const kind = { EIO: "failed", EROFS: "read-only", EMFILE: "too-many-files" }[code] ?? "full";
      for (const persistent of [false, true]) {
        for (let at = 1; ; at++) {
          const fileSystem = new SimFileSystem({ random: seededRandom(at) });
          fileSystem.failAt(at, code, { persistent });
          const disk = openDisk(fileSystem);
          let settled = 0;
          let fault: unknown = null;
          try {
            await disk.allocate(file, 1024);
            settled = 1;
            await disk.writeDurable(file, 0, bytes("content"));
            settled = 2;
            await disk.rename(file, fileName("journal/2.wal"));
            settled = 3;
          } catch (cause) {
            fault = cause;
          }
          const whole = fileSystem.calls < at;
          if (fault !== null) expect(fault).toMatchObject({ kind });
          fileSystem.heal();
          fileSystem.crash(seededRandom(at), "lost");
          const after = openDisk(fileSystem);
          const names = await after.list("journal");
          if (settled === 3) expect(names).toEqual(["journal/2.wal"]);
          if (settled >= 1) expect(names.length).toBe(1);
          if (settled >= 2) expect(await after.read(names[0]!, 0, 7)).toEqual(bytes("content"));
          if (whole) break;
          // Only errors of close, and of removing what is no longer wanted, have nobody to be told to.
          if (fault === null) expect(settled).toBe(3);
        }
      }
    }
  });

  test("a failed sync drops what was not synced, so that trying again would only seem to work", async () => {
    const fileSystem = new SimFileSystem({ random: seededRandom(5) });
    const handle = await fileSystem.open("a", "create");
    await fileSystem.syncFolder("");
    await handle.write(new Uint8Array(512 * 20).fill(7), 0);
    fileSystem.failAt(fileSystem.calls + 1, "EIO", { persistent: false });
    await expect(handle.sync()).rejects.toMatchObject({ code: "EIO" });
    await handle.sync();
    fileSystem.crash(seededRandom(1), "lost");
    const left = fileSystem.files().get("a")!;
    expect(left.length === 512 * 20 && left.every((byte) => byte === 7)).toBe(false);
  });

  test("a name that no sync has followed is taken back, and given anew it is durable", async () => {
    // The folder's own name, the clean-up in it, and the file's name: whichever sync fails.
    for (let failing = 1; failing <= 6; failing++) {
      const fileSystem = new SimFileSystem({ random: seededRandom(5) });
      const disk = openDisk(fileSystem);
      const chunk = fileName("history/day/one");
      let syncs = 0;
      fileSystem.onCall = ({ name, number, path }) => {
        if (name !== "syncFolder" || path === quarantineFolder || ++syncs !== failing) return;
        fileSystem.failAt(number, "EIO", { persistent: false });
      };
      let failures = 0;
      while (failures < 3) {
        try {
          await disk.publish(chunk, [bytes("content")]);
          break;
        } catch {
          failures++;
          // The next process believes what it finds.
          expect(await openDisk(fileSystem).list("history/day")).toEqual([]);
        }
      }
      expect([failing, failures]).toEqual([failing, 1]);
      fileSystem.crash(seededRandom(1), "lost");
      expect([...fileSystem.files()]).toEqual([[chunk, bytes("content")]]);
    }
  });

  test("a file whose new name no sync has followed has its old name again, and given anew the name is durable", async () => {
    const fileSystem = new SimFileSystem({ random: seededRandom(5) });
    const disk = openDisk(fileSystem);
    const [from, to] = [fileName("journal/one"), fileName("journal/two")];
    await disk.publish(from, [bytes("content")]);
    let failing = true;
    fileSystem.onCall = ({ name, number }) => {
      if (name === "syncFolder" && failing) fileSystem.failAt(number, "ENOSPC", { persistent: false });
    };
    await expect(disk.rename(from, to)).rejects.toMatchObject({ kind: "full" });
    expect(await openDisk(fileSystem).list("journal")).toEqual([from]);
    failing = false;
    await disk.rename(from, to);
    fileSystem.crash(seededRandom(1), "lost");
    expect([...fileSystem.files()]).toEqual([[to, bytes("content")]]);
  });

  test("a file that somebody has seen in quarantine does not come back, though the process that moved it was killed", async () => {
    const [from, to] = [fileName("journal/one"), fileName("quarantine/journal-one")];
    let seen = 0;
    for (let call = 1; ; call++) {
      const fileSystem = new SimFileSystem({ random: seededRandom(5) });
      const disk = openDisk(fileSystem);
      await disk.publish(from, [bytes("content")]);
      fileSystem.crashAt(fileSystem.calls + call, "after");
      const moving = disk.rename(from, to).then(() => "moved");
      if ((await Promise.race([moving, fileSystem.whenStopped()])) === "moved") break;
      fileSystem.crash(seededRandom(call), "after");
      const next = openDisk(fileSystem);
      const isSeen = (await next.list("journal")).length === 0;
      // It writes where the file was.
      await next.publish(fileName("journal/two"), []);
      fileSystem.crash(seededRandom(call), "lost");
      const found = [...fileSystem.files().keys()].filter((file) => file === from || file === to);
      if (isSeen) expect([call, found]).toEqual([call, [to]]);
      else expect(found).toContain(from);
      if (isSeen) seen++;
    }
    expect(seen).toBeGreaterThan(1);
  });

  test("a file that was there before stays there, whatever fails while it is replaced", async () => {
    const fileSystem = new SimFileSystem({ random: seededRandom(5) });
    const disk = openDisk(fileSystem);
    await disk.publish(fileName("identity"), [bytes("first")]);
    fileSystem.onCall = ({ name, number }) => {
      if (name === "syncFolder") fileSystem.failAt(number, "EIO", { persistent: false });
    };
    await expect(disk.publish(fileName("identity"), [bytes("second")])).rejects.toMatchObject({ kind: "failed" });
    fileSystem.onCall = null;
    expect(await disk.list("")).toEqual(["identity"]);
    fileSystem.crash(seededRandom(1), "lost");
    expect(new TextDecoder().decode(fileSystem.files().get("identity"))).toMatch(/^(first|second)$/);
  });

  test("a full disk says full, keeps the rest, and takes writes again when there is space", async () => {
    const fileSystem = new SimFileSystem({ quotaBytes: 10_000 });
    const disk = openDisk(fileSystem);
    await disk.allocate(file, 8000);
    await expect(disk.allocate(fileName("journal/2.wal"), 8000)).rejects.toMatchObject({
      kind: "full",
      code: "storage_full",
    });
    expect(await disk.list("journal")).toEqual([file]);
    expect((await disk.space()).freeBytes).toBe(2000);
    await disk.writeDurable(file, 0, bytes("still writable"));
    fileSystem.quotaBytes = 20_000;
    await disk.allocate(fileName("journal/2.wal"), 8000);
    expect((await disk.list("journal")).length).toBe(2);
  });

  test("a disk that lies about syncs loses what it said was durable", async () => {
    const fileSystem = new SimFileSystem();
    fileSystem.lies = true;
    await openDisk(fileSystem).publish(file, [bytes("promised")]);
    fileSystem.crash(seededRandom(1), "lost");
    expect(await openDisk(fileSystem).sizeOf(file)).toBe(null);
  });
});
