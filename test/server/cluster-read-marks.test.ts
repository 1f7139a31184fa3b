import { expect, test } from "vitest";
import type { RoomName, Seq } from "../../src/base/ids.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { caller, Town } from "./town.ts";

test("a read mark given to a server that lags is not cut to what that server has", async () => {
  const town = await Town.founded();
  const room = town.client("alice", ["n1"]).room("lobby");
  await town.after("stored", room.send("one"));
  await town.settled();
  town.partition(["n3"]);
  await town.after("stored without n3", room.send("two"));
  const lagging = town.of("n3").now;
  expect(lagging.state.room("lobby")?.head).toBe(1);
  // Whoever has read both elsewhere comes here, in the moment in which n3 reaches the others again.
  town.heal();
  const lobby = "lobby" as RoomName;
  const marked = lagging.requests.handle(caller("bob"), { t: "read", id: 1 as RequestId, room: lobby, seq: 2 as Seq });
  await town.after("marked", marked);
  await town.settled();
  expect(lagging.state.room(lobby)?.readMark("bob")).toBe(2);
});
