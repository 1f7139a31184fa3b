import { describe, expect, test } from "vitest";
import { day, timestamp } from "../../src/base/units.ts";
import { encodeCommand } from "../../src/rooms/commands.ts";
import { normalisedLength } from "../../src/rooms/message-record.ts";
import { firstKept, keptFromDay } from "../../src/rooms/retention.ts";
import { decodeRewrite, decodeSeal, encodeSeal, sealReasons } from "../../src/rooms/seal.ts";
import { command, day1, day2, GroupLog, type Post, record } from "./group-log.ts";

const bytesIn = (post: Post): number => normalisedLength(record(post), 0);
const message = (room: string, cid: string, body = "hello"): Post => ({ room, from: "alice", cid, body });
const runsOf = (log: GroupLog, room: string): number[][] => {
  const { runs } = log.state.room(room)!;
  return Array.from({ length: runs.length }, (_, i) => [runs.chunk(i), runs.firstSeq(i), runs.lastSeq(i)]);
};

/** lobby and ops, with one message each. */
function town(): GroupLog {
  const log = new GroupLog();
  log.set({ kind: "founding" });
  log.do(command.join("ops", "alice"));
  log.post(message("lobby", "1"));
  log.post(message("ops", "1"));
  return log;
}

describe("seals", () => {
  test("[SEAL1] a seal gives every room with messages since the last one a run", () => {
    const log = town();
    log.ts = timestamp(4_000);
    log.post({ ...message("lobby", "2", "a longer body"), prev: "1" });
    const bytes = [
      bytesIn(message("lobby", "1")),
      bytesIn(message("lobby", "2", "a longer body")),
      bytesIn(message("ops", "1")),
    ];
    expect(log.state.openChunk).toEqual({ from: 0, day: day1, messages: 3, bytes: bytes[0]! + bytes[1]! + bytes[2]! });
    log.seal();
    expect(log.events("sealed")).toMatchObject([
      { sealed: { chunk: 1, from: 0, to: 5, day: day1, reason: sealReasons.full, messages: 3, sealedAt: 4_000 } },
    ]);
    expect(runsOf(log, "lobby")).toEqual([[1, 1, 2]]);
    expect(runsOf(log, "ops")).toEqual([[1, 1, 1]]);
    const { runs } = log.state.room("lobby")!;
    // `prev` spoke of one attempt: it is not in the chunk, and not counted.
    expect([runs.bytes(0), runs.lastTs(0)]).toEqual([bytes[0]! + bytes[1]!, 4_000]);
    expect(log.state.openChunk).toEqual({ from: 5, day: day1, messages: 0, bytes: 0 });

    log.post(message("lobby", "3"));
    log.seal();
    expect(runsOf(log, "lobby")).toEqual([
      [1, 1, 2],
      [2, 3, 3],
    ]);
    expect(runsOf(log, "ops")).toEqual([[1, 1, 1]]);
    expect([1, 2, 3, 4].map((seq) => log.state.room("lobby")!.runs.chunkOf(seq))).toEqual([1, 1, 2, 0]);
    expect(log.state.chunk(1)).toMatchObject({ rooms: 2, generation: 0 });
    expect(log.state.chunk(2)).toMatchObject({ rooms: 1 });
  });

  test("[SEAL2] an entry of a later day seals what is open, with the day its entries carry", () => {
    const log = town();
    log.day = day2;
    log.ts = timestamp(9_000);
    log.post(message("lobby", "2"));
    // Entry 4 was the last of the first day; the message of entry 5 is in the next chunk.
    expect(log.events("sealed")).toMatchObject([
      { sealed: { chunk: 1, from: 0, to: 4, day: 20250308, reason: sealReasons.day, messages: 2 } },
    ]);
    expect(log.heard.heard[0]).toContain('type="sealed"');
    expect(runsOf(log, "lobby")).toEqual([[1, 1, 1]]);
    expect(log.state.openChunk).toMatchObject({ from: 4, day: day2, messages: 1 });
    log.seal();
    expect(log.state.chunk(2)).toMatchObject({ day: 20250309 });
  });

  test("[SEAL2] a seal proposed at midnight, when nobody talks, leads to the same chunks", () => {
    const quiet = town();
    const proposed = town();
    for (const log of [quiet, proposed]) log.day = day2;
    proposed.seal({ reason: sealReasons.day });
    quiet.append(0, new Uint8Array(0));
    for (const log of [quiet, proposed]) log.post(message("lobby", "2"));
    expect(proposed.state.hash()).toBe(quiet.state.hash());
    expect(proposed.state.lastChunk).toBe(1);
  });

  test("[SEAL2] the day never goes back, and nothing is sealed twice for it", () => {
    const log = town();
    log.day = day2;
    log.post(message("lobby", "2"));
    log.day = day1;
    log.post(message("lobby", "3"));
    expect(log.events("sealed")).toEqual([]);
    log.day = day2;
    log.post(message("lobby", "4"));
    expect(log.events("sealed")).toEqual([]);
    expect(log.state.openChunk).toMatchObject({ day: day2, messages: 3 });
  });

  test("[SEAL2] a day without messages makes no chunk", () => {
    const log = new GroupLog();
    log.set({ kind: "founding" });
    log.day = day2;
    log.do(command.join("ops", "alice"));
    expect(log.heard.events.filter((event) => event.type === "sealed")).toEqual([]);
    expect(log.state.lastChunk).toBe(0);
  });

  test("[SEAL3] a seal that names another chunk or another range changes nothing", () => {
    const log = town();
    for (const wrong of [{ chunk: 2 }, { chunk: 0 }, { from: 1 }, { to: 3 }]) {
      const before = log.state.openChunk;
      log.seal(wrong);
      expect(log.heard.events).toEqual([]);
      expect(log.state.openChunk).toEqual(before);
    }
    // 0 stands for the entry before the seal.
    log.seal({ to: 0 });
    expect(log.state.lastChunk).toBe(1);
    // The same seal once more, from a former leader.
    log.post(message("lobby", "2"));
    log.seal({ chunk: 1, from: 0 });
    expect(log.heard.events).toEqual([]);
  });

  test("[SEAL4] runs below first go, and a chunk that no room needs is said to be empty", () => {
    const log = town();
    log.seal();
    log.post(message("lobby", "2"));
    log.seal();
    log.do(command.trim("lobby", 2));
    expect(runsOf(log, "lobby")).toEqual([[2, 2, 2]]);
    expect(log.events("chunkEmpty")).toEqual([]);
    expect(log.state.chunk(1)).toMatchObject({ rooms: 1 });
    log.do(command.deleteRoom("ops", "alice"));
    expect(log.events("chunkEmpty")).toEqual([{ type: "chunkEmpty", chunk: 1 }]);
    expect([...log.state.chunks()].map((chunk) => chunk.chunk)).toEqual([2]);
    // What was removed before it was sealed is in the chunk, and no room needs it.
    log.post(message("lobby", "3"));
    log.do(command.trim("lobby", 4));
    log.seal();
    expect(log.heard.events).toMatchObject([
      { type: "sealed", sealed: { chunk: 3, messages: 1 } },
      { type: "chunkEmpty", chunk: 3 },
    ]);
    expect(runsOf(log, "lobby")).toEqual([]);
  });

  test("[SEAL5] a rewrite leaves in the chunk what is kept now", () => {
    const log = town();
    for (const cid of ["2", "3", "4"]) log.post(message("lobby", cid));
    log.seal();
    const whole = log.state.room("lobby")!.runs.bytes(0);
    log.do(command.trim("lobby", 3));
    log.rewrite(1, 1);
    expect(log.heard.events).toEqual([{ type: "rewrite", chunk: 1, generation: 1 }]);
    expect(runsOf(log, "lobby")).toEqual([[1, 3, 4]]);
    expect(log.state.room("lobby")!.runs.bytes(0)).toBe(whole / 2);
    // What it holds now: two of these four, and one of another room.
    const other = log.state.room("ops")!.runs.bytes(0);
    expect(log.state.chunk(1)).toMatchObject({ generation: 1, messages: 3, bytes: whole / 2 + other });
    log.do(command.trim("lobby", 4));
    for (const [chunk, generation] of [
      [1, 1],
      [7, 1],
    ] as const) {
      log.rewrite(chunk, generation);
      expect(log.heard.events).toEqual([]);
    }
    expect(runsOf(log, "lobby")).toEqual([[1, 3, 4]]);
  });

  test("[BYTES1] a seal and a rewrite that are none are not read", () => {
    const seal = encodeSeal({ chunk: 1, from: 0, to: 4, day: day1, format: 1, reason: sealReasons.day });
    expect(decodeSeal(seal)).toEqual({ chunk: 1, from: 0, to: 4, day: day1, format: 1, reason: 1 });
    expect(decodeSeal(seal.subarray(1))).toBeNull();
    expect(decodeSeal(seal.with(23, 9))).toBeNull();
    expect(decodeRewrite(seal)).toBeNull();
  });
});

describe("trims and retention", () => {
  test("[TRIM1] a trim raises first and says what became a gap", () => {
    const log = town();
    for (const cid of ["2", "3", "4"]) log.post(message("lobby", cid));
    log.do(command.trim("lobby", 3));
    expect(log.events("trimmed")).toMatchObject([{ from: 1, to: 2 }]);
    for (const first of [3, 2, 0]) {
      log.do(command.trim("lobby", first));
      expect(log.heard.events).toEqual([]);
    }
    expect(log.state.room("lobby")!.first).toBe(3);
    log.do(command.trim("lobby", 99));
    expect(log.events("trimmed")).toMatchObject([{ from: 3, to: 4 }]);
    expect([log.state.room("lobby")!.first, log.post(message("lobby", "5")).seq]).toEqual([5, 5]);
    expect(log.do(command.trim("nowhere", 1))).toBe("notFound");
  });

  /** Four chunks of two messages in lobby, one a day, at 1000, 2000, 3000, 4000; then one that is not sealed. */
  function week(): GroupLog {
    const log = new GroupLog();
    log.set({ kind: "founding" });
    for (let n = 1; n <= 4; n++) {
      log.ts = timestamp(n * 1_000);
      log.day = day(n <= 3 ? 20250328 + n : 20250401);
      log.batch(message("lobby", `${n}a`), message("lobby", `${n}b`));
      log.seal();
    }
    log.ts = timestamp(5_000);
    log.post(message("lobby", "5a"));
    return log;
  }
  const kept = (
    log: GroupLog,
    retention: { ageMs?: number; messages?: number; bytes?: number },
    cluster: { now?: number; keptFromDay?: number } = {},
  ): number => {
    log.append(1, encodeCommand(command.retention("lobby", "", retention)));
    return firstKept(log.state.room("lobby")!, {
      now: 5_000,
      keptFromDay: 0,
      dayOf: (chunk) => log.state.chunk(chunk)?.day ?? 0,
      ...cluster,
    });
  };

  test("[KEEP1] by count exactly", () => {
    const log = week();
    expect(kept(log, {})).toBe(1);
    expect(kept(log, { messages: 4 })).toBe(6);
    expect(kept(log, { messages: 9 })).toBe(1);
    expect(kept(log, { messages: 100 })).toBe(1);
    log.do(command.trim("lobby", 8));
    expect(kept(log, { messages: 4 })).toBe(8);
  });

  test("[KEEP1] by age in whole runs, counted in the log's time", () => {
    const log = week();
    expect(kept(log, { ageMs: 3_000 })).toBe(3);
    expect(kept(log, { ageMs: 2_999 })).toBe(5);
    expect(kept(log, { ageMs: 3_001 })).toBe(3);
    expect(kept(log, { ageMs: 500 })).toBe(9);
    // All of it is too old.
    expect(kept(log, { ageMs: 500 }, { now: 5_501 })).toBe(10);
  });

  test("[KEEP1] by bytes in whole runs, never less than asked", () => {
    const log = week();
    const one = bytesIn(message("lobby", "1a"));
    expect(kept(log, { bytes: 1 })).toBe(9);
    expect(kept(log, { bytes: one })).toBe(9);
    expect(kept(log, { bytes: one + 1 })).toBe(7);
    expect(kept(log, { bytes: one * 3 })).toBe(7);
    expect(kept(log, { bytes: one * 3 + 1 })).toBe(5);
    expect(kept(log, { bytes: one * 99 })).toBe(1);
  });

  test("[KEEP1] by days for all rooms", () => {
    const log = week();
    expect(kept(log, {}, { keptFromDay: keptFromDay(20250401, 2) })).toBe(3);
    expect(kept(log, {}, { keptFromDay: keptFromDay(20250401, 0) })).toBe(1);
    expect(kept(log, { messages: 2 }, { keptFromDay: 20250330 })).toBe(8);
    log.set({ kind: "retentionDays", days: 2 }, { kind: "timeZone", timeZone: "Europe/Rome" });
    log.restart();
    expect([log.state.retentionDays, log.state.timeZone]).toEqual([2, "Europe/Rome"]);
  });

  test("[KEEP1] days are counted by the calendar", () => {
    expect(keptFromDay(20260301, 1)).toBe(20260228);
    expect(keptFromDay(20280301, 1)).toBe(20280229);
    expect(keptFromDay(20260105, 10)).toBe(20251226);
    expect(keptFromDay(20260105, 0)).toBe(0);
  });
});
