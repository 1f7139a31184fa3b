import { expect, test } from "vitest";
import { turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

test("a sender that waits for a free slot goes on, also when every slot was taken by repeats", async () => {
  const { server } = await startTestServer({ limits: { ringSlots: 4 } });
  const alice = await TestClient.open(server, "alice");
  const send = (i: number) => alice.ask({ t: "send", room: "lobby", cid: `c${i}`, body: "x" });
  for (let i = 1; i <= 4; i++) await send(i);
  // The repeats take all four slots of the ring, and store nothing; the fifth waits behind them.
  const answers: string[] = [];
  for (const i of [1, 2, 3, 4, 5]) void send(i).then(({ seq, dup }) => answers.push(`${String(seq)} ${String(dup)}`));
  await turns();
  expect(answers).toEqual(["1 true", "2 true", "3 true", "4 true", "5 false"]);
  await server.stop(0);
});
