import { expect, test } from "vitest";
import { startTestServer, TestClient } from "./server-world.ts";

const flood = 1_000;

test("what somebody says once is stored ahead of what another sent in one go before", async () => {
  const { server } = await startTestServer();
  const [loud, quiet] = [await TestClient.open(server, "loud"), await TestClient.open(server, "quiet")];
  await loud.ask({ t: "join", room: "market" });
  await quiet.ask({ t: "join", room: "corner" });
  const answers: string[] = [];
  const listen = (client: TestClient, name: string): void => {
    const write = client.write.bind(client);
    client.write = (pieces) => {
      const lines = Buffer.concat(pieces).toString().split("\n").slice(0, -1);
      for (const line of lines) if (line.includes('"of":"send"')) answers.push(name);
      write(pieces);
    };
  };
  listen(loud, "loud");
  listen(quiet, "quiet");
  for (let id = 0; id < flood; id++) loud.say({ t: "send", id, room: "market", cid: `c${id}`, body: "buy!" });
  quiet.say({ t: "send", id: 1, room: "corner", cid: "word", body: "hello" });
  await expect.poll(() => answers.length).toBe(flood + 1);
  // Behind what is taken of the other for one flush, and not behind the thousand.
  expect(answers.indexOf("quiet")).toBeLessThanOrEqual(384);
  // Turns are shared out; the order of each sender stays.
  const page = await quiet.ask({ t: "hist", room: "corner" });
  expect(page).toMatchObject({ head: 1 });
  const sent = loud.frames.flatMap((frame) => (frame.t === "ok" && frame.of === "send" ? [frame] : []));
  expect(sent.map(({ cid }) => cid)).toEqual(Array.from({ length: flood }, (_, id) => `c${id}`));
  expect(sent.map(({ seq }) => seq)).toEqual(Array.from({ length: flood }, (_, id) => id + 1));
  await server.stop(0);
});

test("a frame that must wait is not passed because the connection's next turn has come", async () => {
  const { server } = await startTestServer({ limits: { idWindowEntries: 8 } });
  const loud = await TestClient.open(server, "loud");
  await loud.ask({ t: "join", room: "market" });
  for (let n = 0; n < 20; n++) await loud.ask({ t: "send", room: "market", cid: `old${n}`, body: "x" });
  // An id older than the window is looked up: those behind it wait, across many shares.
  const cids = ["old0", ...Array.from({ length: 400 }, (_, n) => `new${n}`), "old1"];
  const sent = cids.map((cid) => loud.ask({ t: "send", room: "market", cid, body: "x", since: 0 }));
  const answers = await Promise.all(sent);
  expect(answers.map(({ t }) => t)).toEqual(cids.map(() => "ok"));
  expect(answers.map(({ seq }) => seq)).toEqual([1, ...Array.from({ length: 400 }, (_, n) => 21 + n), 2]);
  await server.stop(0);
});
