import { expect, test } from "vitest";
import type { LogIndex, RoomName } from "../../src/base/ids.ts";
import type { RequestId, ServerFrame, ServerFrameOf } from "../../src/protocol/schema.ts";
import { caller, type Resident, Town } from "./town.ts";

let lastId = 0;
const id = (): RequestId => ++lastId;

const rooms = (at: Resident, atLeast?: LogIndex): Promise<ServerFrame> =>
  at.now.requests.handle(caller("alice"), { t: "rooms", id: id(), ...(atLeast === undefined ? {} : { atLeast }) });

const namesIn = (answer: ServerFrame): string[] =>
  (answer as ServerFrameOf<"okRooms">).rooms.map(({ room }) => String(room));

async function joined(town: Town, room: string): Promise<LogIndex> {
  const join = { t: "join", id: id(), room: room as RoomName } as const;
  const answer = await town.after("joined", town.of("n1").now.requests.handle(caller("alice"), join));
  const { position } = answer as ServerFrameOf<"okJoin">;
  return position!;
}

test("a list of rooms is of no earlier log than was seen on another server: who lags says so", async () => {
  const town = await Town.founded();
  town.partition(["n3"]);
  const position = await joined(town, "den");
  const lagging = town.of("n3");
  expect(lagging.now.state.appliedIndex).toBeLessThan(position);
  // Whoever does not ask for it is told what is here.
  expect(namesIn(await town.after("told", rooms(lagging)))).toEqual([]);
  await expect(town.after("refused", rooms(lagging, position))).rejects.toMatchObject({ code: "behind" });
  // Who leads has it, and is not held up.
  expect(namesIn(await town.after("told", rooms(town.of("n1"), position)))).toEqual(["den"]);
});

test("who lags waits for a position, and answers as soon as it is there", async () => {
  const town = await Town.founded();
  town.partition(["n3"]);
  const position = await joined(town, "den");
  const asked = rooms(town.of("n3"), position);
  await town.rest(200);
  town.heal();
  const answer = await town.after("told", asked);
  expect(namesIn(answer)).toEqual(["den"]);
  expect((answer as ServerFrameOf<"okRooms">).position).toBeGreaterThanOrEqual(position);
});

test("a seq of a room may be asked for too, though one entry of the log holds many messages", async () => {
  const town = await Town.founded();
  const room = town.client("alice", ["n1"]).room("den");
  await town.after("joined", room.join());
  const sent = Array.from({ length: 200 }, (_, at) => room.send(`m${at}`));
  for (const one of sent) await town.after("stored", Promise.resolve(one));
  const follower = town.of("n3");
  expect(town.of("n1").now.state.appliedIndex).toBeLessThan(200);
  const answer = await town.after("told", rooms(follower, 200 as LogIndex));
  expect((answer as ServerFrameOf<"okRooms">).rooms).toMatchObject([{ room: "den", head: 200 }]);
  await expect(town.after("refused", rooms(follower, 100_000 as LogIndex))).rejects.toMatchObject({ code: "behind" });
});
