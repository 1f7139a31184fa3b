import { afterEach, expect, test, vi } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { History } from "../../src/server/history.ts";
import { SimFileSystem } from "../../src/sim/sim-file-system.ts";
import { ServerLife } from "../damage/server-life.ts";
import { lateEvening } from "../damage/server-story.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

/** A little less than a day: a clock that leaps by more while the server is off is not believed at once. */
const dayMs = 86_400_000 - 60_000;
const rooms = ["lobby", "ops", "tea"];

/** A disk that counts what is opened and read, by folder. */
class CountedDisk {
  counts = new Map<string, { opened: number; read: number }>();
  #folder = "";
  readonly fileSystem = new SimFileSystem({
    random: seededRandom(3),
    latency: (call, bytes) => {
      const count = this.of(this.#folder);
      if (call === "open") count.opened++;
      if (call === "read") count.read += bytes;
      return millis(0);
    },
  });

  constructor() {
    this.fileSystem.onCall = ({ path }) => {
      this.#folder = path.split("/")[0]!;
    };
  }

  of(folder: string): { opened: number; read: number } {
    let count = this.counts.get(folder);
    if (count === undefined) this.counts.set(folder, (count = { opened: 0, read: 0 }));
    return count;
  }
}

/** Days on each of which something is said in every room; the server is off at night. */
async function live(life: ServerLife, days: number): Promise<void> {
  for (let day = 1; day <= days; day++) {
    life.pass(dayMs);
    await life.start();
    for (const room of rooms) {
      for (let n = 1; n <= 3; n++) {
        await life.send(`u${day}`, { room, cid: `${life.wall}-${n}`, body: `${room} on day ${day}` });
      }
    }
    await life.sealed();
    await life.stop();
  }
}

/** What one start reads, until the recent rings are full: the newest page of each room, and what it needs to begin. */
async function costOfStart(life: ServerLife, disk: CountedDisk) {
  disk.counts = new Map();
  await life.start();
  await life.advance(100);
  return { history: { ...disk.of("history") }, snapshot: { ...disk.of("snapshot") }, journal: disk.of("journal").read };
}

test("a start reads no more after a hundred days than after thirty: what it opens does not grow, and history stays closed", async () => {
  const disk = new CountedDisk();
  const limits = { chunkBytes: 64 * 1024, unsealedBytesMax: 128 * 1024, ringSlots: 64, ringBytesMax: 1 << 20 };
  const life = new ServerLife({ seed: 4, wall: lateEvening, fileSystem: disk.fileSystem, limits });
  await life.start();
  for (const room of rooms) await life.join("u1", room);
  await life.stop();
  await live(life, 30);
  const month = await costOfStart(life, disk);
  await life.stop();
  await live(life, 70);
  const chunks = [...disk.fileSystem.files().keys()].filter((file) => file.startsWith("history/"));
  expect(chunks.length).toBeGreaterThan(90);
  const season = await costOfStart(life, disk);

  expect(season.history.opened).toBe(month.history.opened);
  expect(season.history.read).toBeLessThan(1.1 * month.history.read);
  expect(season.snapshot.opened).toBe(month.snapshot.opened);
  for (const { journal } of [month, season]) expect(journal).toBeLessThan(8 * life.limits.segmentBytes);
  // The state names each sealed file, and where in it each room lies: a line of an index, not what was said.
  expect((season.snapshot.read - month.snapshot.read) / 70).toBeLessThan(400);
  await life.check();
  await life.stop();
});

test("at a start the rings are filled newest first: the room that was talked in last, and of each room the newest messages", async () => {
  const life = new ServerLife({ seed: 6, wall: lateEvening, limits: { ringSlots: 64, ringBytesMax: 1 << 20 } });
  await life.start();
  for (const room of rooms) await life.join("alice", room);
  const order = ["ops", "lobby", "tea", "ops", "lobby"];
  for (const [turn, room] of order.entries()) {
    for (let n = 1; n <= 30; n++) await life.send("alice", { room, cid: `c${turn}-${n}`, body: "x".repeat(200) });
    await life.advance(1_000);
  }
  await life.stop();
  // All of it is sealed when midnight has passed, so that nothing is in memory after the next start.
  life.pass(dayMs);
  await life.start();
  await life.advance(5_000);
  await life.sealed();
  await life.stop();

  const page = vi.spyOn(History.prototype, "page");
  const server = await life.start();
  await life.advance(100);
  const asked = page.mock.calls.map(([room, wanted]) => ({ room: room.name, ...wanted }));
  expect(asked.map(({ room }) => room)).toEqual(["lobby", "ops", "tea"]);
  for (const { room, to, direction } of asked) {
    expect([to, direction]).toEqual([server.state.room(room)!.head, "down"]);
    const live = server.memory.known(server.state.room(room)!)!;
    expect(live.ring.kept).toBeGreaterThan(0);
    expect(live.find(live.ring.savePoint, { bytes: new Uint8Array(0), offset: 0 })).toBe(true);
  }
  await life.stop();
});
