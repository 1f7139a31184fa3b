import { expect, test } from "vitest";
import { DiskFault, fileName } from "../../src/storage/disk.ts";
import type { Disk } from "../../src/storage/disk.ts";

/** What every disk keeps, whatever is below it. `reopen` gives another disk on the same files, as a new process would. */
export function diskContract(make: () => Promise<{ disk: Disk; reopen: () => Disk; end: () => Promise<void> }>): void {
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const text = (from: Uint8Array): string => new TextDecoder().decode(from);
  const onDisk = (title: string, story: (disk: Disk, reopen: () => Disk) => Promise<void>): void => {
    test(title, async () => {
      const { disk, reopen, end } = await make();
      try {
        await story(disk, reopen);
      } finally {
        await disk.close();
        await end();
      }
    });
  };

  onDisk("a missing folder lists as empty, a missing file has no size", async (disk) => {
    expect(await disk.list("journal")).toEqual([]);
    expect(await disk.folders("history")).toEqual([]);
    expect(await disk.sizeOf(fileName("journal/1.wal"))).toBe(null);
  });

  onDisk("reading a missing file is a fault that names the call and the file", async (disk) => {
    const fault = await disk.read(fileName("journal/1.wal"), 0, 10).catch((cause: unknown) => cause);
    expect(fault).toBeInstanceOf(DiskFault);
    expect(fault).toMatchObject({ kind: "missing", code: "unavailable", file: "journal/1.wal" });
    expect(String(fault)).toContain("read journal/1.wal");
  });

  onDisk("a folder is removed once nothing lies in it, and made again by who writes there", async (disk, reopen) => {
    const [one, two] = [fileName("history/2026-11-23/one"), fileName("history/2026-11-23/two")];
    for (const file of [one, two]) await disk.publish(file, [bytes("x")]);
    await disk.remove(one);
    await disk.removeEmptyFolder("history/2026-11-23");
    expect(await disk.sizeOf(two)).toBe(1);
    await disk.remove(two);
    await disk.removeEmptyFolder("history/2026-11-23");
    await disk.removeEmptyFolder("history/2026-11-23");
    expect(await disk.folders("history")).toEqual([]);
    await disk.publish(one, [bytes("again")]);
    expect(text(await disk.read(one, 0, 5))).toBe("again");
    const other = reopen();
    expect(await other.list("history/2026-11-23")).toEqual([one]);
    await other.close();
  });

  onDisk("allocate gives a file of zeros", async (disk) => {
    await disk.allocate(fileName("journal/1.wal"), 3_000_000);
    expect(await disk.sizeOf(fileName("journal/1.wal"))).toBe(3_000_000);
    const tail = await disk.read(fileName("journal/1.wal"), 2_999_000, 5000);
    expect(tail.length).toBe(1000);
    expect(tail.every((byte) => byte === 0)).toBe(true);
  });

  onDisk("allocate replaces what was there", async (disk) => {
    const file = fileName("journal/1.wal");
    await disk.publish(file, [bytes("old and longer")]);
    expect(text(await disk.read(file, 0, 3))).toBe("old");
    await disk.allocate(file, 4);
    expect(await disk.read(file, 0, 100)).toEqual(new Uint8Array(4));
  });

  onDisk("a durable write is seen by every read after it, also by another process", async (disk, reopen) => {
    const file = fileName("journal/1.wal");
    await disk.allocate(file, 4096);
    await disk.writeDurable(file, 0, bytes("header"));
    await disk.writeDurable(file, 4090, bytes("finish"));
    expect(text(await disk.read(file, 0, 6))).toBe("header");
    const other = reopen();
    expect(text(await other.read(file, 4090, 6))).toBe("finish");
    expect(await other.sizeOf(file)).toBe(4096);
    await other.close();
  });

  onDisk("a durable write does not keep the bytes it was given", async (disk) => {
    const file = fileName("journal/1.wal");
    await disk.allocate(file, 16);
    const reused = bytes("first");
    await disk.writeDurable(file, 0, reused);
    reused.fill(0);
    expect(text(await disk.read(file, 0, 5))).toBe("first");
  });

  onDisk("a durable write into a missing file is a fault", async (disk) => {
    await expect(disk.writeDurable(fileName("journal/1.wal"), 0, bytes("x"))).rejects.toMatchObject({
      kind: "missing",
    });
  });

  onDisk("read gives fresh bytes, short only at the end", async (disk) => {
    const file = fileName("a.bin");
    await disk.publish(file, [bytes("hello "), bytes("world")]);
    const first = await disk.read(file, 6, 100);
    expect(text(first)).toBe("world");
    first.fill(0);
    expect(text(await disk.read(file, 6, 5))).toBe("world");
    expect((await disk.read(file, 11, 5)).length).toBe(0);
    expect((await disk.read(file, 0, 0)).length).toBe(0);
  });

  onDisk("publish replaces whole, and an open reader is not mixed up", async (disk) => {
    const file = fileName("history/2026-11-23/000001.chunk");
    await disk.publish(file, [bytes("first")]);
    expect(text(await disk.read(file, 0, 10))).toBe("first");
    await disk.publish(file, [bytes("second")]);
    expect(text(await disk.read(file, 0, 10))).toBe("second");
    expect(await disk.sizeOf(file)).toBe(6);
    await disk.publish(file, []);
    expect(await disk.sizeOf(file)).toBe(0);
  });

  onDisk("files and folders are listed apart and sorted", async (disk) => {
    for (const day of ["2026-11-23", "2026-11-21"]) {
      for (const chunk of ["000010", "000002"]) {
        await disk.publish(fileName(`history/${day}/${chunk}.chunk`), [bytes(chunk)]);
      }
    }
    await disk.publish(fileName("history/note"), []);
    expect(await disk.folders("history")).toEqual(["2026-11-21", "2026-11-23"]);
    expect(await disk.list("history")).toEqual(["history/note"]);
    expect(await disk.list("history/2026-11-23")).toEqual([
      "history/2026-11-23/000002.chunk",
      "history/2026-11-23/000010.chunk",
    ]);
    expect(await disk.folders("")).toEqual(["history"]);
  });

  onDisk("rename moves, into another folder too, and replaces", async (disk) => {
    const from = fileName("journal/1.wal");
    const to = fileName("quarantine/journal-1.wal");
    await disk.allocate(from, 10);
    await disk.writeDurable(from, 0, bytes("moved"));
    await disk.rename(from, to);
    expect(await disk.sizeOf(from)).toBe(null);
    expect(text(await disk.read(to, 0, 5))).toBe("moved");
    // The handle that wrote the old name must not write the new file.
    await disk.allocate(from, 10);
    await disk.writeDurable(from, 0, bytes("fresh"));
    expect(text(await disk.read(to, 0, 5))).toBe("moved");
    await disk.rename(from, to);
    expect(text(await disk.read(to, 0, 5))).toBe("fresh");
    await expect(disk.rename(from, to)).rejects.toMatchObject({ kind: "missing" });
  });

  onDisk("remove is durable, and no error when there is nothing", async (disk) => {
    const file = fileName("journal/1.wal");
    await disk.remove(file);
    await disk.publish(file, [bytes("x")]);
    await disk.remove(file);
    expect(await disk.sizeOf(file)).toBe(null);
    await disk.remove(file);
    expect(await disk.list("journal")).toEqual([]);
  });

  onDisk("space is known", async (disk) => {
    const { freeBytes, totalBytes } = await disk.space();
    expect(freeBytes).toBeGreaterThan(0);
    expect(totalBytes).toBeGreaterThanOrEqual(freeBytes);
  });

  onDisk("many files at once are served with few handles", async (disk) => {
    const files = Array.from({ length: 150 }, (_, n) => fileName(`many/${n}`));
    await Promise.all(files.map((file, n) => disk.publish(file, [bytes(`file ${n}`)])));
    const read = await Promise.all(files.map((file) => disk.read(file, 0, 20)));
    expect(read.map(text)).toEqual(files.map((_, n) => `file ${n}`));
  });
}

test("a file name has no way out of the data directory", () => {
  for (const name of ["", "../x", "a/../b", "/a", "a/", "A", "a//b", "a b", ".hidden", "a/.b", "a.tmp", "a\0"]) {
    expect(() => fileName(name)).toThrow();
  }
});
