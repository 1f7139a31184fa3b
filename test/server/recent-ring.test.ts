import fc from "fast-check";
import { expect, test } from "vitest";

import { putRecord, type RecordParts, recordBytes, recordSeq } from "../../src/rooms/message-record.ts";
import { RecentRing } from "../../src/server/recent-ring.ts";
import { nowhere } from "../../src/server/tail.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function record(seq: number): Uint8Array {
  const none = new Uint8Array(0);
  const parts: RecordParts = {
    room: text("lobby"),
    from: text("alice"),
    cid: text(`c${seq}`),
    kind: none,
    prev: none,
    refFrom: none,
    refKind: none,
    body: text("x".repeat(seq % 7)),
    ref: 0,
    checked: 0,
    prevSeq: 0,
    seq,
    ts: 1,
    epoch: 1,
  };
  const bytes = new Uint8Array(recordBytes(parts));
  putRecord(bytes, 0, parts);
  return bytes;
}

function held(ring: RecentRing): number[] {
  const place = nowhere();
  const seqs: number[] = [];
  for (let seq = 0; seq <= ring.savePoint + 1; seq++) {
    if (ring.find(seq, place)) seqs.push(recordSeq(place.bytes, place.offset));
  }
  return seqs;
}

test("a slot is taken when a message is ordered, and shown once it is saved", () => {
  const ring = new RecentRing(4, 10);
  expect(ring.order()).toBe(true);
  expect([ring.savePoint, ring.head]).toEqual([10, 11]);
  expect(held(ring)).toEqual([]);
  ring.save(11, record(11), 0);
  ring.decided();
  expect([ring.savePoint, ring.head]).toEqual([11, 11]);
  expect(held(ring)).toEqual([11]);
});

test("no unsaved slot is given away: the sender waits", () => {
  const ring = new RecentRing(4, 0);
  for (let i = 0; i < 4; i++) expect(ring.order()).toBe(true);
  expect(ring.order()).toBe(false);
  ring.save(1, record(1), 0);
  ring.decided();
  expect(ring.order()).toBe(true);
  expect(ring.order()).toBe(false);
  // A message that was not accepted after all gives its slot back.
  ring.decided();
  expect(ring.order()).toBe(true);
  ring.fallBack();
  expect(ring.head).toBe(ring.savePoint);
});

test("older messages are put before, newest first, until it is full", () => {
  const ring = new RecentRing(4, 9);
  for (const seq of [9, 8, 7, 6]) expect(ring.saveBefore(record(seq), 0)).toBe(true);
  expect(ring.saveBefore(record(5), 0)).toBe(false);
  expect(held(ring)).toEqual([6, 7, 8, 9]);
});

test("whatever happens, it holds the newest messages without a hole, and nothing beyond the save point", () => {
  const action = fc.constantFrom("order", "save", "saveOrdered", "refused", "detach", "empty", "before");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), fc.array(action, { maxLength: 200 }), (start, actions) => {
      const ring = new RecentRing(8, start);
      let newest = start;
      let count = 0;
      for (const step of actions) {
        if (step === "order") ring.order();
        if (step === "refused" && ring.head > ring.savePoint) ring.decided();
        if (step === "save" || (step === "saveOrdered" && ring.head > ring.savePoint)) {
          ring.save(++newest, record(newest), 0);
          if (step === "saveOrdered") ring.decided();
          count = Math.min(8, count + 1);
        }
        if (step === "detach") ring.detach();
        if (step === "empty") {
          ring.empty();
          count = 0;
        }
        if (step === "before" && ring.saveBefore(record(newest - count), 0)) count++;
        expect(ring.savePoint).toBe(newest);
        expect(ring.head).toBeLessThanOrEqual(newest + 8);
        expect(held(ring)).toEqual(Array.from({ length: count }, (_, i) => newest - count + 1 + i));
      }
    }),
    { numRuns: 300 },
  );
});
