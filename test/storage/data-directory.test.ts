import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ClusterId, Incarnation, NodeName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { timestamp } from "../../src/base/units.ts";
import { isLockFile, LockRefused, nodeDataLock } from "../../src/platform/node/data-lock.ts";
import { nodeFileSystem } from "../../src/platform/node/node-file-system.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import {
  beginNewLife,
  type DataDirectory,
  type DataDirectoryOptions,
  DirectoryRefused,
  encodeIdentity,
  identityFile,
  type Lock,
  openDataDirectory,
  readIdentity,
} from "../../src/storage/data-directory.ts";
import { fileName, openDisk } from "../../src/storage/disk.ts";
import { quarantine } from "../../src/storage/quarantine.ts";
import { text, utf8 } from "./chunk-messages.ts";

const noLock: Lock = { acquire: () => Promise.resolve(), release: () => Promise.resolve() };

function open(fileSystem: SimFileSystem, change: Partial<DataDirectoryOptions> = {}): Promise<DataDirectory> {
  return openDataDirectory({
    disk: openDisk(fileSystem),
    lock: noLock,
    random: seededRandom(1),
    node: "n1" as NodeName,
    groups: 1,
    found: true,
    now: timestamp(1_790_000_000_000),
    ...change,
  });
}

async function refusal(opening: Promise<unknown>): Promise<DirectoryRefused | LockRefused> {
  const fault: unknown = await opening.then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(fault instanceof DirectoryRefused || fault instanceof LockRefused))
    expect.fail(`not refused: ${String(fault)}`);
  expect(fault.message).not.toContain("\n");
  return fault;
}

async function founded(): Promise<SimFileSystem> {
  const fileSystem = new SimFileSystem();
  await open(fileSystem);
  return fileSystem;
}

describe("the identity of a data directory", () => {
  test("an empty directory becomes this server's, and stays so", async () => {
    const fileSystem = new SimFileSystem();
    const first = await open(fileSystem);
    expect(first).toMatchObject({ founded: true, damage: [], unknown: [] });
    expect(first.identity.cluster).toMatch(/^[0-9a-f]{32}$/);
    expect(first.identity.incarnation).not.toBe(first.identity.cluster);
    const second = await open(fileSystem, { random: seededRandom(2), found: false });
    expect(second.founded).toBe(false);
    expect(second.identity).toEqual(first.identity);
  });

  test("two directories founded apart have different clusters and incarnations", async () => {
    const one = await open(new SimFileSystem(), { random: seededRandom(1) });
    const two = await open(new SimFileSystem(), { random: seededRandom(2) });
    expect(one.identity.cluster).not.toBe(two.identity.cluster);
    expect(one.identity.incarnation).not.toBe(two.identity.incarnation);
    // A joiner takes the cluster's id and an incarnation of its own.
    const joiner = await open(new SimFileSystem(), { random: seededRandom(3), cluster: one.identity.cluster });
    expect(joiner.identity.cluster).toBe(one.identity.cluster);
    expect(joiner.identity.incarnation).not.toBe(one.identity.incarnation);
  });

  test("a directory knows for ever whether it was made to join others", async () => {
    const alone = new SimFileSystem();
    const { identity } = await open(alone);
    const joiner = new SimFileSystem();
    await open(joiner, { random: seededRandom(3), cluster: identity.cluster });
    for (let start = 0; start < 2; start++) {
      expect((await open(alone, { cluster: identity.cluster })).identity.joined).toBe(false);
      expect((await open(joiner)).identity.joined).toBe(true);
    }
  });

  test("an empty directory is not founded unless the caller says so", async () => {
    const fileSystem = new SimFileSystem();
    expect((await refusal(open(fileSystem, { found: false }))).reason).toBe("empty");
    expect([...fileSystem.files()]).toEqual([]);
  });

  test.each<[string, Partial<DataDirectoryOptions>, string]>([
    ["another node name", { node: "n2" as NodeName }, "other-node"],
    ["another count of groups", { groups: 16 }, "other-groups"],
    ["another cluster", { cluster: "ab".repeat(16) as ClusterId }, "other-cluster"],
  ])("%s: refused, and the disk is as it was", async (_, change, reason) => {
    const fileSystem = await founded();
    const before = fileSystem.files();
    expect((await refusal(open(fileSystem, change))).reason).toBe(reason);
    expect(fileSystem.files()).toEqual(before);
  });

  test("a newer format: refused, and the disk is as it was", async () => {
    const fileSystem = await founded();
    const pages = encodeIdentity((await open(fileSystem)).identity);
    const whole = new Uint8Array(8192);
    for (const [i, page] of pages.entries()) whole.set(page, i * 4096);
    whole[8] = 2;
    // A newer version writes its own checksum.

    new DataView(whole.buffer).setUint32(60, crc32(whole.subarray(0, 60)), true);
    fileSystem.plant(identityFile, whole);
    const before = fileSystem.files();
    const fault = await refusal(open(fileSystem));
    expect(fault.reason).toBe("newer-format");
    expect(fault.message).toContain("format 2");
    expect(fileSystem.files()).toEqual(before);
  });

  test.each(["journal/0000000001.wal", "history/2026-11-23/g00-c000001-r0.chunk", "snapshot/x"])(
    "files but no identity (%s): refused, and the disk is as it was",
    async (file) => {
      const fileSystem = new SimFileSystem();
      fileSystem.plant(file, utf8("data"));
      const fault = await refusal(open(fileSystem));
      expect(fault.reason).toBe("half-made");
      expect(fault.message).toContain(file.split("/")[0]!);
      expect([...fileSystem.files().keys()]).toEqual([file]);
    },
  );

  test("what is not Synod's is left alone and listed", async () => {
    const fileSystem = await founded();
    fileSystem.plant("readme.txt", utf8("mine"));
    fileSystem.plant("lost-and-found/thing", utf8("mine too"));
    fileSystem.plant("lock.1", utf8("held"));
    const directory = await open(fileSystem, { lockFiles: (file) => file.startsWith("lock.") });
    expect(directory.unknown).toEqual(["readme.txt", "lost-and-found/"]);
    expect(text(fileSystem.files().get("readme.txt")!)).toBe("mine");
  });

  test("one damaged copy: read from the other, said, and written again", async () => {
    const fileSystem = await founded();
    const before = fileSystem.files();
    for (const offset of [5, 4096 + 70]) {
      fileSystem.flip(identityFile, offset, 2);
      const directory = await open(fileSystem, { found: false });
      expect(directory.damage).toMatchObject([{ file: "identity", offset: offset < 4096 ? 0 : 4096, length: 4096 }]);
      expect(fileSystem.files()).toEqual(before);
      expect((await open(fileSystem)).damage).toEqual([]);
    }
  });

  test("both copies damaged, or different: refused, and the disk is as it was", async () => {
    const fileSystem = await founded();
    fileSystem.flip(identityFile, 5, 2);
    fileSystem.flip(identityFile, 5000, 2);
    expect((await refusal(open(fileSystem))).reason).toBe("damaged");
    const { identity } = await open(await founded());
    const [first] = encodeIdentity(identity);
    const [, second] = encodeIdentity({ ...identity, incarnation: "cd".repeat(16) as Incarnation });
    const mixed = new Uint8Array(8192);
    mixed.set(first!);
    mixed.set(second!, 4096);
    fileSystem.plant(identityFile, mixed);
    expect((await refusal(open(fileSystem))).reason).toBe("damaged");
    expect(fileSystem.files().get("identity")).toEqual(mixed);
  });

  test("every bit of the identity: the true one is read and the damage is said", async () => {
    const fileSystem = await founded();
    const { identity } = await open(fileSystem);
    const whole = fileSystem.files().get("identity")!;
    for (let offset = 0; offset < whole.length; offset++) {
      const bits = offset % 4096 < 128 || offset % 4096 >= 4092 ? [0, 1, 2, 3, 4, 5, 6, 7] : [offset % 8];
      for (const bit of bits) {
        fileSystem.flip(identityFile, offset, bit);
        const directory = await open(fileSystem);
        if (directory.damage.length !== 1) expect.fail(`bit ${bit} of byte ${offset} was not detected`);
        expect(directory.identity).toEqual(identity);
      }
    }
  });

  test("every length of the identity: the true one is read, or the directory is refused", async () => {
    const fileSystem = await founded();
    const { identity } = await open(fileSystem);
    const whole = fileSystem.files().get("identity")!;
    for (let length = 0; length < whole.length; length++) {
      fileSystem.plant(identityFile, whole.slice(0, length));
      if (length < 4096) {
        expect((await refusal(open(fileSystem))).reason).toBe("damaged");
      } else {
        const directory = await open(fileSystem);
        expect(directory.identity).toEqual(identity);
        expect(directory.damage.length).toBe(1);
      }
    }
  });

  test("founding crashed at any call: the next start finds nothing and founds, or finds all of it", async () => {
    for (let at = 1; ; at++) {
      let whole = false;
      for (const [seed, mode] of crashModes.entries()) {
        const fileSystem = new SimFileSystem({ random: seededRandom(seed) });
        fileSystem.crashAt(at, mode);
        whole = await Promise.race([open(fileSystem).then(() => true), fileSystem.whenStopped().then(() => false)]);
        if (whole) break;
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), mode);
        const next = await open(fileSystem, { random: seededRandom(9) });
        expect(next.damage).toEqual([]);
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), "after");
        expect((await open(fileSystem, { found: false })).identity).toEqual(next.identity);
      }
      if (whole) break;
    }
  });

  test("what the lock refuses is never read, and the lock is given back after every refusal", async () => {
    const calls: string[] = [];
    const lock: Lock = {
      acquire: () => Promise.resolve(void calls.push("acquire")),
      release: () => Promise.resolve(void calls.push("release")),
    };
    await refusal(open(new SimFileSystem(), { lock, found: false }));
    expect(calls).toEqual(["acquire", "release"]);
    const fileSystem = new SimFileSystem();
    const held: Lock = { ...noLock, acquire: () => Promise.reject(new LockRefused("locked", "in use")) };
    const fault = await refusal(open(fileSystem, { lock: held }));
    expect(fault).toBeInstanceOf(DirectoryRefused);
    expect(fault.reason).toBe("locked");
    // Anything else that goes wrong with the lock is passed on as it is.
    const broken: Lock = { ...noLock, acquire: () => Promise.reject(new Error("EIO")) };
    await expect(open(fileSystem, { lock: broken })).rejects.toThrow("EIO");
    expect(fileSystem.calls).toBe(0);
  });
});

describe("another life", () => {
  /** A member's directory: some files of each kind. */
  async function member(random = seededRandom(1)): Promise<SimFileSystem> {
    const fileSystem = new SimFileSystem({ random });
    await open(fileSystem);
    for (const file of [
      "journal/0000000001.wal",
      "journal/0000000002.wal",
      "snapshot/g00-000000000007.state",
      "started",
    ]) {
      fileSystem.plant(file, utf8(file));
    }
    fileSystem.plant("history/2026-11-23/g00-c000001-r0.chunk", utf8("chunk"));
    return fileSystem;
  }

  const begin = async (fileSystem: SimFileSystem): Promise<DataDirectory["identity"]> => {
    const disk = openDisk(fileSystem);
    const { identity } = (await readIdentity(disk))!;
    return (await beginNewLife(identity, { disk, random: seededRandom(7), now: timestamp(1_790_000_000_001) }))
      .identity;
  };

  function expectNewLife(fileSystem: SimFileSystem, before: string, now: DataDirectory["identity"]): void {
    expect(now.incarnation).not.toBe(before);
    expect(now.joined).toBe(true);
    const names = [...fileSystem.files().keys()];
    expect(names.filter((name) => /^(journal|snapshot)\/|^started$|^new-life$/.test(name))).toEqual([]);
    expect(names).toContain("history/2026-11-23/g00-c000001-r0.chunk");
    // Whatever was moved is there, whole.
    const kept = [...fileSystem.files().values()].map(text);
    for (const file of ["journal/0000000001.wal", "journal/0000000002.wal", "snapshot/g00-000000000007.state"]) {
      expect(kept).toContain(file);
    }
  }

  test("it has another incarnation, has joined, and nothing of what was promised is left but in quarantine", async () => {
    const fileSystem = await member();
    const before = (await open(fileSystem)).identity;
    const begun = await begin(fileSystem);
    expectNewLife(fileSystem, before.incarnation, begun);
    const opened = await open(fileSystem, { cluster: before.cluster });
    expect(opened.identity).toEqual(begun);
    expect(opened.unknown).toEqual([]);
    expect(begun.cluster).toBe(before.cluster);
  });

  test("after a crash at any call the next start ends it, or nothing has begun", async () => {
    for (let at = 1; ; at++) {
      let whole = false;
      for (const [seed, mode] of crashModes.entries()) {
        const fileSystem = await member(seededRandom(seed));
        const before = (await open(fileSystem)).identity.incarnation;
        fileSystem.crashAt(fileSystem.calls + at, mode);
        whole = await Promise.race([begin(fileSystem).then(() => true), fileSystem.whenStopped().then(() => false)]);
        if (!whole) fileSystem.crash(seededRandom(at), mode);
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), "lost");
        const { identity } = await open(fileSystem, { random: seededRandom(at) });
        if (identity.incarnation === before)
          expect(fileSystem.files().has(fileName("journal/0000000002.wal"))).toBe(true);
        else expectNewLife(fileSystem, before, identity);
        if (whole) break;
      }
      if (whole) break;
    }
  });
});

describe("quarantine", () => {
  test("moves a file out of the way, and never over another", async () => {
    const fileSystem = new SimFileSystem();
    const disk = openDisk(fileSystem);
    const file = fileName("history/2026-11-23/g00-c000001-r0.chunk");
    const names: string[] = [];
    for (const content of ["one", "two", "three"]) {
      fileSystem.plant(file, utf8(content));
      names.push(await quarantine(disk, file));
    }
    expect(names.map((name) => text(fileSystem.files().get(name)!))).toEqual(["one", "two", "three"]);
    expect(names[0]).toBe("quarantine/history.2026-11-23.g00-c000001-r0.chunk");
    expect(fileSystem.files().size).toBe(3);
  });

  test("a crash at any call leaves the file under its old name, its new one, or both, whole", async () => {
    const file = fileName("snapshot/g00-000000000007.state");
    for (let at = 1; ; at++) {
      let whole = false;
      for (const [seed, mode] of crashModes.entries()) {
        const fileSystem = new SimFileSystem({ random: seededRandom(seed) });
        fileSystem.plant(file, utf8("damaged, but all there is"));
        fileSystem.crashAt(at, mode);
        const moving = quarantine(openDisk(fileSystem), file);
        whole = await Promise.race([moving.then(() => true), fileSystem.whenStopped().then(() => false)]);
        if (!whole) fileSystem.crash(seededRandom(at), mode);
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), "lost");
        const left = [...fileSystem.files().values()].map(text);
        expect(left.length).toBeGreaterThan(0);
        for (const content of left) expect(content).toBe("damaged, but all there is");
        if (whole) break;
      }
      if (whole) break;
    }
  });
});

describe("the lock of a real directory", () => {
  async function folder(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), "synod-lock-"));
    onTestFinished(() => rm(made, { recursive: true }));
    return made;
  }

  /** A process that does nothing, so that it can be killed. */
  function sleeper(): { pid: number; kill: () => Promise<void> } {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    const ended = once(child, "exit");
    const kill = async (): Promise<void> => {
      child.kill("SIGKILL");
      await ended;
    };
    onTestFinished(kill);
    return { pid: child.pid!, kill };
  }

  test("folders on the way are made too; where none can be made it is refused", async () => {
    const parent = await folder();
    const lock = nodeDataLock(join(parent, "a", "b", "data"));
    await lock.acquire();
    for (const made of ["a", "a/b", "a/b/data"]) expect((await stat(join(parent, made))).mode & 0o777).toBe(0o700);
    await lock.release();
    await writeFile(join(parent, "file"), "");
    await expect(nodeDataLock(join(parent, "file")).acquire()).rejects.toThrow("EEXIST");
    await expect(nodeDataLock(join(parent, "file", "data")).acquire()).rejects.toThrow("ENOTDIR");
  });

  test.skipIf(process.platform !== "linux")(
    "a file system that takes no folders refuses, and does not spin",
    async () => {
      await expect(nodeDataLock("/proc/synod-data").acquire()).rejects.toThrow("ENOENT");
    },
  );

  test("the whole way on a real disk: founded with mode 0700, refused while open, opened again after closing", async () => {
    const directory = join(await folder(), "data");
    const openReal = (): Promise<DataDirectory> =>
      openDataDirectory({
        disk: openDisk(nodeFileSystem(directory)),
        lock: nodeDataLock(directory),
        random: seededRandom(1),
        node: "n1" as NodeName,
        groups: 1,
        found: true,
        now: timestamp(1),
        lockFiles: isLockFile,
      });
    const first = await openReal();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(join(directory, "identity"))).mode & 0o777).toBe(0o600);
    expect(first.unknown).toEqual([]);
    const fault = await refusal(openReal());
    expect(fault).toBeInstanceOf(DirectoryRefused);
    expect(fault.reason).toBe("locked");
    await first.close();
    const second = await openReal();
    expect(second.identity).toEqual(first.identity);
    await second.close();
    expect((await readdir(directory)).sort()).toEqual(["identity"]);
  });

  test("a second process is refused and told which has it; after kill -9 the directory is free", async () => {
    const directory = await folder();
    const other = sleeper();
    await nodeDataLock(directory, { pid: other.pid }).acquire();
    const [name] = await readdir(directory);
    const content = JSON.parse(await readFile(join(directory, name!), "utf8")) as Record<string, unknown>;
    expect(content).toMatchObject({ pid: other.pid });
    expect(Object.keys(content)).toEqual(["pid", "started", "boot", "namespace", "host"]);

    const mine = nodeDataLock(directory);
    const fault = await refusal(mine.acquire());
    expect(fault.message).toContain(`process ${other.pid}`);
    expect(await readdir(directory)).toEqual([name]);

    await other.kill();
    await mine.acquire();
    // What the dead one left is gone, and a third is refused because of us.
    expect(await readdir(directory)).not.toContain(name);
    const third = sleeper();
    expect((await refusal(nodeDataLock(directory, { pid: third.pid }).acquire())).message).toContain(
      `process ${process.pid}`,
    );
    await mine.release();
    expect(await readdir(directory)).toEqual([]);
  });

  test("where a full disk left no space for its content, the name of the lock tells who has it", async () => {
    const directory = await folder();
    const other = sleeper();
    const lock = nodeDataLock(directory, { pid: other.pid });
    await lock.acquire();
    const [name] = await readdir(directory);
    const content = JSON.parse(await readFile(join(directory, name!), "utf8")) as Record<string, string>;
    await lock.release();
    const short = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
    const left = async (namespace: string, host: string): Promise<string> => {
      const empty = `${name!}.${short(namespace)}.${short(host)}`;
      await writeFile(join(directory, empty), "");
      return empty;
    };
    const { namespace, host } = content;
    const mine = nodeDataLock(directory);
    const held = await left(namespace!, host!);
    expect((await refusal(mine.acquire())).message).toContain(`process ${other.pid} uses it`);
    await rm(join(directory, held));
    const strange = await left("pid:[1]", "another");
    expect((await refusal(mine.acquire())).message).toContain(strange);
    await rm(join(directory, strange));
    // The same container, started again, and a process that has ended.
    for (const end of [() => Promise.resolve("pid:[1]"), () => other.kill().then(() => namespace!)]) {
      await left(await end(), host!);
      await mine.acquire();
      expect(await readdir(directory)).toHaveLength(1);
      await mine.release();
    }
    await writeFile(join(directory, "lock.what"), "");
    expect((await refusal(mine.acquire())).message).toContain("no lock file");
  });

  test("a pid that is used again, another start of the machine, another start of the container: free", async () => {
    const directory = await folder();
    const mine = nodeDataLock(directory);
    await mine.acquire();
    const [name] = await readdir(directory);
    const me = JSON.parse(await readFile(join(directory, name!), "utf8")) as Record<string, unknown>;
    await mine.release();
    const left = async (change: Record<string, unknown>): Promise<void> => {
      await writeFile(join(directory, "lock.left"), JSON.stringify({ ...me, ...change }));
    };
    for (const change of [{ started: "1" }, { boot: "another" }, { namespace: "pid:[1]" }]) {
      await left(change);
      await mine.acquire();
      expect(await readdir(directory)).not.toContain("lock.left");
      await mine.release();
    }
    // Another container on this machine: its processes can't be seen from here, so it is asked about.
    await left({ namespace: "pid:[1]", host: "another" });
    expect((await refusal(mine.acquire())).message).toContain("lock.left");
    await writeFile(join(directory, "lock.left"), "what is this");
    expect((await refusal(mine.acquire())).message).toContain("no lock file");
  });

  test("of many that come at once at most one has it, and one that comes later gets it", async () => {
    const directory = await folder();
    const others = Array.from({ length: 6 }, sleeper);
    const locks = others.map((other) => nodeDataLock(directory, { pid: other.pid }));
    const taken = await Promise.allSettled(locks.map((lock) => lock.acquire()));
    expect(taken.filter((result) => result.status === "fulfilled").length).toBeLessThanOrEqual(1);
    for (const lock of locks) await lock.release();
    await locks[3]!.acquire();
  });

  test("a directory with data that other users may enter is refused; an empty one is closed to them", async () => {
    const directory = await folder();
    await chmod(directory, 0o755);
    const lock = nodeDataLock(directory);
    await lock.acquire();
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    await writeFile(join(directory, "identity"), "something");
    await lock.release();
    await chmod(directory, 0o750);
    const fault = await refusal(lock.acquire());
    expect(fault.reason).toBe("permissions");
    expect(fault.message).toContain("chmod 700");
    expect((await stat(directory)).mode & 0o777).toBe(0o750);
  });
});
