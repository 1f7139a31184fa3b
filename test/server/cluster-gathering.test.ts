import { expect, test } from "vitest";
import type { Cid, RoomName } from "../../src/base/ids.ts";
import { millis } from "../../src/base/units.ts";
import type { RequestId } from "../../src/protocol/schema.ts";
import { Town, caller } from "./town.ts";

const lobby = "lobby" as RoomName;
const sends = 60;

/** Sends to one server, each in a turn of its own, far less than a flush apart. Answers how many entries they became. */
async function sent(town: Town, name: string): Promise<number> {
  const { singleSends } = town.of(name).now;
  const before = town.leader!.now.driver.lastIndex;
  const answers: Promise<unknown>[] = [];
  for (let at = 0; at < sends; at++) {
    town.scheduler.after(millis(at * 0.02), "a send", () => {
      const frame = { t: "send", id: at as RequestId, room: lobby, cid: `c${at}` as Cid, body: `${at}` } as const;
      answers.push(singleSends.send(caller(`user${at}`), frame));
    });
  }
  await town.until("all are sent", () => answers.length === sends);
  const stored = await town.after("all are stored", Promise.all(answers));
  expect(stored.map((answer) => (answer as { seq: number }).seq)).toEqual(
    Array.from({ length: sends }, (_, at) => at + 1),
  );
  await town.settled();
  return town.leader!.now.driver.lastIndex - before;
}

test.each([
  ["the leader", "n1"],
  ["a follower", "n3"],
])(
  "what comes to %s in many turns goes in few entries: two are on their way at a time, and the rest is gathered",
  async (_, name) => {
    const town = await Town.founded();
    expect(town.leader?.name).toBe("n1");
    const entries = await sent(town, name);
    expect(entries).toBeGreaterThan(2);
    expect(entries).toBeLessThan(sends / 4);
  },
);
