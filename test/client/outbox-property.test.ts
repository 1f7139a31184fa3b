import fc from "fast-check";
import { expect, test } from "vitest";
import type { Fate } from "./model-server.ts";
import { MemoryStore } from "./memory-store.ts";
import { tell, world } from "./world.ts";
import type { SentMessage } from "../../src/client/sent-message.ts";

type Step =
  | { do: "send"; room: number }
  | { do: "fate"; fate: Fate; times: number }
  | { do: "wait"; ms: number }
  | { do: "cut" }
  | { do: "down"; ms: number }
  | { do: "abort"; index: number };

const fates: readonly Fate[] = [
  "store",
  "store, then cut",
  "cut",
  "cut, then store",
  "overloaded",
  "forbidden",
  "no_quorum, stored",
  "no_quorum, lost",
];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("send" as const), room: fc.nat(1) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("fate" as const),
      fate: fc.constantFrom(...fates),
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 1, 3, 40, 700) }) },
  { weight: 1, arbitrary: fc.constant({ do: "cut" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("down" as const), ms: fc.constantFrom(10, 3_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("abort" as const), index: fc.nat(30) }) },
);

interface Sent {
  readonly sent: SentMessage;
  readonly stop: AbortController;
  readonly room: string;
  readonly body: string;
  awaited: string;
}

/** Runs a script, heals everything, and answers with what was sent and what the model has. */
async function run(script: readonly Step[], seed: number) {
  const { clock, server, chat } = world(seed);
  server.sendsInFlightMax = 5;
  const client = chat({}, ["ws://a", "ws://b"]);
  const all: Sent[] = [];
  for (const now of script) {
    switch (now.do) {
      case "send": {
        const room = `r${now.room}`;
        const stop = new AbortController();
        const body = `m${all.length}`;
        const one: Sent = {
          sent: client.room(room).send(body, { signal: stop.signal }),
          stop,
          room,
          body,
          awaited: "",
        };
        one.sent.then(
          () => (one.awaited = "stored"),
          (error: unknown) => (one.awaited = error instanceof Error ? error.name : String(error)),
        );
        all.push(one);
        break;
      }
      case "fate":
        for (let i = 0; i < now.times; i++) server.fates.push(now.fate);
        break;
      case "wait":
        await clock.advance(now.ms);
        break;
      case "cut":
        server.cutAll();
        break;
      case "down":
        server.down.add("*");
        server.cutAll();
        clock.after(now.ms as never, () => server.down.clear());
        break;
      case "abort":
        all[now.index]?.stop.abort();
        break;
    }
  }
  server.fates = [];
  await clock.advance(120_000);
  return { clock, server, client, all };
}

test("[SDK20] [SDK21] [SDK22] whatever happens on the way: in order, at most once, and the outcomes are true", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), fc.nat(1_000_000), async (script, seed) => {
      const { clock, server, client, all } = await run(script, seed);
      const wasForbidden = script.some((now) => now.do === "fate" && now.fate === "forbidden");
      for (const room of ["r0", "r1"]) {
        const cids = server.cids(room);
        // At most once.
        expect(new Set(cids).size).toBe(cids.length);
        // In order, except for what was given up, which has given up its place too.
        const kept = all.filter(({ sent, stop }) => sent.room === room && !stop.signal.aborted);
        const order = kept.map(({ sent }) => sent.cid).filter((cid) => cids.includes(cid));
        expect(cids.filter((cid) => order.includes(cid as never))).toEqual(order);
      }
      for (const { sent, stop, awaited, room } of all) {
        const at = server.cids(room).indexOf(sent.cid) + 1;
        if (sent.state === "stored") expect(tell(sent)).toBe(`stored ${at}`);
        else if (sent.state === "refused") expect(at).toBe(0);
        // Once the servers answer again only that stays unknown which was given up, or forbidden after a lost attempt.
        else expect(stop.signal.aborted || wasForbidden).toBe(true);
        expect(awaited).not.toBe("");
      }
      await client.close();
      await clock.settle();
      expect(client.pending()).toEqual([]);
      expect(server.links.size).toBe(0);
    }),
    { numRuns: 200 },
  );
});

type Life =
  | { do: "send"; room: number }
  | { do: "fate"; fate: Fate }
  | { do: "wait"; ms: number }
  | { do: "reload" }
  | { do: "cut" };

const life: fc.Arbitrary<Life> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("send" as const), room: fc.nat(1) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("fate" as const),
      fate: fc.constantFrom(...fates.filter((fate) => fate !== "forbidden")),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 1, 3, 40, 700) }) },
  { weight: 1, arbitrary: fc.constant({ do: "reload" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "cut" as const }) },
);

test("[SDK28] over reloads: nothing that was accepted is lost, doubled or moved", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(life, { maxLength: 60, size: "max" }), fc.nat(1_000_000), async (script, seed) => {
      const { clock, server, chat } = world(seed);
      server.sendsInFlightMax = 4;
      const outbox = new MemoryStore();
      let client = chat({ outbox });
      const sent: { room: string; body: string }[] = [];
      for (const now of script) {
        if (now.do === "send") {
          const one = { room: `r${now.room}`, body: `m${sent.length}` };
          client.room(one.room).send(one.body);
          sent.push(one);
        } else if (now.do === "fate") server.fates.push(now.fate);
        else if (now.do === "wait") await clock.advance(now.ms);
        else if (now.do === "cut") server.cutAll();
        else {
          // What the store has not confirmed is not promised: a page that goes away is given that moment here.
          await clock.settle();
          await client.close();
          client = chat({ outbox });
        }
      }
      server.fates = [];
      await clock.advance(60_000);
      for (const room of ["r0", "r1"]) {
        expect(server.bodies(room)).toEqual(sent.filter((one) => one.room === room).map(({ body }) => body));
      }
      expect(outbox.sends.size).toBe(0);
      await client.close();
    }),
    { numRuns: 200 },
  );
});

test("[SDK29] over reloads, and whatever is given up: nothing twice, and what was not given up in its order", async () => {
  const step = fc.oneof(
    { weight: 12, arbitrary: life },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("giveUp" as const), which: fc.nat(5) }) },
    { weight: 1, arbitrary: fc.constant({ do: "dismiss" as const }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), fc.nat(1_000_000), async (script, seed) => {
      const { clock, server, chat } = world(seed);
      server.sendsInFlightMax = 4;
      const outbox = new MemoryStore();
      let client = chat({ outbox });
      const sent: { room: string; body: string }[] = [];
      const givenUp = new Set<string>();
      const dismissed = new Set<string>();
      for (const now of script) {
        if (now.do === "send") {
          const one = { room: `r${now.room}`, body: `m${sent.length}` };
          client.room(one.room).send(one.body);
          sent.push(one);
        } else if (now.do === "fate") server.fates.push(now.fate);
        else if (now.do === "wait") await clock.advance(now.ms);
        else if (now.do === "cut") server.cutAll();
        else if (now.do === "giveUp") {
          const one = client.pending()[now.which];
          if (one !== undefined) givenUp.add(one.content.body);
          one?.giveUp();
        } else if (now.do === "dismiss") {
          const [one] = client.unknown();
          if (one !== undefined) dismissed.add(one.content.body);
          one?.dismiss();
        } else {
          await clock.settle();
          await client.close();
          client = chat({ outbox });
        }
      }
      server.fates = [];
      await clock.advance(60_000);
      for (const room of ["r0", "r1"]) {
        const stored = server.bodies(room);
        expect(new Set(stored).size).toBe(stored.length);
        const wanted = sent.filter((one) => one.room === room && !givenUp.has(one.body)).map(({ body }) => body);
        expect(stored.filter((body) => !givenUp.has(body))).toEqual(wanted);
      }
      // Whatever is still in the store is something to look at, and was given up.
      const kept = [...client.unknown(), ...client.refused()].map(({ content }) => content.body);
      expect(kept.filter((body) => !givenUp.has(body) || dismissed.has(body))).toEqual([]);
      expect([...outbox.sends.values()].map(({ body }) => body).toSorted()).toEqual(kept.toSorted());
      await client.close();
    }),
    { numRuns: 150 },
  );
});
