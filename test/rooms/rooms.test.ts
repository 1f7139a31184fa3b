import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type ClusterId, groupId } from "../../src/base/ids.ts";
import { noticeKinds, roles } from "../../src/rooms/commands.ts";
import { GroupState } from "../../src/rooms/group-state.ts";
import { slotOf } from "../../src/base/slot.ts";
import { bytesOf, command, GroupLog } from "./group-log.ts";

const founded = (): GroupLog => {
  const log = new GroupLog();
  log.set({ kind: "founding" });
  return log;
};
/** A private room of alice, with bob in it. */
const club = (): GroupLog => {
  const log = founded();
  log.do(command.join("club", "alice", true));
  log.do(command.invite("club", "alice", "bob"));
  return log;
};
const membersOf = (log: GroupLog, room: string): string[] =>
  log.state
    .room(room)!
    .members.sorted()
    .map((member) => `${member.name}:${member.role}`);

describe("rooms", () => {
  test("[ROOM1] the first to join makes the room and owns it; the next are members", () => {
    const log = founded();
    expect(log.do(command.join("ops", "alice"))).toBe("done");
    expect(log.events("created")).toHaveLength(1);
    expect(log.do(command.join("ops", "bob"))).toBe("done");
    expect(log.events("created")).toHaveLength(0);
    // To join twice changes nothing.
    expect(log.do(command.join("ops", "bob"))).toBe("done");
    expect(log.heard.events).toEqual([]);
    expect(membersOf(log, "ops")).toEqual(["alice:3", "bob:1"]);
    expect(log.state.room("ops")!.isPrivate).toBe(false);
  });

  test("[ROOM1] founding makes lobby once, with nobody in it", () => {
    const log = founded();
    expect(membersOf(log, "lobby")).toEqual([]);
    log.post({ room: "lobby", from: "alice", cid: "a1" });
    log.set({ kind: "founding" });
    expect(log.events("created")).toEqual([]);
    expect(log.state.room("lobby")!.head).toBe(1);
  });

  test("[ROOM2] anybody posts in an open room, and is no member by that", () => {
    const log = founded();
    log.do(command.join("ops", "alice"));
    expect(log.try({ room: "ops", from: "zoe", cid: "z1" })).toBe("stored");
    expect(membersOf(log, "ops")).toEqual(["alice:3"]);
    expect(log.state.room("ops")!.mayRead("anybody")).toBe(true);
  });

  test("[ROOM3] a private room is not there for whoever is not in it", () => {
    const log = club();
    expect(log.try({ room: "club", from: "eve", cid: "e1" })).toBe("notFound");
    expect(log.do(command.join("club", "eve"))).toBe("notFound");
    expect(log.do(command.leave("club", "eve"))).toBe("notFound");
    expect(log.do(command.read("club", "eve", 1))).toBe("notFound");
    expect(log.do(command.kick("club", "eve", "bob"))).toBe("notFound");
    expect(log.do(command.invite("club", "eve", "eve"))).toBe("notFound");
    expect(log.do(command.role("club", "eve", "eve", roles.owner))).toBe("notFound");
    expect(log.do(command.retention("club", "eve", {}))).toBe("notFound");
    expect(log.do(command.deleteRoom("club", "eve"))).toBe("notFound");
    expect(log.try({ room: "club", from: "bob", cid: "b1" })).toBe("stored");
    expect(log.state.room("club")!.mayRead("bob")).toBe(true);
    expect(log.state.room("club")!.mayRead("eve")).toBe(false);
    // A name that begins like a member's is not that member.
    expect(log.try({ room: "club", from: "bobb", cid: "b1" })).toBe("notFound");
  });

  test("[ROOM4] a room that is not there", () => {
    const log = founded();
    expect(log.try({ room: "nowhere", from: "alice", cid: "a1" })).toBe("notFound");
    expect(log.do(command.leave("nowhere", "alice"))).toBe("notFound");
    expect(log.do(command.acknowledge("nowhere", "alice", 1))).toBe("notFound");
    expect(log.state.room("nowhere")).toBeUndefined();
  });

  test("[ROOM5] a direct room comes with the first message, and is its two people's alone", () => {
    const log = founded();
    expect(log.try({ room: "@alice,bob", from: "eve", cid: "e1" })).toBe("notFound");
    expect(log.state.room("@alice,bob")).toBeUndefined();
    expect(log.post({ room: "@alice,bob", from: "bob", cid: "b1" })).toMatchObject({ code: "stored", seq: 1 });
    expect(log.events("notice").map((event) => event.type === "notice" && event.notice)).toEqual([
      { number: 1, kind: noticeKinds.direct, user: "alice" },
      { number: 2, kind: noticeKinds.direct, user: "bob" },
    ]);
    expect(log.post({ room: "@alice,bob", from: "alice", cid: "a1" })).toMatchObject({ code: "stored", seq: 2 });
    expect(log.events("notice")).toEqual([]);
    const room = log.state.room("@alice,bob")!;
    expect([room.isDirect, room.mayRead("alice"), room.mayRead("bob"), room.mayRead("eve")]).toEqual([
      true,
      true,
      true,
      false,
    ]);
    for (const user of ["alic", "ob", "alice,bob", "b", "lice"]) {
      expect([user, room.mayRead(user)]).toEqual([user, false]);
      expect([user, log.try({ room: "@alice,bob", from: user, cid: "e1" })]).toEqual([user, "notFound"]);
    }
    expect(log.do(command.join("@alice,bob", "eve"))).toBe("notFound");
    expect(log.do(command.join("@alice,bob", "alice"))).toBe("done");
    expect(log.do(command.leave("@alice,bob", "alice"))).toBe("forbidden");
    expect(log.do(command.kick("@alice,bob", "alice", "bob"))).toBe("forbidden");
    expect(log.do(command.deleteRoom("@alice,bob", "alice"))).toBe("forbidden");
    expect(log.do(command.invite("@alice,bob", "alice", "eve"))).toBe("forbidden");
    expect(log.do(command.read("@alice,bob", "bob", 2))).toBe("done");
    expect(room.readMark("bob")).toBe(2);
  });

  test("[ROOM5] a first direct message that is refused makes no room", () => {
    const log = founded();
    const first = { room: "@alice,bob", from: "alice", cid: "a1" };
    expect(log.try({ ...first, prev: "a0" })).toBe("order");
    expect(log.try({ ...first, kind: "edit", ref: 1 })).toBe("notFound");
    expect(log.try({ ...first, kind: "react" })).toBe("refNeeded");
    expect(log.try({ ...first, kind: "sys.x" })).toBe("forbidden");
    expect(log.try({ room: "@bob,alice", from: "alice", cid: "a1" })).toBe("badRequest");
    expect(log.do(command.join("@bob,alice", "alice"))).toBe("badRequest");
    expect([...log.state.rooms()].map((room) => room.name)).toEqual(["lobby"]);
    // With oneself: one person, one notice.
    expect(log.try({ room: "@alice,alice", from: "alice", cid: "a1" })).toBe("stored");
    expect(log.events("notice")).toHaveLength(1);
  });

  test("[ROOM6] who may put out, invite, give roles, and delete", () => {
    const log = club();
    log.do(command.invite("club", "alice", "carol"));
    log.do(command.invite("club", "alice", "dan"));
    expect(log.do(command.role("club", "bob", "bob", roles.owner))).toBe("forbidden");
    expect(log.do(command.kick("club", "bob", "carol"))).toBe("forbidden");
    expect(log.do(command.invite("club", "bob", "eve"))).toBe("forbidden");
    expect(log.do(command.role("club", "alice", "bob", roles.moderator))).toBe("done");
    expect(log.do(command.kick("club", "bob", "carol"))).toBe("done");
    expect(log.events("left")).toHaveLength(1);
    expect(log.do(command.kick("club", "bob", "carol"))).toBe("notFound");
    // Not one's like or better.
    log.do(command.role("club", "alice", "dan", roles.moderator));
    expect(log.do(command.kick("club", "bob", "dan"))).toBe("forbidden");
    expect(log.do(command.kick("club", "bob", "alice"))).toBe("forbidden");
    expect(log.do(command.invite("club", "bob", "eve"))).toBe("done");
    expect(log.do(command.retention("club", "bob", { messages: 5 }))).toBe("forbidden");
    expect(log.do(command.deleteRoom("club", "bob"))).toBe("forbidden");
    expect(log.do(command.retention("club", "alice", { messages: 5 }))).toBe("done");
    expect(log.state.room("club")!.retention).toEqual({ ageMs: 0, messages: 5, bytes: 0 });
    // The cluster itself asks nobody.
    expect(log.do(command.role("club", "", "eve", roles.owner))).toBe("done");
    expect(log.do(command.role("club", "", "zoe", roles.owner))).toBe("notFound");
    expect(log.do(command.kick("club", "", "alice"))).toBe("done");
    expect(membersOf(log, "club")).toEqual(["bob:2", "dan:2", "eve:3"]);
    expect(log.state.room("club")!.mayModerate("dan")).toBe(true);
  });

  test("[ROOM10] when the last owner goes, the highest in rank who has been in longest owns the room", () => {
    const log = club();
    log.do(command.invite("club", "alice", "aaron"));
    log.do(command.invite("club", "alice", "dan"));
    log.do(command.role("club", "alice", "dan", roles.moderator));
    // Not the last: nothing is passed on.
    log.do(command.role("club", "alice", "aaron", roles.owner));
    expect(log.do(command.leave("club", "alice"))).toBe("done");
    expect(log.events("role")).toEqual([]);
    expect(log.do(command.kick("club", "aaron", "aaron"))).toBe("done");
    expect(log.events("role")).toHaveLength(1);
    expect(membersOf(log, "club")).toEqual(["bob:1", "dan:3"]);
    log.do(command.invite("club", "dan", "anna"));
    log.restart(1);
    // Nobody has a rank: bob came before anna, though her name comes first.
    expect(log.do(command.leave("club", "dan"))).toBe("done");
    expect(membersOf(log, "club")).toEqual(["anna:1", "bob:3"]);
    // Who gives the last ownership away has to have somebody who takes it.
    expect(log.do(command.role("club", "bob", "bob", roles.member))).toBe("done");
    expect(membersOf(log, "club")).toEqual(["anna:1", "bob:3"]);
    expect(log.do(command.leave("club", "bob"))).toBe("done");
    expect(log.do(command.invite("club", "anna", "zoe"))).toBe("done");
  });

  test("[ROOM7] a room made again goes on behind the deleted head, and the deleted part is a gap", () => {
    const log = club();
    for (const cid of ["1", "2", "3"]) log.post({ room: "club", from: "bob", cid });
    const line = log.state.room("club")!.line;
    expect(log.do(command.deleteRoom("club", "alice"))).toBe("done");
    expect(log.events("deleted")).toMatchObject([{ from: 1, to: 3 }]);
    expect(log.state.room("club")).toBeUndefined();
    expect(log.try({ room: "club", from: "bob", cid: "4" })).toBe("notFound");
    expect(log.do(command.deleteRoom("club", "alice"))).toBe("notFound");
    // Somebody else takes the name, and makes it open.
    expect(log.do(command.join("club", "eve"))).toBe("done");
    const room = log.state.room("club")!;
    expect([room.first, room.head, room.isPrivate, room.line]).toEqual([4, 3, false, line]);
    expect(membersOf(log, "club")).toEqual(["eve:3"]);
    expect(log.post({ room: "club", from: "bob", cid: "4" }).seq).toBe(4);
  });

  test("[ROOM7] a direct room deleted by the cluster begins again with the next message", () => {
    const log = founded();
    log.post({ room: "@alice,bob", from: "bob", cid: "b1" });
    expect(log.do(command.deleteRoom("@alice,bob", ""))).toBe("done");
    expect(log.events("notice")).toHaveLength(2);
    expect(log.try({ room: "@alice,bob", from: "eve", cid: "e1" })).toBe("notFound");
    expect(log.try({ room: "@alice,bob", from: "bob", cid: "b2", kind: "edit", ref: 1, refFrom: "bob" })).toBe("gone");
    expect(log.post({ room: "@alice,bob", from: "alice", cid: "a1" })).toMatchObject({ code: "stored", seq: 2 });
    expect(log.state.room("@alice,bob")!.first).toBe(2);
  });

  test("[ROOM8] rooms, members, visitors' marks and a user's rooms are bounded, by bounds of the state", () => {
    const log = new GroupLog({
      groupRoomsMax: 3,
      roomMembersMax: 2,
      visitorMarksMax: 1,
      roomsMax: 2,
      directRoomsMax: 1,
    });
    log.set({ kind: "founding" });
    log.do(command.join("a", "alice"));
    log.do(command.join("b", "alice"));
    expect(log.do(command.join("c", "alice"))).toBe("groupFull");
    expect(log.try({ room: "@alice,bob", from: "alice", cid: "1" })).toBe("groupFull");
    expect(log.do(command.join("@alice,bob", "alice"))).toBe("groupFull");
    // A deleted room has its place until it is given back, and may begin again.
    log.do(command.deleteRoom("b", "alice"));
    expect(log.do(command.join("c", "alice"))).toBe("groupFull");
    expect(log.do(command.join("b", "bob"))).toBe("done");
    log.do(command.acknowledge("a", "alice", 1));
    expect(log.do(command.join("a", "bob"))).toBe("done");
    expect(log.do(command.join("a", "carol"))).toBe("roomFull");
    expect(log.do(command.invite("a", "alice", "carol"))).toBe("roomFull");
    log.do(command.acknowledge("a", "bob", 2));
    // Comers and goers whose notices nobody delivers must not fill the outbox.
    log.do(command.leave("a", "bob"));
    log.do(command.join("a", "carol"));
    log.do(command.leave("a", "carol"));
    expect(log.do(command.join("a", "dan"))).toBe("overloaded");
    log.post({ room: "lobby", from: "alice", cid: "1" });
    expect(log.do(command.read("lobby", "zoe", 1))).toBe("done");
    expect(log.do(command.read("lobby", "yan", 1))).toBe("marksFull");
    expect(log.do(command.notice("x", "zoe", noticeKinds.added, 1))).toBe("done");
    expect(log.do(command.notice("y", "zoe", noticeKinds.added, 1))).toBe("done");
    expect(log.do(command.notice("z", "zoe", noticeKinds.added, 1))).toBe("tooLarge");
    expect(log.do(command.notice("@yan,zoe", "zoe", noticeKinds.direct, 1))).toBe("done");
    expect(log.do(command.notice("@xan,zoe", "zoe", noticeKinds.direct, 1))).toBe("tooLarge");
    log.set({ kind: "bound", bound: "roomsMax", value: 8 }, { kind: "bound", bound: "groupUsersMax", value: 8 });
    log.restart();
    expect(log.state.bounds.roomsMax).toBe(8);
    expect(log.do(command.notice("z", "zoe", noticeKinds.added, 1))).toBe("done");
    for (let i = 1; i < 8; i++) expect(log.do(command.notice("z", `user${i}`, noticeKinds.added, 1))).toBe("done");
    expect(log.do(command.notice("z", "user8", noticeKinds.added, 1))).toBe("overloaded");
  });

  test("[ROOM8] a log begins with the format's bounds, whatever a server is configured to", () => {
    const options = { group: groupId(0), cluster: "c" as ClusterId, hashSeed: 1 };
    // These numbers are on disk in every log that sets no others: to change them changes what old logs mean.
    expect(GroupState.empty(options).bounds).toEqual({
      idWindowEntries: 65_536,
      groupRoomsMax: 100_000,
      groupUsersMax: 1_000_000,
      roomMembersMax: 10_000,
      roomsMax: 1_000,
      directRoomsMax: 10_000,
      visitorMarksMax: 1_000,
      madeRoomsMax: 0xffff_ffff_ffff,
      invitedRoomsMax: 0xffff_ffff_ffff,
    });
  });

  test("[ROOM11] one user makes so many rooms and no more; others make theirs, and a room given back counts no more", () => {
    const log = new GroupLog({ madeRoomsMax: 2, directRoomsMax: 1 });
    log.set({ kind: "founding" });
    for (const room of ["a", "b"]) expect(log.do(command.join(room, "alice"))).toBe("done");
    expect(log.do(command.join("c", "alice"))).toBe("makerFull");
    expect(log.do(command.join("c", "bob"))).toBe("done");
    expect(log.do(command.join("@alice,bob", "alice"))).toBe("done");
    expect(log.try({ room: "@alice,carol", from: "alice", cid: "1" })).toBe("makerFull");
    // Who leaves has made it all the same, as long as it is there.
    log.do(command.leave("a", "alice"));
    log.restart();
    expect(log.do(command.join("d", "alice"))).toBe("makerFull");
    log.do(command.acknowledge("a", "alice", 99));
    log.do(command.closeRoom("a"));
    expect(log.do(command.join("d", "alice"))).toBe("done");
  });

  test("[ROOM12] a room with nobody and nothing in it is given back: its place goes to the next, and its own name begins anew", () => {
    const log = new GroupLog({ groupRoomsMax: 3 });
    log.set({ kind: "founding" });
    log.do(command.join("a", "alice"));
    log.do(command.join("b", "alice"));
    const noticed = log.state.room("b")!.noticeNumber;
    // Somebody is in it; then it has something to tell; then it goes.
    log.do(command.closeRoom("b"));
    log.do(command.leave("b", "alice"));
    log.do(command.closeRoom("b"));
    expect(log.state.room("b")).toBeDefined();
    log.do(command.acknowledge("b", "alice", 99));
    log.do(command.closeRoom("b"));
    expect(log.events("deleted")).toHaveLength(1);
    expect(log.state.room("b")).toBeUndefined();
    const before = log.state.snapshot();
    log.restart();
    expect(Buffer.compare(log.state.snapshot(), before)).toBe(0);
    // Ten thousand rooms may come and go where there is place for one.
    for (let i = 0; i < 10_000; i++) {
      const name = `r${i}`;
      expect(log.do(command.join(name, "eve"))).toBe("done");
      log.batch(command.leave(name, "eve"), command.acknowledge(name, "eve", 1e6), command.closeRoom(name));
    }
    expect(log.state.snapshot().length).toBeLessThan(before.length + 100);
    // Its people know the numbers of its notices: it goes on above them.
    log.do(command.join("b", "alice"));
    expect(log.state.room("b")!.noticeNumber).toBeGreaterThan(noticed);
    expect(log.post({ room: "b", from: "alice", cid: "1" }).seq).toBe(1);
    expect(log.do(command.join("c", "bob"))).toBe("groupFull");
  });

  test("[ROOM12] where something was said the numbering stays: line, seq and what is a repeat are as after a deletion", () => {
    const log = new GroupLog({ groupRoomsMax: 2 });
    log.set({ kind: "founding" });
    log.do(command.join("a", "alice"));
    log.post({ room: "a", from: "alice", cid: "1" });
    log.do(command.leave("a", "alice"));
    log.do(command.acknowledge("a", "alice", 99));
    log.do(command.closeRoom("a"));
    expect(log.state.room("a")).toBeDefined();
    const { line } = log.state.room("a")!;
    log.do(command.trim("a", 2));
    log.do(command.closeRoom("a"));
    expect(log.state.room("a")).toBeUndefined();
    expect(log.post({ room: "a", from: "alice", cid: "1" })).toMatchObject({ code: "repeat", seq: 1 });
    log.restart();
    // Its place is another's; when that one has gone, it goes on where it was.
    expect(log.do(command.join("b", "bob"))).toBe("done");
    expect(log.do(command.join("a", "bob"))).toBe("groupFull");
    log.batch(command.leave("b", "bob"), command.acknowledge("b", "bob", 99), command.closeRoom("b"));
    expect(log.do(command.join("a", "bob"))).toBe("done");
    expect(log.state.room("a")).toMatchObject({ line, head: 1, first: 2 });
    expect(log.post({ room: "a", from: "bob", cid: "1" }).seq).toBe(2);
  });

  test("[ROOM12] the lobby, private and direct rooms are not given back; a deleted room is", () => {
    const log = new GroupLog({ groupRoomsMax: 4 });
    log.set({ kind: "founding" });
    log.do(command.join("@alice,bob", "alice"));
    for (const user of ["alice", "bob"]) log.do(command.acknowledge("@alice,bob", user, 99));
    log.do(command.join("den", "eve", true));
    log.batch(command.leave("den", "eve"), command.acknowledge("den", "eve", 99));
    for (const room of ["lobby", "@alice,bob", "den"]) {
      log.do(command.closeRoom(room));
      expect(log.state.room(room)).toBeDefined();
    }
    expect(log.do(command.join("den", "eve"))).toBe("notFound");
    log.do(command.join("a", "alice"));
    log.do(command.deleteRoom("a", ""));
    log.batch(command.acknowledge("a", "alice", 99), command.closeRoom("a"));
    expect(log.do(command.join("b", "bob"))).toBe("done");
  });

  test("[SNAP4] rooms that go and come while a snapshot is written do not change it", () => {
    const log = founded();
    for (let i = 0; i < 50; i++) log.do(command.join(`r${i}`, "eve"));
    const forget = (name: string): void =>
      void log.batch(command.leave(name, "eve"), command.acknowledge(name, "eve", 1e6), command.closeRoom(name));
    forget("r7");
    const whole = log.state.snapshot();
    const cut = log.state.cut({ bytes: 64, ids: 1 });
    cut.step();
    forget("r3");
    forget("r40");
    for (const name of ["x", "y", "z", "r40"]) log.do(command.join(name, "eve"));
    while (!cut.step());
    expect(Buffer.compare(Buffer.concat(cut.pages()), whole)).toBe(0);
  });

  test("[ROOM13] an invitation takes no place of what one joins oneself, and becomes one's own by joining", () => {
    const log = new GroupLog({ roomsMax: 1, invitedRoomsMax: 2 });
    log.set({ kind: "founding" });
    for (const room of ["a", "b", "c"]) log.do(command.join(room, "eve", true));
    const notices = ["a", "b", "c"].map((room) => {
      log.do(command.invite(room, "eve", "bob"));
      return [...log.state.room(room)!.outbox.values()].at(-1)!;
    });
    expect(notices.map(({ kind }) => kind)).toEqual([4, 4, 4]);
    const take = (room: string, number: number, kind: number): string =>
      log.do(command.notice(room, "bob", kind as 1, number));
    expect(take("a", notices[0]!.number, 4)).toBe("done");
    expect(take("b", notices[1]!.number, 4)).toBe("done");
    expect(take("c", notices[2]!.number, 4)).toBe("tooLarge");
    expect(take("own", 1, noticeKinds.added)).toBe("done");
    expect(log.state.user("bob")).toMatchObject({ joinedCount: 1, invitedCount: 2 });
    // Joining what one was invited to says so to the user's state, once.
    expect(log.do(command.join("a", "bob"))).toBe("done");
    expect([...log.state.room("a")!.outbox.values()].at(-1)).toMatchObject({ kind: noticeKinds.added, user: "bob" });
    const { noticeNumber } = log.state.room("a")!;
    log.restart();
    expect(log.do(command.join("a", "bob"))).toBe("done");
    expect(log.state.room("a")!.noticeNumber).toBe(noticeNumber);
    expect(log.state.user("bob")).toMatchObject({ joinedCount: 1, invitedCount: 2 });
  });

  test("[ROOM9] the line is the cluster's, until a line setting makes another", () => {
    const log = founded();
    const line = log.state.line;
    expect(new GroupLog().state.line).toBe(line);
    log.set({ kind: "line", number: 1 });
    expect(log.state.line).not.toBe(line);
    expect(log.state.room("lobby")!.line).toBe(log.state.line);
    const changed = log.state.line;
    log.restart();
    expect(log.state.room("lobby")!.line).toBe(changed);
  });

  test("[SLOT1] the slot is the first 12 bits of SHA-256 of the name's bytes", () => {
    const log = founded();
    log.do(command.join("zürich", "alice"));
    const digest = createHash("sha256").update("zürich").digest("hex");
    expect(log.state.room("zürich")!.slot).toBe(Number.parseInt(digest.slice(0, 3), 16));
    expect(slotOf(bytesOf("zürich"))).toBe(log.state.room("zürich")!.slot);
  });
});

describe("messages about messages", () => {
  const written = (): GroupLog => {
    const log = club();
    for (const cid of ["1", "2", "3"]) log.post({ room: "club", from: "bob", cid });
    log.do(command.invite("club", "alice", "carol"));
    return log;
  };

  test("[REF1] only the author, a moderator or an owner edits or deletes", () => {
    const log = written();
    const edit = { room: "club", kind: "edit", ref: 2, refFrom: "bob" };
    expect(log.try({ ...edit, from: "bob", cid: "e1" })).toBe("stored");
    expect(log.try({ ...edit, from: "bob", cid: "e2", kind: "delete" })).toBe("stored");
    expect(log.try({ ...edit, from: "carol", cid: "e1" })).toBe("forbidden");
    expect(log.try({ ...edit, from: "carol", cid: "e1", kind: "delete" })).toBe("forbidden");
    // A name that begins like the author's.
    expect(log.try({ ...edit, refFrom: "bo", from: "bob", cid: "e3" })).toBe("forbidden");
    expect(log.try({ ...edit, from: "alice", cid: "e1" })).toBe("stored");
    log.do(command.role("club", "alice", "carol", roles.moderator));
    expect(log.try({ ...edit, from: "carol", cid: "e1" })).toBe("stored");
  });

  test("[REF2] what is referred to must be kept", () => {
    const log = written();
    log.do(command.trim("club", 2));
    const about = { room: "club", from: "bob", refFrom: "bob" };
    for (const kind of ["edit", "delete", "react", "unreact"]) {
      expect([kind, log.try({ ...about, cid: "x", kind, ref: 1 })]).toEqual([kind, "gone"]);
      expect([kind, log.try({ ...about, cid: "x", kind, ref: 4 })]).toEqual([kind, "notFound"]);
    }
    // A kind of somebody's own may name what is gone, but not what is yet to come.
    expect(log.try({ ...about, cid: "y1", kind: "reply", ref: 1 })).toBe("stored");
    expect(log.try({ ...about, cid: "y2", kind: "reply", ref: 9 })).toBe("notFound");
    expect(log.try({ ...about, cid: "y3", ref: 9 })).toBe("notFound");
  });

  test("[REF3] what changes or reacts is not itself changed, and needs a ref", () => {
    const log = written();
    const about = { room: "club", from: "bob", refFrom: "bob", ref: 2 };
    for (const refKind of ["edit", "delete", "react", "unreact", "sys.join"]) {
      expect([refKind, log.try({ ...about, cid: "x", kind: "edit", refKind })]).toEqual([refKind, "notAMessage"]);
    }
    expect(log.try({ ...about, cid: "y1", kind: "edit", refKind: "text" })).toBe("stored");
    expect(log.try({ ...about, cid: "y2", kind: "edit", refKind: "editor" })).toBe("stored");
    for (const kind of ["edit", "delete", "react", "unreact"]) {
      expect([kind, log.try({ room: "club", from: "bob", cid: "z", kind })]).toEqual([kind, "refNeeded"]);
    }
  });

  test("[REF4] whoever may read may react", () => {
    const log = written();
    expect(log.try({ room: "club", from: "carol", cid: "r1", kind: "react", ref: 1 })).toBe("stored");
    expect(log.try({ room: "club", from: "carol", cid: "r2", kind: "unreact", ref: 1 })).toBe("stored");
    // Also where there is nothing to take back: it has a place of its own, by which a repeat is known.
    expect(log.try({ room: "club", from: "bob", cid: "r1", kind: "unreact", ref: 1 })).toBe("stored");
    expect(log.try({ room: "club", from: "bob", cid: "r1", kind: "unreact", ref: 1 })).toBe("repeat");
    expect(log.try({ room: "club", from: "eve", cid: "r1", kind: "react", ref: 1 })).toBe("notFound");
    log.post({ room: "lobby", from: "bob", cid: "1" });
    expect(log.try({ room: "lobby", from: "eve", cid: "r1", kind: "react", ref: 1 })).toBe("stored");
  });

  test("[REF5] nobody posts in the server's name", () => {
    const log = written();
    expect(log.try({ room: "club", from: "alice", cid: "s1", kind: "sys.join" })).toBe("forbidden");
    expect(log.try({ room: "club", from: "alice", cid: "s2", kind: "system" })).toBe("stored");
  });

  test("[REF6] an edit that does not yet say whose message it changes is looked up", () => {
    const log = written();
    expect(log.try({ room: "club", from: "bob", cid: "e1", kind: "edit", ref: 2 })).toBe("recheck");
  });
});

describe("marks and notices", () => {
  test("[MARK1] a mark only rises, never above the head, and goes with its owner", () => {
    const log = club();
    for (const cid of ["1", "2", "3"]) log.post({ room: "club", from: "alice", cid });
    const room = log.state.room("club")!;
    expect(log.do(command.read("club", "bob", 2))).toBe("done");
    expect(log.events("read")).toMatchObject([{ user: "bob", seq: 2 }]);
    expect(log.do(command.read("club", "bob", 1))).toBe("done");
    expect(log.events("read")).toEqual([]);
    expect(room.readMark("bob")).toBe(2);
    log.do(command.read("club", "bob", 99));
    expect(room.readMark("bob")).toBe(3);
    log.do(command.leave("club", "bob"));
    log.do(command.invite("club", "alice", "bob"));
    expect(room.readMark("bob")).toBe(0);
  });

  test("[MARK1] a visitor's mark stays when the visitor joins", () => {
    const log = founded();
    log.post({ room: "lobby", from: "alice", cid: "1" });
    log.do(command.read("lobby", "bob", 1));
    log.do(command.join("lobby", "bob"));
    expect(log.state.room("lobby")!.readMark("bob")).toBe(1);
    expect(log.state.room("lobby")!.visitorMarks.size).toBe(0);
  });

  test("[NOTICE1] what a user must know waits in the outbox until it is acknowledged", () => {
    const log = club();
    const room = log.state.room("club")!;
    expect([...room.outbox.values()]).toEqual([
      { number: 1, kind: noticeKinds.added, user: "alice" },
      { number: 2, kind: noticeKinds.invited, user: "bob" },
    ]);
    // Bob is put out before he was told that he is in: one notice is left, and it is the later one.
    log.do(command.kick("club", "alice", "bob"));
    expect([...room.outbox.values()].at(-1)).toEqual({ number: 3, kind: noticeKinds.removed, user: "bob" });
    expect(room.outbox.size).toBe(2);
    // The acknowledgement of the former says nothing of the later.
    log.do(command.acknowledge("club", "bob", 2));
    expect(room.outbox.size).toBe(2);
    log.restart();
    log.do(command.acknowledge("club", "bob", 3));
    log.do(command.acknowledge("club", "bob", 3));
    expect([...log.state.outboxes()].map((one) => one.name)).toEqual(["club"]);
    log.do(command.deleteRoom("club", "alice"));
    expect([...log.state.outboxes()].flatMap((one) => [...one.outbox.values()])).toEqual([
      { number: 4, kind: noticeKinds.removed, user: "alice" },
    ]);
    log.do(command.acknowledge("club", "alice", 4));
    expect([...log.state.outboxes()]).toEqual([]);
  });

  test("[NOTICE2] the highest number decides, in whatever order and how often they come", () => {
    const log = founded();
    log.do(command.notice("club", "bob", noticeKinds.added, 2));
    expect(log.events("told")).toMatchObject([{ room: "club", kind: noticeKinds.added }]);
    log.do(command.notice("club", "bob", noticeKinds.added, 2));
    expect(log.events("told")).toEqual([]);
    expect(log.state.user("bob")!.rooms()).toEqual(["club"]);
    log.do(command.notice("club", "bob", noticeKinds.removed, 5));
    log.do(command.notice("club", "bob", noticeKinds.added, 4));
    expect(log.state.user("bob")!.rooms()).toEqual([]);
    // Removed before ever added: it must be known when the addition comes late.
    log.do(command.notice("ops", "bob", noticeKinds.removed, 8));
    log.do(command.notice("ops", "bob", noticeKinds.added, 7));
    expect(log.state.user("bob")!.rooms()).toEqual([]);
    log.do(command.notice("@alice,bob", "bob", noticeKinds.direct, 2));
    log.restart();
    expect(log.state.user("bob")!.directRooms()).toEqual(["@alice,bob"]);
    log.do(command.notice("ops", "bob", noticeKinds.added, 8));
    expect(log.state.user("bob")!.rooms()).toEqual([]);
  });

  test("[NOTICE3] of the rooms a user left only the last are kept", () => {
    const log = new GroupLog({ roomsMax: 2 });
    log.do(command.notice("in", "bob", noticeKinds.added, 1));
    for (const room of ["c", "a", "b", "d"]) log.do(command.notice(room, "bob", noticeKinds.removed, 1));
    expect([...log.state.user("bob")!.told.keys()]).toEqual(["in", "b", "d"]);
  });
});
