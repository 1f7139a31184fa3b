import { expect, test } from "vitest";
import { HeldDisk, turns } from "./held-disk.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const small = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, idWindowEntries: 8, ringSlots: 64 };

const told = (frame: Record<string, unknown>): string =>
  frame.t === "ok" ? `${String(frame.cid)} at ${String(frame.seq)}` : String(frame.code);

/** Bob's posts stand before alice's in the log and push the window past the head that alice knew. */
function crowd(bob: TestClient, count: number): Promise<unknown>[] {
  return Array.from({ length: count }, (_, i) =>
    bob.ask({ t: "send", room: "lobby", cid: `b${i}`, body: "x", since: 1_000 }),
  );
}

test("chained posts that all come back undecided are stored in their order", async () => {
  const { server } = await startTestServer({ limits: small });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  const crowded = crowd(bob, 20);
  const chain = ["a1", "a2", "a3", "a4"].map((cid, i) =>
    alice.ask({ t: "send", room: "lobby", cid, body: "x", since: 0, ...(i === 0 ? {} : { prev: `a${i}` }) }),
  );
  expect((await Promise.all(chain)).map(told)).toEqual(["a1 at 21", "a2 at 22", "a3 at 23", "a4 at 24"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("what follows a chain that was sent again waits for it, and a chain behind a refused post is refused", async () => {
  const disk = new HeldDisk();
  const { server } = await startTestServer({ limits: small, fileSystem: disk.fileSystem });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  const sent = (cid: string, prev: string | null, since = 0) =>
    alice.ask({ t: "send", room: "lobby", cid, body: "x", since, ...(prev === null ? {} : { prev }) });
  disk.hold(["writeDurable"], "journal/");
  const crowded = crowd(bob, 20);
  const early = [sent("a1", null), sent("a2", "a1")];
  await turns();
  // These are in the next entry: by the time it is applied, the two before were proposed again behind it.
  const late = [sent("a3", "a2"), sent("a4", "a3"), sent("a9", "nothing"), sent("a10", "a9")];
  await turns();
  disk.letGo();
  const answers = await Promise.all([...early, ...late]);
  expect(answers.map(told)).toEqual(["a1 at 21", "a2 at 22", "a3 at 23", "a4 at 24", "order", "order"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("a chain whose first is a repeat finds it where it is stored", async () => {
  const { server } = await startTestServer({ limits: small });
  const [alice, bob] = [await TestClient.open(server, "alice"), await TestClient.open(server, "bob")];
  await alice.ask({ t: "send", room: "lobby", cid: "a1", body: "x" });
  const crowded = crowd(bob, 20);
  const again = alice.ask({ t: "send", room: "lobby", cid: "a1", body: "x" });
  const next = alice.ask({ t: "send", room: "lobby", cid: "a2", prev: "a1", body: "x", since: 1 });
  expect([await again, await next].map(told)).toEqual(["a1 at 1", "a2 at 22"]);
  await Promise.all(crowded);
  await server.stop(0);
});

test("what is sent without prev, and with a head long past, keeps the order it came in", async () => {
  const { server } = await startTestServer({ limits: { ...small, idWindowEntries: 32 } });
  const alice = await TestClient.open(server, "alice");
  const seqs: unknown[] = [];
  let next = 0;
  // Ten are always on their way: while some are looked up and proposed again, those behind them come.
  const stream = async (): Promise<void> => {
    while (next < 200) {
      const i = next++;
      const answer = await alice.ask({ t: "send", room: "lobby", cid: `a${i}`, body: "x", since: 0 });
      seqs[i] = answer.seq;
    }
  };
  await Promise.all(Array.from({ length: 10 }, stream));
  expect(seqs).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  await server.stop(0);
});
