import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { entryTypes } from "../../src/base/entry.ts";
import { logIndex } from "../../src/base/ids.ts";
import { timestamp } from "../../src/base/units.ts";
import { noticeKinds, roles } from "../../src/rooms/commands.ts";
import { GroupState } from "../../src/rooms/group-state.ts";
import { noBound } from "../../src/rooms/setting.ts";
import { command, GroupLog, Listener } from "./group-log.ts";

/** A group with something of everything. */
function full(hashSeed = 1): GroupLog {
  const log = new GroupLog({ idWindowEntries: 16 }, hashSeed);
  log.set({ kind: "founding" }, { kind: "line", number: 2 }, { kind: "retentionDays", days: 9 });
  log.do(command.join("club", "alice", true));
  log.do(command.invite("club", "alice", "bob"));
  log.do(command.role("club", "alice", "bob", roles.moderator));
  for (let n = 0; n < 12; n++) log.post({ room: "lobby", from: "zoe", cid: `z${n}` });
  log.seal();
  for (let n = 0; n < 8; n++) log.post({ room: "club", from: "bob", cid: `b${n}` });
  log.post({ room: "@alice,bob", from: "bob", cid: "d" });
  log.do(command.read("club", "bob", 3));
  log.do(command.read("lobby", "zoe", 3));
  log.do(command.retention("club", "alice", { messages: 100 }));
  log.do(command.notice("club", "bob", noticeKinds.added, 2));
  log.do(command.notice("@alice,bob", "bob", noticeKinds.direct, 2));
  log.do(command.acknowledge("club", "bob", 2));
  log.do(command.join("old", "carol"));
  log.do(command.deleteRoom("old", "carol"));
  log.do(command.trim("lobby", 4));
  log.rewrite(1, 1);
  return log;
}

describe("snapshots", () => {
  test("[SNAP1] equal states give equal bytes, however they were come by", () => {
    const log = full();
    const bytes = log.state.snapshot();
    const other = full(99);
    expect(Buffer.compare(other.state.snapshot(), bytes)).toBe(0);
    for (let i = 0; i < 3; i++) other.restart(i);
    expect(Buffer.compare(other.state.snapshot(), bytes)).toBe(0);
    expect(other.state.hash()).toBe(log.state.hash());
    expect(log.state.hash()).toMatch(/^[0-9a-f]{64}$/);
    // One mark more is another state.
    other.do(command.read("club", "bob", 4));
    expect(other.state.hash()).not.toBe(log.state.hash());
  });

  test("[SNAP1] addresses of servers are there again, those that were taken off too", () => {
    const log = full();
    log.set({ kind: "address", node: "n2", address: { host: "10.0.0.2", port: 7401 } });
    log.set({ kind: "address", node: "n3", address: { host: "::1", port: 7401 } });
    log.set({ kind: "address", node: "n3", address: null });
    log.restart();
    expect([...log.state.addresses]).toEqual([
      ["n2", { host: "10.0.0.2", port: 7401 }],
      ["n3", null],
    ]);
  });

  test("[SNAP1] where clients reach servers is there again, but not of those that were taken off, or said so no more", () => {
    const log = full();
    const without = log.state.hash();
    for (const node of ["n1", "n2", "n3"])
      log.set({ kind: "clients", node, urls: [`wss://${node}`, `tcp://${node}:1`] });
    log.set({ kind: "address", node: "n2", address: null }, { kind: "clients", node: "n3", urls: [] });
    log.restart();
    expect([...log.state.clientAddresses]).toEqual([["n1", ["wss://n1", "tcp://n1:1"]]]);
    expect(log.state.hash()).not.toBe(without);
  });

  test("[SNAP1] everything is there again", () => {
    const log = full();
    log.restart();
    const { state } = log;
    expect([state.retentionDays, state.lastChunk, state.lastTs, state.appliedTerm]).toEqual([9, 1, 1_000, 1]);
    expect(state.room("club")).toMatchObject({ isPrivate: true, head: 8, retention: { messages: 100 } });
    expect(state.room("club")!.mayModerate("bob")).toBe(true);
    expect(state.room("club")!.readMark("bob")).toBe(3);
    expect(state.room("lobby")!.readMark("zoe")).toBe(3);
    expect(state.room("old")).toBeUndefined();
    expect(state.user("bob")!.rooms()).toEqual(["club"]);
    expect(state.chunk(1)).toMatchObject({ generation: 1, rooms: 1, messages: 9 });
    expect(state.room("lobby")!.runs.chunkOf(4)).toBe(1);
    expect(state.line).not.toBe(new GroupLog().state.line);
  });

  test("[SNAP2] the open chunk is of the snapshot's moment: what comes after is sealed with what was before", () => {
    const log = full();
    log.restart();
    log.post({ room: "club", from: "bob", cid: "after" });
    log.seal();
    const { runs } = log.state.room("club")!;
    expect([runs.length, runs.firstSeq(0), runs.lastSeq(0)]).toEqual([1, 1, 9]);
    expect(log.state.chunk(2)).toMatchObject({ messages: 10, rooms: 2 });
  });

  test("[SNAP2] the applied index is in the snapshot: nothing before it is applied again, nothing after it is missed", () => {
    const log = full();
    const { appliedIndex } = log.state;
    const last = log.entries.at(-1)!;
    log.restart();
    expect(log.state.appliedIndex).toBe(appliedIndex);
    expect(() => log.apply(last)).toThrow("out of its order");
    log.ts = timestamp(9_000);
    expect(log.post({ room: "lobby", from: "alice", cid: "next", checked: 9 })).toMatchObject({
      code: "stored",
      seq: 13,
    });
  });

  test("[SNAP3] a snapshot with any byte changed, or cut anywhere, is refused", () => {
    const bytes = full().state.snapshot();
    const refuses = (snapshot: Uint8Array): void => {
      expect(() => GroupState.restore(snapshot, { hashSeed: 1 })).toThrow("no snapshot");
    };
    for (let at = 0; at < bytes.length; at++) refuses(bytes.with(at, bytes[at]! ^ 0x10));
    for (let length = 0; length < bytes.length; length++) refuses(bytes.subarray(0, length));
  });

  test("[SNAP5] the last configuration entry is part of the state, byte for byte, and of nobody else's memory", () => {
    const log = full();
    expect(log.state.configuration).toBeNull();
    const without = log.state.hash();
    log.append(entryTypes.configuration, Uint8Array.of(1, 2, 3));
    log.append(entryTypes.configuration, new Uint8Array(700).fill(0xff));
    const index = log.state.appliedIndex;
    log.post({ room: "lobby", from: "zoe", cid: "behind" });
    for (let life = 0; life < 2; life++) {
      expect(log.state.configuration).toEqual({ index, bytes: new Uint8Array(700).fill(0xff) });
      log.restart();
    }
    expect(log.state.hash()).not.toBe(without);
    // The memory that an entry was applied from is somebody else's later.
    const memory = Uint8Array.of(7);
    const next = {
      ...log.entries.at(-1)!,
      index: logIndex(index + 2),
      type: entryTypes.configuration,
      payload: memory,
    };
    log.state.apply(next, memory, new Listener());
    memory.fill(0);
    expect(log.state.configuration!.bytes).toEqual(Uint8Array.of(7));
  });

  const kept = readFileSync(new URL("corpus/state-format-1.hex", import.meta.url), "utf8");
  const format1 = Uint8Array.from(Buffer.from(kept.replaceAll("\n", ""), "hex"));

  /** What the state of today and that of a former format have in common. */
  const common = (state: GroupState): unknown[] =>
    [...state.rooms()].map(({ name, head, first, floor, lastTs, isPrivate, members, outbox, runs }) => [
      [name, head, first, floor, lastTs, isPrivate, runs],
      [...members].map((member) => [member.name, member.role, member.read]),
      [...outbox.values()].map(({ number, user }) => [number, user]),
    ]);

  test("[SNAP6] a state of format 1 is read: no configuration, no makers, and no bound of what one user makes", () => {
    expect([format1[4], full().state.snapshot()[4]]).toEqual([1, 5]);
    const state = GroupState.restore(format1, { hashSeed: 1 });
    expect(state.configuration).toBeNull();
    expect(common(state)).toEqual(common(full().state));
    expect([...state.rooms()].map(({ maker }) => maker)).toEqual([...state.rooms()].map(() => ""));
    expect([state.bounds.madeRoomsMax, state.bounds.invitedRoomsMax]).toEqual([noBound, noBound]);
    const again = GroupState.restore(state.snapshot(), { hashSeed: 2 });
    expect(Buffer.compare(again.snapshot(), state.snapshot())).toBe(0);
  });

  test("[SNAP6] a state of format 2 is read, with its configuration", () => {
    // The fields before the configuration, as snapshot.ts tells of them: 7 bounds, and the time zone of this state.
    const zone = GroupState.restore(format1, { hashSeed: 1 }).timeZone;
    const at = 12 + 1 + format1[12]! + 1 + 7 * 6 + 3 * 6 + 4 + 6 + 1 + zone.length + 6;
    const configuration = Uint8Array.of(5, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3);
    const content = Buffer.concat([format1.subarray(0, at), configuration, format1.subarray(at, -32)]);
    content[4] = 2;
    const format2 = Buffer.concat([content, createHash("sha256").update(content).digest()]);
    const state = GroupState.restore(Uint8Array.from(format2), { hashSeed: 1 });
    expect(state.configuration).toEqual({ index: 5, bytes: Uint8Array.of(1, 2, 3) });
    expect(common(state)).toEqual(common(full().state));
    expect(GroupState.restore(state.snapshot(), { hashSeed: 2 }).configuration).toEqual(state.configuration);
  });

  test("[SNAP6] a state of format 4 is read: no server has said where clients reach it", () => {
    const log = full();
    log.set({ kind: "address", node: "n2", address: { host: "the-last-host", port: 7401 } });
    const bytes = Buffer.from(log.state.snapshot());
    // Behind the last address and its port stands how many have said so.
    const at = bytes.indexOf("the-last-host") + "the-last-host".length + 6;
    const content = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 4, -32)]);
    content[4] = 4;
    const format4 = Buffer.concat([content, createHash("sha256").update(content).digest()]);
    const state = GroupState.restore(Uint8Array.from(format4), { hashSeed: 1 });
    expect([...state.clientAddresses]).toEqual([]);
    expect(Buffer.compare(state.snapshot(), bytes)).toBe(0);
  });
});
