import fc from "fast-check";
import { expect, test } from "vitest";
import type { MessageStream } from "../../src/client/message-stream.ts";
import { world } from "./world.ts";

type Step =
  | { do: "post"; count: number }
  | { do: "open"; after: number | "latest" }
  | { do: "take"; reader: number; count: number }
  | { do: "end"; reader: number }
  | { do: "cut" }
  | { do: "mute" }
  | { do: "retain"; first: number }
  | { do: "wait"; ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("post" as const), count: fc.integer({ min: 1, max: 9 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("open" as const),
      after: fc.oneof(fc.nat(20), fc.constant("latest" as const)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("take" as const),
      reader: fc.nat(5),
      count: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("end" as const), reader: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.constant({ do: "cut" as const }) },
  { weight: 1, arbitrary: fc.constant({ do: "mute" as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("retain" as const), first: fc.nat(15) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 1, 2, 3, 30, 700) }) },
);

/** What one consumer was given: seqs, and [from, to] of gaps. */
interface Consumer {
  readonly stream: MessageStream;
  readonly after: number | "latest";
  /** The newest that any consumer of this client had been given when it began. */
  readonly knownBefore: number;
  readonly items: (number | readonly [number, number])[];
  ended: boolean;
}

test("[SDK41] [SDK42] [SDK43] [SDK45] whatever happens on the way: dense, in order, once, and nothing left out", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 50, size: "max" }), fc.nat(1_000_000), async (script, seed) => {
      const { clock, server, chat } = world(seed);
      server.heartbeatMs = 1_000;
      const client = chat({ readAheadMax: 5 }, ["ws://a", "ws://b"]);
      const room = client.room("lobby");
      const consumers: Consumer[] = [];
      const take = async (consumer: Consumer, count: number): Promise<void> => {
        for (let i = 0; i < count && !consumer.ended; i++) {
          const answer = { arrived: false };
          const next = consumer.stream.next().then(({ done, value }) => {
            answer.arrived = true;
            if (done === true) consumer.ended = true;
            else consumer.items.push(value.gap === undefined ? value.seq : [value.gap.from, value.gap.to]);
          });
          for (let tries = 0; !answer.arrived && tries < 60; tries++) await clock.advance(50);
          // Nothing to come: the model has no more. Whoever waits is answered by the next message.
          if (!answer.arrived) {
            pending.push(next);
            return;
          }
        }
      };
      const pending: Promise<void>[] = [];
      const known = (): number =>
        Math.max(
          0,
          ...consumers.flatMap(({ items }) => items.map((item) => (typeof item === "number" ? item : item[1]))),
        );
      const { log } = server.room("lobby");
      for (const now of script) {
        const consumer = "reader" in now ? consumers[now.reader] : undefined;
        if (now.do === "post") for (let i = 0; i < now.count; i++) server.post("lobby", "bob", `m${log.length + 1}`);
        else if (now.do === "open") {
          const after = now.after === "latest" ? now.after : Math.min(now.after, log.length);
          consumers.push({ stream: room.messages({ after }), after, knownBefore: known(), items: [], ended: false });
        } else if (now.do === "take" && consumer !== undefined) await take(consumer, now.count);
        else if (now.do === "end" && consumer !== undefined) {
          await consumer.stream.return();
          consumer.ended = true;
        } else if (now.do === "cut") server.cutAll();
        else if (now.do === "mute") for (const link of server.links) link.mute = true;
        else if (now.do === "retain")
          server.room("lobby").first = Math.max(server.room("lobby").first, Math.min(now.first, log.length + 1));
        else if (now.do === "wait") await clock.advance(now.ms);
      }
      await clock.advance(60_000);
      for (const consumer of consumers) if (!consumer.ended) await take(consumer, 400);

      for (const { items, after, knownBefore, ended } of consumers) {
        const begins = items.map((item) => (typeof item === "number" ? item : item[0]));
        const ends = items.map((item) => (typeof item === "number" ? item : item[1]));
        for (const [i, begin] of begins.entries()) if (i > 0) expect(begin).toBe(ends[i - 1]! + 1);
        if (after !== "latest" && begins.length > 0) expect(begins[0]).toBe(after + 1);
        if (after === "latest" && begins.length > 0) expect(begins[0]).toBeGreaterThan(knownBefore);
        if (ended) continue;
        // Where nobody broke off, everything there is was given, or its place named.
        if (after !== "latest") expect(ends.at(-1) ?? after).toBe(log.length);
      }
      await client.close();
      await Promise.all(pending);
      await clock.settle();
      // The model keeps a few timers of its own for frames on their way to nobody.
      await clock.advance(100);
      expect(clock.timers).toBe(0);
    }),
    { numRuns: 120 },
  );
});
