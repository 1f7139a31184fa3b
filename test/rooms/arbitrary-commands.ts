import fc from "fast-check";
import type { Command } from "../../src/rooms/commands.ts";
import { command, type Post } from "./group-log.ts";

export const roomNames = ["lobby", "ops", "club", "@alice,bob", "@bob,bob"];
export const userNames = ["alice", "bob", "carol"];

const aRoom = fc.constantFrom(...roomNames);
const aUser = fc.constantFrom(...userNames);
const by = fc.constantFrom("", ...userNames);
const aCid = fc.constantFrom("1", "2", "3", "4", "5");
const posts: fc.Arbitrary<Post> = fc.record({
  room: aRoom,
  from: aUser,
  cid: aCid,
  body: fc.constantFrom("x", "y"),
  kind: fc.constantFrom("", "", "", "", "edit", "react", "note", "sys.x"),
  ref: fc.constantFrom(0, 0, 0, 1, 2, 9),
  refFrom: fc.constantFrom("", ...userNames),
  refKind: fc.constantFrom("", "", "text", "edit"),
  prev: fc.oneof({ weight: 3, arbitrary: fc.constant("") }, aCid),
  prevSeq: fc.constantFrom(0, 0, 0, 1, 30),
  checked: fc.oneof({ weight: 2, arbitrary: fc.constant(1_000) }, fc.nat(12)),
});
const plainPosts: fc.Arbitrary<Post> = fc.record({
  room: aRoom,
  from: aUser,
  cid: fc.constantFrom("1", "2", "3", "4", "5", "6", "7", "8", "9"),
  checked: fc.oneof({ weight: 4, arbitrary: fc.constant(1_000) }, fc.nat(12)),
});
/** Commands that meet one another: few rooms, few people, few ids. */
export const commands: fc.Arbitrary<Command | Post> = fc.oneof(
  { weight: 6, arbitrary: posts },
  { weight: 10, arbitrary: plainPosts },
  { weight: 3, arbitrary: fc.tuple(aRoom, aUser, fc.boolean()).map(([r, u, p]) => command.join(r, u, p)) },
  fc.tuple(aRoom, aUser).map(([r, u]) => command.leave(r, u)),
  fc.tuple(aRoom, by, aUser).map(([r, b, u]) => command.kick(r, b, u)),
  fc.tuple(aRoom, by, aUser, fc.constantFrom(1, 2, 3)).map(([r, b, u, role]) => command.role(r, b, u, role as 1)),
  fc.tuple(aRoom, by, aUser).map(([r, b, u]) => command.invite(r, b, u)),
  fc.tuple(aRoom, aUser, fc.nat(20)).map(([r, u, seq]) => command.read(r, u, seq)),
  fc.tuple(aRoom, fc.nat(20)).map(([r, first]) => command.trim(r, first)),
  fc.tuple(aRoom, aUser).map(([r, b]) => command.deleteRoom(r, b)),
  fc.tuple(aRoom, by, fc.nat(9)).map(([r, b, messages]) => command.retention(r, b, { messages })),
  fc.tuple(aRoom, aUser, fc.constantFrom(1, 2, 3, 4), fc.nat(6)).map(([r, u, k, n]) => command.notice(r, u, k as 1, n)),
  fc.tuple(aRoom, aUser, fc.constantFrom(1, 3, 99)).map(([r, u, n]) => command.acknowledge(r, u, n)),
  { weight: 2, arbitrary: aRoom.map((r) => command.closeRoom(r)) },
);
