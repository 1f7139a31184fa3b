import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { ByteHash } from "../../src/rooms/byte-hash.ts";
import { NameTable, type Named } from "../../src/rooms/name-table.ts";
import { bytesOf, command, GroupLog, type Post } from "./group-log.ts";

describe("tables", () => {
  test("[ONCE4] a large window, filled many times over with keys of all lengths, against a plain list", () => {
    // Not a power of two, above the size the arrays begin with; its keys take many turns of their ring.
    const windowMax = 1_500;
    const log = new GroupLog({ idWindowEntries: windowMax }, 3);
    const rooms = Array.from({ length: 40 }, (_, i) => `room${"x".repeat(i * 2)}`);
    for (const room of rooms) log.do(command.join(room, "alice"));
    const random = seededRandom(7);
    const accepted: { key: string; seq: number; room: string }[] = [];
    const places = new Map<string, number>();
    const heads = new Map<string, number>();
    const wrong: string[] = [];
    for (let round = 0; round < 160; round++) {
      const posts: Post[] = [];
      for (let i = 0; i < 50; i++) {
        const old = random.whole(4) === 0 && accepted.length > 0;
        const back = Math.min(accepted.length, windowMax);
        const again = old ? accepted[accepted.length - 1 - random.whole(back)]! : null;
        const [room, from, cid] =
          again === null
            ? [rooms[random.whole(40)]!, `u${random.whole(30)}`, `${round}.${i}${"c".repeat(random.whole(50))}`]
            : (JSON.parse(again.key) as [string, string, string]);
        posts.push({ room, from, cid, body: "", checked: 1e9 });
      }
      log.batch(...posts);
      posts.forEach((post, i) => {
        const key = JSON.stringify([post.room, post.from, post.cid]);
        const outcome = log.heard.outcomes[i]!;
        const place = places.get(key);
        const isIn = place !== undefined && place >= accepted.length - windowMax;
        if (isIn) {
          if (outcome.code !== "repeat" || outcome.seq !== accepted[place]!.seq) wrong.push(key);
          return;
        }
        const seq = (heads.get(post.room) ?? 0) + 1;
        if (outcome.code !== "stored" || outcome.seq !== seq) wrong.push(key);
        heads.set(post.room, seq);
        places.set(key, accepted.length);
        accepted.push({ key, seq, room: post.room });
      });
      if (round === 100) log.restart(12);
    }
    expect(wrong).toEqual([]);
    expect(accepted.length).toBeGreaterThan(windowMax * 3);
    const floors = new Map<string, number>();
    for (const gone of accepted.slice(0, -windowMax)) floors.set(gone.room, gone.seq);
    expect(rooms.map((room) => log.state.room(room)!.floor)).toEqual(rooms.map((room) => floors.get(room) ?? 0));
  });

  test("[ONCE4] a small window whose keys go round their ring: every id in it is found after every message", () => {
    const log = new GroupLog({ idWindowEntries: 16 });
    log.do(command.join("ops", "alice"));
    const wrong: string[] = [];
    for (let n = 1; n <= 600; n++) {
      // Lengths that end the ring at every place: a key that stood half behind its end would be lost.
      const cidOf = (of: number): string => `${of}${"c".repeat(60 - (of % 59))}`;
      const from = "alice".repeat(8);
      log.post({ room: "ops", from, cid: cidOf(n), body: "", checked: 1e9 });
      for (let of = Math.max(1, n - 16); of <= n; of++) {
        const seq = log.state.seqInWindow(bytesOf("ops"), bytesOf(from), bytesOf(cidOf(of)));
        if (seq !== (of > n - 16 ? of : 0)) wrong.push(`${of} after ${n}: ${seq}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("[ORDER4] names come and go, and only those that are there are found", () => {
    const hash = new ByteHash(9);
    const table = new NameTable<Named>();
    const there = new Map<string, Named>();
    const random = seededRandom(11);
    const wrong: string[] = [];
    for (let i = 0; i < 20_000; i++) {
      // Few names, so that they collide and leave holes; the first byte beside the name must not matter.
      const name = `n${random.whole(300)}`;
      const bytes = bytesOf(`-${name}`);
      const found = table.find(bytes, 1, bytes.length - 1, hash.of(bytes, 1, bytes.length - 1));
      if (found !== there.get(name)) wrong.push(name);
      if (found !== undefined) {
        table.remove(found);
        there.delete(name);
      } else if (there.size < 200) {
        const nameBytes = bytesOf(name);
        const item = { name, nameBytes, nameHash: hash.of(nameBytes, 0, nameBytes.length) };
        table.add(item);
        there.set(name, item);
      }
    }
    expect(wrong).toEqual([]);
    expect(table.size).toBe(there.size);
    expect(table.sorted().map((item) => item.name)).toEqual([...there.keys()].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(table)).toEqual(new Set(there.values()));
  });

  test("[ORDER4] hundreds of rooms are found, each by its own name", () => {
    const log = new GroupLog();
    const names = Array.from({ length: 700 }, (_, i) => `room-${i}`);
    for (const name of names) log.do(command.join(name, "alice"));
    log.restart(5);
    for (const [i, name] of names.entries())
      for (let n = 0; n <= i % 3; n++) log.post({ room: name, from: "a", cid: `${n}` });
    expect(names.map((name) => log.state.room(name)!.head)).toEqual(names.map((_, i) => (i % 3) + 1));
    expect([...log.state.rooms()]).toHaveLength(700);
    for (const name of ["room-", "room-700", "room-1x", "oom-1"]) expect(log.state.room(name)).toBeUndefined();
  });
});
