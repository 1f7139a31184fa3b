import { describe, expect, test } from "vitest";
import { recordEpoch, recordSeq, recordTs, setRecordChecked } from "../../src/rooms/message-record.ts";
import { bytesOf, command, GroupLog, record } from "./group-log.ts";
import { entryTypes } from "../../src/base/entry.ts";
import { groupId, logIndex, term } from "../../src/base/ids.ts";
import { timestamp } from "../../src/base/units.ts";

const founded = (window = 1024): GroupLog => {
  const log = new GroupLog({ idWindowEntries: window });
  log.set({ kind: "founding" });
  return log;
};
const fill = (log: GroupLog, count: number, room = "lobby"): void => {
  for (let i = 0; i < count; i++)
    log.post({ room, from: "filler", cid: `${room}-${log.state.appliedIndex}`, checked: 9e6 });
};

describe("order and time", () => {
  test("[ORDER1] accepted messages are numbered without holes; what is refused or repeated takes no number", () => {
    const log = founded();
    log.batch(
      { room: "lobby", from: "alice", cid: "a1" },
      { room: "nowhere", from: "alice", cid: "a2" },
      { room: "lobby", from: "alice", cid: "a1" },
      { room: "lobby", from: "bob", cid: "b1" },
    );
    expect(log.heard.outcomes.map((one) => [one.position, one.code, one.seq])).toEqual([
      [0, "stored", 1],
      [1, "notFound", 0],
      [2, "repeat", 1],
      [3, "stored", 2],
    ]);
    expect(log.state.room("lobby")!.head).toBe(2);
  });

  test("[ORDER1] seq, ts and epoch are written into the record in memory", () => {
    const log = founded();
    const payload = record({ room: "lobby", from: "alice", cid: "a1" });
    const memory = payload.slice();
    const entry = {
      group: groupId(0),
      index: logIndex(2),
      term: term(4),
      type: entryTypes.commands,
      ts: timestamp(5_000),
      day: log.day,
      payload,
    };
    log.state.apply(entry, memory, log.heard);
    expect([recordSeq(memory, 0), recordTs(memory, 0), recordEpoch(memory, 0)]).toEqual([1, 5_000, 4]);
  });

  test("[ORDER2] the log decides the order, and ts never goes back though an entry's does", () => {
    const log = founded();
    log.ts = timestamp(9_000);
    const first = log.post({ room: "lobby", from: "alice", cid: "a1" });
    // A clock went back by hours before the next entry was made.
    log.ts = timestamp(2_000);
    const second = log.post({ room: "lobby", from: "bob", cid: "b1" });
    expect([first.seq, first.ts]).toEqual([1, 9_000]);
    expect([second.seq, second.ts]).toEqual([2, 9_000]);
    expect(log.state.lastTs).toBe(9_000);
  });

  test("[ORDER3] an entry is applied once, after the one before it", () => {
    const log = founded();
    log.post({ room: "lobby", from: "alice", cid: "a1" });
    const last = log.entries.at(-1)!;
    expect(() => log.apply(last)).toThrow("out of its order");
    expect(() => log.apply({ ...last, index: logIndex(last.index + 2) })).toThrow("out of its order");
    expect(() => log.apply({ ...last, index: logIndex(last.index + 1), group: groupId(3) })).toThrow("another group");
    expect(log.state.room("lobby")!.head).toBe(1);
  });

  test("[ORDER3] an entry that holds what is no command stops the program", () => {
    const log = founded();
    expect(() => log.append(entryTypes.commands, new Uint8Array(40))).toThrow("no command");
    expect(() => log.append(entryTypes.seal, new Uint8Array(3))).toThrow("no seal");
    expect(() => log.append(entryTypes.setting, new Uint8Array(3))).toThrow("no setting");
    expect(() => log.append(entryTypes.rewrite, new Uint8Array(3))).toThrow("no rewrite");
  });
});

describe("exactly once", () => {
  test("[ONCE1] a repeat hears of its first, and nothing else changes", () => {
    const log = founded();
    log.term = term(2);
    log.post({ room: "lobby", from: "alice", cid: "a1", body: "hi" });
    log.term = term(3);
    log.ts = timestamp(8_000);
    const before = log.state.room("lobby")!.head;
    expect(log.post({ room: "lobby", from: "alice", cid: "a1", body: "hi" })).toMatchObject({
      code: "repeat",
      seq: 1,
      ts: 1_000,
      epoch: 2,
    });
    expect(log.heard.messages).toEqual([]);
    expect(log.state.room("lobby")!.head).toBe(before);
  });

  test("[ONCE1] what speaks of the attempt only is no part of what is compared", () => {
    const log = founded();
    log.post({ room: "lobby", from: "alice", cid: "a0" });
    log.post({ room: "lobby", from: "alice", cid: "a1", kind: "note", ref: 1 });
    const again = { room: "lobby", from: "alice", cid: "a1", kind: "note", ref: 1 };
    expect(log.try({ ...again, prev: "a0", prevSeq: 1, checked: 7, refFrom: "alice", refKind: "text" })).toBe("repeat");
    expect(log.try({ ...again, kind: "vote" })).toBe("conflict");
    expect(log.try({ ...again, kind: "mote" })).toBe("conflict");
  });

  test("[ONCE2] the same id with another kind, ref or body is a conflict", () => {
    const log = founded();
    log.post({ room: "lobby", from: "alice", cid: "a0" });
    log.post({ room: "lobby", from: "alice", cid: "a1", body: "hi", kind: "note", ref: 1 });
    const same = { room: "lobby", from: "alice", cid: "a1", body: "hi", kind: "note", ref: 1 };
    expect(log.try({ ...same, body: "ho" })).toBe("conflict");
    expect(log.try({ ...same, kind: "nota" })).toBe("conflict");
    expect(log.try({ ...same, ref: 0 })).toBe("conflict");
    // A letter that moved from the body to the kind.
    expect(log.try({ ...same, kind: "noteh", body: "i" })).toBe("conflict");
    expect(log.post({ ...same, body: "ho" })).toMatchObject({ seq: 2, ts: 1_000, epoch: 1 });
    expect(log.try(same)).toBe("repeat");
  });

  test("[ONCE3] another sender, another room, or a letter on the other side is another message", () => {
    const log = founded();
    log.do(command.join("ops", "alice"));
    log.do(command.join("opsa", "alice"));
    expect(log.try({ room: "lobby", from: "alice", cid: "1" })).toBe("stored");
    expect(log.try({ room: "lobby", from: "bob", cid: "1" })).toBe("stored");
    expect(log.try({ room: "ops", from: "alice", cid: "1" })).toBe("stored");
    // The same bytes in a row, cut elsewhere.
    expect(log.try({ room: "opsa", from: "lice", cid: "1" })).toBe("stored");
    expect(log.try({ room: "lobby", from: "alic", cid: "e1" })).toBe("stored");
  });

  test("[ONCE4] the window is the group's: the newest ids of all rooms, and a floor for each room", () => {
    const log = founded(8);
    log.do(command.join("ops", "alice"));
    log.post({ room: "ops", from: "alice", cid: "o1" });
    log.post({ room: "lobby", from: "alice", cid: "l1" });
    expect(log.state.room("ops")!.floor).toBe(0);
    fill(log, 7);
    // The ninth id pushed out the first, which was in ops.
    expect(log.state.room("ops")!.floor).toBe(1);
    expect(log.state.room("lobby")!.floor).toBe(0);
    fill(log, 1);
    expect(log.state.room("lobby")!.floor).toBe(1);
    expect(log.state.seqInWindow(bytesOf("lobby"), bytesOf("alice"), bytesOf("l1"))).toBe(0);
    expect(
      log.state.seqInWindow(bytesOf("lobby"), bytesOf("filler"), bytesOf(`lobby-${log.state.appliedIndex - 1}`)),
    ).toBe(9);
  });

  test("[ONCE4] a smaller window forgets the oldest at once", () => {
    const log = founded(64);
    fill(log, 20);
    log.set({ kind: "bound", bound: "idWindowEntries", value: 8 });
    expect(log.state.room("lobby")!.floor).toBe(12);
    fill(log, 1);
    expect(log.state.room("lobby")!.floor).toBe(13);
  });

  test("[ONCE5] an id that is not in the window is stored only when it is known to be absent up to the floor", () => {
    const log = founded(8);
    log.post({ room: "lobby", from: "alice", cid: "a1" });
    fill(log, 9);
    expect(log.state.room("lobby")!.floor).toBe(2);
    // The window has forgotten it: to store it again would double it.
    expect(log.try({ room: "lobby", from: "alice", cid: "a1" })).toBe("recheck");
    expect(log.try({ room: "lobby", from: "alice", cid: "a2", checked: 1 })).toBe("recheck");
    expect(log.try({ room: "lobby", from: "alice", cid: "a2", checked: 2 })).toBe("stored");
  });

  test("[ONCE5] what is not kept guards nothing: no recheck below first", () => {
    const log = founded(8);
    fill(log, 10);
    expect(log.try({ room: "lobby", from: "alice", cid: "a1" })).toBe("recheck");
    log.do(command.trim("lobby", 3));
    expect(log.try({ room: "lobby", from: "alice", cid: "a1" })).toBe("stored");
  });

  test("[ONCE6] a repeat is told of its first though the room or the sender's place in it is gone", () => {
    const log = founded();
    log.do(command.join("club", "alice", true));
    log.do(command.invite("club", "alice", "bob"));
    log.post({ room: "club", from: "bob", cid: "b1" });
    log.do(command.kick("club", "alice", "bob"));
    expect(log.try({ room: "club", from: "bob", cid: "b2" })).toBe("notFound");
    expect(log.post({ room: "club", from: "bob", cid: "b1" })).toMatchObject({ code: "repeat", seq: 1 });
    log.do(command.deleteRoom("club", "alice"));
    expect(log.post({ room: "club", from: "bob", cid: "b1" })).toMatchObject({ code: "repeat", seq: 1 });
  });

  test("[ONCE6] a sender who was put out, and whose id may be stored, is not refused before that is known", () => {
    const log = founded(8);
    log.do(command.join("club", "alice", true));
    log.do(command.invite("club", "alice", "bob"));
    log.post({ room: "club", from: "bob", cid: "b1" });
    log.do(command.kick("club", "alice", "bob"));
    fill(log, 8);
    expect(log.try({ room: "club", from: "bob", cid: "b1" })).toBe("recheck");
    // The orderer found nothing of another id: that one is refused.
    expect(log.try({ room: "club", from: "bob", cid: "b2", checked: 1 })).toBe("notFound");
  });

  test("[ONCE7] after a restore a repeat is still a repeat, and the floor still stands", () => {
    const log = founded(8);
    fill(log, 6);
    log.post({ room: "lobby", from: "alice", cid: "a1", body: "hi" });
    fill(log, 5);
    log.restart();
    expect(log.post({ room: "lobby", from: "alice", cid: "a1", body: "hi" })).toMatchObject({ code: "repeat", seq: 7 });
    expect(log.try({ room: "lobby", from: "alice", cid: "a1", body: "ho" })).toBe("conflict");
    expect(log.try({ room: "lobby", from: "bob", cid: "b1", checked: 3 })).toBe("recheck");
    expect(log.try({ room: "lobby", from: "bob", cid: "b1", checked: 4 })).toBe("stored");
  });

  test("[ONCE8] what must be looked up before proposing, and what need not", () => {
    const log = founded(8);
    const fresh = record({ room: "lobby", from: "alice", cid: "a1", prev: "a0" });
    expect(log.state.lookupNeeded(fresh, 0)).toBeNull();
    fill(log, 20);
    log.do(command.trim("lobby", 5));
    expect(log.state.lookupNeeded(fresh, 0)).toEqual({
      id: { from: 5, to: 12 },
      prev: { from: 5, to: 12 },
      checked: 20,
    });
    // The client knew head 10 when it made the id.
    const since = record({ room: "lobby", from: "alice", cid: "a1", checked: 10 });
    expect(log.state.lookupNeeded(since, 0)).toEqual({ id: { from: 11, to: 12 }, prev: null, checked: 20 });
    setRecordChecked(since, 0, 12);
    expect(log.state.lookupNeeded(since, 0)).toBeNull();
    const found = record({ room: "lobby", from: "alice", cid: "a1", prev: "a0", prevSeq: 6, checked: 12 });
    expect(log.state.lookupNeeded(found, 0)).toBeNull();
    const inWindow = record({ room: "lobby", from: "filler", cid: "lobby-20" });
    expect(log.state.lookupNeeded(inWindow, 0)).toBeNull();
    expect(log.state.lookupNeeded(record({ room: "nowhere", from: "alice", cid: "a" }), 0)).toBeNull();
    log.do(command.trim("lobby", 13));
    expect(log.state.lookupNeeded(fresh, 0)).toBeNull();
  });
});

describe("order of one sender", () => {
  test("[PREV1] a message is stored only behind the one it names", () => {
    const log = founded();
    expect(log.try({ room: "lobby", from: "alice", cid: "a2", prev: "a1" })).toBe("order");
    log.post({ room: "lobby", from: "bob", cid: "a1" });
    // Somebody else's message of that id is not hers.
    expect(log.try({ room: "lobby", from: "alice", cid: "a2", prev: "a1" })).toBe("order");
    expect(
      log.batch(
        { room: "lobby", from: "alice", cid: "a1" },
        { room: "lobby", from: "alice", cid: "a2", prev: "a1" },
        { room: "lobby", from: "alice", cid: "a4", prev: "a3" },
        { room: "lobby", from: "alice", cid: "a5", prev: "a4" },
        { room: "lobby", from: "alice", cid: "a3", prev: "a2" },
      ),
    ).toEqual(["stored", "stored", "order", "order", "stored"]);
  });

  test("[PREV1] in a run of one sender in one room, too, another sender's or another room's id is no prev", () => {
    const log = founded();
    log.post({ room: "@alice,bob", from: "alice", cid: "d1" });
    expect(
      log.batch(
        { room: "lobby", from: "bob", cid: "b1" },
        { room: "lobby", from: "alice", cid: "b1x" },
        { room: "lobby", from: "alice", cid: "a1", prev: "b1" },
        { room: "lobby", from: "alice", cid: "a2", prev: "d1" },
        { room: "lobby", from: "alice", cid: "a3", prev: "b1x" },
        { room: "lobby", from: "alice", cid: "a4", prev: "b1x" },
        { room: "@alice,bob", from: "alice", cid: "d2", prev: "a4" },
        { room: "@alice,bob", from: "alice", cid: "d3", prev: "d1" },
        // What was refused is nobody's prev, and the run goes on behind what was stored before it.
        { room: "@alice,bob", from: "alice", cid: "d4", prev: "d2" },
        { room: "@alice,bob", from: "alice", cid: "d5", prev: "d3" },
      ),
    ).toEqual(["stored", "stored", "order", "order", "stored", "stored", "order", "stored", "order", "stored"]);
  });

  test("[PREV1] a repeat is a repeat whatever prev it names", () => {
    const log = founded();
    log.post({ room: "lobby", from: "alice", cid: "a1" });
    expect(log.try({ room: "lobby", from: "alice", cid: "a1", prev: "never" })).toBe("repeat");
  });

  test("[PREV2] a prev older than the window is looked up, and what was found is believed", () => {
    const log = founded(8);
    log.post({ room: "lobby", from: "alice", cid: "a1" });
    fill(log, 10);
    const next = { room: "lobby", from: "alice", cid: "a2", prev: "a1", checked: 11 };
    expect(log.try(next)).toBe("recheck");
    expect(log.try({ ...next, prevSeq: 99 })).toBe("order");
    expect(log.try({ ...next, prevSeq: 1 })).toBe("stored");
    // Once the window holds all that is kept, absence is known.
    log.do(command.trim("lobby", log.state.room("lobby")!.floor + 1));
    expect(log.try({ room: "lobby", from: "alice", cid: "a3", prev: "nothing" })).toBe("order");
  });
});
