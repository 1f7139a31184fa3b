import { expect, test } from "vitest";
import { type Command, roles } from "../../src/rooms/commands.ts";
import { command, GroupLog, type Post } from "./group-log.ts";

/** Who asks: by the name of the one who does. */
const askers = ["owner", "moderator", "member", "visitor", ""] as const;
type Asker = (typeof askers)[number];
type Row = readonly [owner: string, moderator: string, member: string, visitor: string, cluster: string | null];

/** A room with one of each role, and one more member; `visitor` is nobody in it. Two messages: the member's and the owner's. */
function room(isPrivate: boolean): GroupLog {
  const log = new GroupLog();
  log.set({ kind: "founding" });
  log.do(command.join("hall", "owner", isPrivate));
  for (const user of ["moderator", "member", "other"]) log.do(command.invite("hall", "owner", user));
  log.do(command.role("hall", "owner", "moderator", roles.moderator));
  for (const from of ["other", "owner"]) log.post({ room: "hall", from, cid: "1" });
  return log;
}

const about = (by: string, kind: string): Post => ({
  room: "hall",
  from: by,
  cid: "x",
  kind,
  ref: 1,
  refFrom: "other",
  refKind: "text",
});

/** Everything a person or the cluster can ask of a room. */
const operations: Readonly<Record<string, (by: Asker) => Command | Post>> = {
  post: (by) => ({ room: "hall", from: by, cid: "x" }),
  react: (by) => about(by, "react"),
  "edit another's": (by) => about(by, "edit"),
  "delete another's": (by) => about(by, "delete"),
  "edit one's own": (by) => ({ ...about(by, "edit"), refFrom: by }),
  join: (by) => command.join("hall", by),
  leave: (by) => command.leave("hall", by),
  "read mark": (by) => command.read("hall", by, 1),
  invite: (by) => command.invite("hall", by, "guest"),
  "put out a member": (by) => command.kick("hall", by, "other"),
  "put out a moderator": (by) => command.kick("hall", by, "moderator"),
  "put out the owner": (by) => command.kick("hall", by, "owner"),
  "give a role": (by) => command.role("hall", by, "other", roles.moderator),
  retention: (by) => command.retention("hall", by, { messages: 1 }),
  "delete the room": (by) => command.deleteRoom("hall", by),
};

const hidden = "notFound";
/** What owner, moderator, member, visitor and the cluster are answered; null: the cluster does not do this. */
const open: Readonly<Record<keyof typeof operations, Row>> = {
  post: ["stored", "stored", "stored", "stored", null],
  react: ["stored", "stored", "stored", "stored", null],
  "edit another's": ["stored", "stored", "forbidden", "forbidden", null],
  "delete another's": ["stored", "stored", "forbidden", "forbidden", null],
  "edit one's own": ["stored", "stored", "stored", "stored", null],
  join: ["done", "done", "done", "done", null],
  leave: ["done", "done", "done", "done", null],
  "read mark": ["done", "done", "done", "done", null],
  invite: ["done", "done", "forbidden", "forbidden", "done"],
  "put out a member": ["done", "done", "forbidden", "forbidden", "done"],
  "put out a moderator": ["done", "forbidden", "forbidden", "forbidden", "done"],
  "put out the owner": ["done", "forbidden", "forbidden", "forbidden", "done"],
  "give a role": ["done", "forbidden", "forbidden", "forbidden", "done"],
  retention: ["done", "forbidden", "forbidden", "forbidden", "done"],
  "delete the room": ["done", "forbidden", "forbidden", "forbidden", "done"],
};

for (const isPrivate of [false, true]) {
  test(`[ROOM6] every operation by every role, in ${isPrivate ? "a private" : "an open"} room`, () => {
    expect(Object.keys(open)).toEqual(Object.keys(operations));
    const answers: Record<string, (string | null)[]> = {};
    const expected: Record<string, (string | null)[]> = {};
    for (const [name, row] of Object.entries(open)) {
      // A private room is not there for whoever is not in it, whatever is tried; all else is the same.
      expected[name] = row.map((answer, i) => (isPrivate && askers[i] === "visitor" ? hidden : answer));
      answers[name] = askers.map((by, i) =>
        row[i] === null ? null : room(isPrivate).batch(operations[name]!(by))[0]!,
      );
    }
    expect(answers).toEqual(expected);
  });
}
