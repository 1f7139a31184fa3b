import { expect, test } from "vitest";
import { type Entry, entryTypes } from "../../src/base/entry.ts";
import type { Room } from "../../src/rooms/room.ts";
import { command, GroupLog, Listener, type Post, record } from "./group-log.ts";

/** Says of every post in which room it was proposed. */
class Proposer extends Listener {
  readonly asked: number[] = [];
  readonly #found: (Room | undefined)[];

  constructor(found: (Room | undefined)[]) {
    super();
    this.#found = found;
  }

  proposedIn(position: number): Room | undefined {
    this.asked.push(position);
    return this.#found[position];
  }
}

function entryOf(log: GroupLog, posts: Post[]): Entry {
  const payload = Buffer.concat(posts.map(record));
  log.append(entryTypes.commands, payload);
  return log.entries.at(-1)!;
}

test("[ORDER1] where a post was proposed saves a search and changes nothing, also when that room is gone", () => {
  // The proposer's state, and one that follows: they hear the same entries.
  const logs = [new GroupLog(), new GroupLog({}, 99)] as const;
  const [log, other] = logs;
  for (const each of logs) {
    each.set({ kind: "founding" });
    for (const name of ["a", "b", "gone"]) each.do(command.join(name, "alice"));
  }
  const found = ["a", "b", "gone"].map((name) => log.state.room(name));
  // Nothing was said in it: it is taken out, and another room has its place.
  for (const each of logs) {
    each.batch(command.leave("gone", "alice"), command.acknowledge("gone", "alice", 99), command.closeRoom("gone"));
    each.do(command.join("next", "alice"));
  }
  expect(log.state.room("next")!.place).toBe(found[2]!.place);

  const posts: Post[] = [
    { room: "a", from: "alice", cid: "1" },
    { room: "b", from: "alice", cid: "2" },
    { room: "gone", from: "alice", cid: "3" },
    { room: "next", from: "alice", cid: "4" },
    { room: "lobby", from: "alice", cid: "5" },
    { room: "a", from: "alice", cid: "6", prev: "1" },
    { room: "b", from: "alice", cid: "7", prev: "1" },
  ];
  const entry = entryOf(other, posts);
  const proposer = new Proposer([found[0], found[1], found[2], undefined, undefined, found[0], found[1]]);
  log.state.apply(entry, entry.payload.slice(), proposer);
  const codes = ["stored", "stored", "notFound", "stored", "stored", "stored", "order"];
  expect(proposer.outcomes.map(({ code }) => code)).toEqual(codes);
  expect(proposer.heard).toEqual(other.heard.heard);
  expect(proposer.asked).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect(log.state.hash()).toBe(other.state.hash());
});

test("[PREV1] in turns in two rooms a message follows the newest of its sender only, as long as the window holds it", () => {
  const log = new GroupLog({ idWindowEntries: 8 });
  log.set({ kind: "founding" });
  log.do(command.join("a", "alice"));
  log.do(command.join("b", "alice"));
  const turn = (n: number): Post[] => [
    { room: "a", from: "alice", cid: `a${n}`, ...(n > 0 && { prev: `a${n - 1}` }), checked: n },
    { room: "b", from: "bob", cid: `b${n}`, ...(n > 0 && { prev: `b${n - 1}` }), checked: n },
  ];
  for (let n = 0; n < 20; n++) expect(log.batch(...turn(n))).toEqual(["stored", "stored"]);
  // The newest of each room, asked for by the other sender, or in the other room.
  expect(log.try({ room: "a", from: "bob", cid: "x", prev: "a19", checked: 20 })).toBe("recheck");
  expect(log.try({ room: "b", from: "bob", cid: "x", prev: "a19", checked: 20 })).toBe("recheck");
  // Others fill the window: what was newest in its room is in no window any more.
  for (let n = 0; n < 8; n++) log.post({ room: "lobby", from: "carol", cid: `c${n}`, checked: n });
  expect(log.try({ room: "a", from: "alice", cid: "a20", prev: "a19", checked: 20 })).toBe("recheck");
  expect(log.try({ room: "a", from: "alice", cid: "a20", prev: "a19", prevSeq: 20, checked: 20 })).toBe("stored");
  log.restart();
  expect(log.try({ room: "a", from: "alice", cid: "a21", prev: "a20", checked: 21 })).toBe("stored");
});
