import { describe, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { groupId, type Incarnation, logIndex, term } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { DiskFault, type FileName, openDisk } from "../../src/storage/disk.ts";
import { encodeFileHeader } from "../../src/storage/file-header.ts";
import {
  buildSnapshot,
  type LatestSnapshot,
  latestSnapshot,
  parseSnapshotFileName,
  publishSnapshot,
  type Snapshot,
  snapshotFileName,
  snapshotFrom,
  snapshotHead,
  type SnapshotOwner,
} from "../../src/storage/snapshot-file.ts";
import { cluster, finished, otherCluster, utf8 } from "./chunk-messages.ts";

const group = groupId(0);
const owner: SnapshotOwner = { cluster, incarnation: "11".repeat(16) as Incarnation };

function snapshotAt(index: number, stateBytes = 300): Snapshot {
  const state = seededRandom(index).bytes(stateBytes);
  return {
    group,
    index: logIndex(index),
    term: term(3),
    chunk: index / 10,
    chain: seededRandom(index + 1).bytes(8),
    isTaken: false,
    state,
  };
}

const publish = (fileSystem: SimFileSystem, snapshot: Snapshot, by = owner): Promise<void> =>
  publishSnapshot(openDisk(fileSystem), finished(buildSnapshot(by, { ...snapshot, state: [snapshot.state] })));
const latest = (fileSystem: SimFileSystem): Promise<LatestSnapshot> =>
  latestSnapshot(openDisk(fileSystem), owner, group);

describe("snapshots", () => {
  test.each([0, 1, 65_535, 65_536, 65_537, 3_000_000])("a state of %i bytes comes back as it was", async (bytes) => {
    const fileSystem = new SimFileSystem();
    const snapshot = snapshotAt(120, bytes);
    await publish(fileSystem, snapshot);
    const found = await latest(fileSystem);
    expect(found.damage).toEqual([]);
    expect({ ...found.snapshot, state: null }).toEqual({ ...snapshot, state: null });
    expect(Buffer.compare(found.snapshot!.state, snapshot.state)).toBe(0);
  });

  test("one that another server sent is whole, is this server's own file, and says where it came from", async () => {
    const snapshot = snapshotAt(120, 100_000);
    const sent = Uint8Array.of(...snapshotHead(snapshot), ...snapshot.state);
    const received = snapshotFrom(group, sent)!;
    expect(received).toEqual({ ...snapshot, isTaken: true });
    const fileSystem = new SimFileSystem();
    await publish(fileSystem, received);
    expect((await latest(fileSystem)).snapshot).toEqual({ ...snapshot, isTaken: true });
    // The same place, made here: the file says that as well, in every piece.
    await publish(fileSystem, snapshot);
    expect((await latest(fileSystem)).snapshot).toEqual(snapshot);
    for (let length = 0; length < 27; length++) expect(snapshotFrom(group, sent.subarray(0, length))).toBeNull();
  });

  test("none at first; then the newest; and only the last two are kept, of each group", async () => {
    const fileSystem = new SimFileSystem();
    expect(await latest(fileSystem)).toEqual({ snapshot: null, damage: [] });
    await publish(fileSystem, { ...snapshotAt(5), group: groupId(1) });
    fileSystem.plant("snapshot/readme", utf8("mine"));
    for (const index of [10, 20, 100, 30_000]) {
      await publish(fileSystem, snapshotAt(index));
      expect((await latest(fileSystem)).snapshot?.index).toBe(index);
    }
    expect([...fileSystem.files().keys()]).toEqual([
      "snapshot/g00-000000000100.state",
      "snapshot/g00-000000030000.state",
      "snapshot/g01-000000000005.state",
      "snapshot/readme",
    ]);
  });

  test("a damaged newest one is said and left where it is; the one before it is used", async () => {
    const fileSystem = new SimFileSystem();
    await publish(fileSystem, snapshotAt(10));
    await publish(fileSystem, snapshotAt(20, 200_000));
    fileSystem.flip("snapshot/g00-000000000020.state", 100_000, 4);
    const damaged = fileSystem.files().get("snapshot/g00-000000000020.state");
    const found = await latest(fileSystem);
    expect(found.snapshot).toEqual(snapshotAt(10));
    expect(found.damage).toMatchObject([
      { file: "snapshot/g00-000000000020.state", what: "the checksum of a piece does not match" },
    ]);
    const { offset, length } = found.damage[0]!;
    expect(offset <= 100_000 && 100_000 < offset + length).toBe(true);
    expect(fileSystem.files().get("snapshot/g00-000000000020.state")).toEqual(damaged);
  });

  test("both damaged: none, both said, both kept", async () => {
    const fileSystem = new SimFileSystem();
    await publish(fileSystem, snapshotAt(10));
    await publish(fileSystem, snapshotAt(20));
    for (const index of ["10", "20"]) fileSystem.flip(`snapshot/g00-0000000000${index}.state`, 70, 0);
    const found = await latest(fileSystem);
    expect(found.snapshot).toBe(null);
    expect(found.damage.length).toBe(2);
    expect(fileSystem.files().size).toBe(2);
  });

  test.each<[string, Snapshot, SnapshotOwner]>([
    ["another cluster", snapshotAt(20), { ...owner, cluster: otherCluster }],
    ["another incarnation", snapshotAt(20), { ...owner, incarnation: "22".repeat(16) as Incarnation }],
    ["another index", snapshotAt(30), owner],
    ["another group", { ...snapshotAt(20), group: groupId(4) }, owner],
  ])("a snapshot of %s under this name is not used", async (_, snapshot, by) => {
    const fileSystem = new SimFileSystem();
    await publish(fileSystem, snapshotAt(10));
    const image = finished(buildSnapshot(by, { ...snapshot, state: [snapshot.state] }));
    fileSystem.plant("snapshot/g00-000000000020.state", Buffer.concat(image.parts));
    const found = await latest(fileSystem);
    expect(found.snapshot?.index).toBe(10);
    expect(found.damage[0]?.what).toMatch(/belongs to|it is number/);
  });

  test("one of a newer format stops the start and stays where it is", async () => {
    const fileSystem = new SimFileSystem();
    await publish(fileSystem, snapshotAt(10));
    const header = { magic: "SYNODSNP", format: 2, ...owner, group, number: 20, generation: 0 };
    fileSystem.plant("snapshot/g00-000000000020.state", encodeFileHeader(header));
    await expect(latest(fileSystem)).rejects.toThrow(Fault);
    await expect(latest(fileSystem)).rejects.toThrow("format 2");
    expect(fileSystem.files().has("snapshot/g00-000000000020.state")).toBe(true);
  });

  test("only the exact spelling names a snapshot", () => {
    expect(snapshotFileName(group, logIndex(7))).toBe("snapshot/g00-000000000007.state");
    for (const name of ["snapshot/g00-7.state", "snapshot/g0-000000000007.state", "snapshot/g00-0000000000007.state"]) {
      expect(parseSnapshotFileName(name as FileName)).toBe(null);
    }
    expect(parseSnapshotFileName("snapshot/g12345-123456789012345.state" as FileName)).toEqual({
      group: 12_345,
      index: 123_456_789_012_345,
    });
  });

  test("a crash at any call, in any mode: the newest settled one or a newer one is found, and nothing is damaged", async () => {
    const life = async (fileSystem: SimFileSystem, settled: (index: number) => void): Promise<void> => {
      for (const index of [10, 20, 30, 40]) {
        await publish(fileSystem, snapshotAt(index));
        settled(index);
      }
    };
    for (let at = 1; ; at++) {
      let whole = false;
      for (const [seed, mode] of crashModes.entries()) {
        const fileSystem = new SimFileSystem({ random: seededRandom(seed) });
        let last = 0;
        fileSystem.crashAt(at, mode);
        whole = await Promise.race([
          life(fileSystem, (index) => {
            last = index;
          }).then(() => true),
          fileSystem.whenStopped().then(() => false),
        ]);
        if (whole) break;
        fileSystem.heal();
        fileSystem.crash(seededRandom(at * 8 + seed), mode);
        const found = await latest(fileSystem);
        expect(found.damage).toEqual([]);
        expect(found.snapshot?.index ?? 0).toBeGreaterThanOrEqual(last);
        if (found.snapshot !== null) expect(found.snapshot).toEqual(snapshotAt(found.snapshot.index));
        // What a start has found survives the power loss that follows it.
        fileSystem.heal();
        fileSystem.crash(seededRandom(at), "lost");
        expect((await latest(fileSystem)).snapshot).toEqual(found.snapshot);
      }
      if (whole) break;
    }
  });

  test("an error at any call is told, and costs no snapshot that was there", async () => {
    for (const code of ["EIO", "ENOSPC", "EMFILE"]) {
      for (let at = 1; ; at++) {
        const fileSystem = new SimFileSystem();
        await publish(fileSystem, snapshotAt(10));
        await publish(fileSystem, snapshotAt(20));
        const before = fileSystem.calls;
        fileSystem.failAt(before + at, code, { persistent: at % 2 === 0 });
        const fault: unknown = await publish(fileSystem, snapshotAt(30)).catch((cause: unknown) => cause);
        const during: unknown = await latest(fileSystem).catch((cause: unknown) => cause);
        if (during instanceof Error) expect(during).toBeInstanceOf(DiskFault);
        const calls = fileSystem.calls - before;
        fileSystem.heal();
        if (fault !== undefined) expect(fault).toBeInstanceOf(DiskFault);
        const found = await latest(fileSystem);
        expect(found.damage).toEqual([]);
        expect([20, 30]).toContain(found.snapshot?.index);
        if (at > calls) break;
      }
    }
  });
});
