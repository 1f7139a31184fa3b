import { expect, test } from "vitest";
import type { Cid, RoomName, Seq } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import type { Millis } from "../../src/base/units.ts";
import { Outbox } from "../../src/client/outbox.ts";
import type { OutboxEntry } from "../../src/client/outbox-entry.ts";

const room = "lobby" as RoomName;

/** Sends `count` messages through a server that takes only so many at once. Answers with the attempts that it took. */
function attemptsFor(count: number, takenAtOnce: number): number {
  const outbox = new Outbox({ messagesMax: count, bytesMax: 1e6 }, seededRandom(7));
  for (let at = 1; at <= count; at++) {
    const message = { number: at, room, to: null, cid: `c${at}` as Cid, kind: null, ref: null, body: "x" };
    outbox.add({ ...message, since: 0 as Seq, line: null, prev: null }, 1, false);
  }
  let now = 0;
  let id = 0;
  let attempts = 0;
  let stored = 0;
  for (let round = 0; outbox.size > 0; round++) {
    expect(round).toBeLessThan(20 * count);
    const out: OutboxEntry[] = [];
    outbox.take(now as Millis, { inFlightMax: 1_024, budget: 1e6, nextId: () => ++id }, out);
    attempts += out.length;
    const answer = { code: "overloaded", message: "", definite: true, retryable: true, retryAfterMs: 500 };
    // Refusals come at once, the others after the flush.
    for (const entry of out.slice(takenAtOnce)) outbox.failed(entry, answer, now as Millis);
    for (const entry of out.slice(0, takenAtOnce)) {
      stored++;
      expect(entry.send.cid).toBe(`c${stored}`);
      const none = { ts: null, dup: false, epoch: null, line: null, leader: null, node: null };
      outbox.stored(entry, { room, cid: entry.send.cid, seq: stored as Seq, ...none });
    }
    const due = outbox.dueAt(now as Millis);
    now = Math.max(now + 1, due === Infinity ? 0 : due);
  }
  expect(stored).toBe(count);
  return attempts;
}

test("[SDK17] a server that takes few at once is not sent all again and again", () => {
  expect(attemptsFor(1_000, 4)).toBeLessThan(3.5 * 1_000);
  expect(attemptsFor(1_000, 1)).toBeLessThan(3.5 * 1_000);
  expect(attemptsFor(1_000, 300)).toBeLessThan(3.5 * 1_000);
  expect(attemptsFor(1_000, 1_024)).toBe(1_000);
});
