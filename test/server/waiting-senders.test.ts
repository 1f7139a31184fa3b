import { expect, test } from "vitest";
import { startTestServer, TestClient } from "./server-world.ts";

test("a sender that waits for a free slot goes on, also when every slot was taken by repeats", async () => {
  const { server } = await startTestServer({ limits: { ringSlots: 4 } });
  const alice = await TestClient.open(server, "alice");
  const send = (i: number) => alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x" });
  for (let i = 1; i <= 4; i++) await send(i);
  // The repeats take all four slots of the ring, and store nothing; the fifth waits behind them.
  const answers = await Promise.all([1, 2, 3, 4, 5].map(send));
  expect(answers.map(({ seq, dup }) => `${String(seq)} ${String(dup)}`)).toEqual([
    "1 true",
    "2 true",
    "3 true",
    "4 true",
    "5 false",
  ]);
  await server.stop(0);
});
