import fc from "fast-check";
import { expect, test } from "vitest";

import { putRecord, type RecordParts, recordBytes, recordSeq } from "../../src/rooms/message-record.ts";
import { RecentRing } from "../../src/server/recent-ring.ts";
import { nowhere, type Place } from "../../src/server/tail.ts";

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

function kept(ring: RecentRing): number[] {
  const place = nowhere();
  const seqs: number[] = [];
  for (let seq = 0; seq <= ring.savePoint + 1; seq++) {
    if (ring.find(seq, place)) seqs.push(recordSeq(place.bytes, place.offset));
  }
  return seqs;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);

function keep(ring: RecentRing, from: number, to: number): void {
  ring.keep(from, to - from + 1, (index, place) => {
    place.bytes = record(from + index);
    place.offset = 0;
  });
}

const places = (newest: number, count: number): Place[] =>
  range(newest - count + 1, newest)
    .filter((seq) => seq > 0)
    .map((seq) => ({ bytes: record(seq), offset: 0 }))
    .reverse();

test("a slot is taken when a message is ordered, and free again once it is decided", () => {
  const ring = new RecentRing(4, 10);
  expect(ring.order()).toBe(true);
  expect([ring.savePoint, ring.head]).toEqual([10, 11]);
  ring.save(11);
  ring.decided();
  expect([ring.savePoint, ring.head]).toEqual([11, 11]);
});

test("no unsaved slot is given away: the sender waits", () => {
  const ring = new RecentRing(4, 0);
  for (let i = 0; i < 4; i++) expect(ring.order()).toBe(true);
  expect(ring.order()).toBe(false);
  ring.save(1);
  ring.decided();
  expect(ring.order()).toBe(true);
  expect(ring.order()).toBe(false);
  // A message that was not accepted after all gives its slot back.
  ring.decided();
  expect(ring.order()).toBe(true);
  ring.fallBack();
  expect(ring.head).toBe(ring.savePoint);
});

test("a message that is saved costs the ring nothing: it is copied when it leaves the tail", () => {
  const ring = new RecentRing(4, 0);
  for (let seq = 1; seq <= 100; seq++) ring.save(seq);
  expect([ring.kept, ring.ownBytes]).toEqual([0, 0]);
  keep(ring, 97, 100);
  expect(kept(ring)).toEqual([97, 98, 99, 100]);
});

test("older messages are put before, newest first, until it is full", () => {
  const ring = new RecentRing(4, 9);
  expect(ring.keepBefore(9, places(9, 3))).toBe(3);
  expect(ring.keepBefore(6, places(6, 3))).toBe(1);
  expect(ring.keepBefore(5, places(5, 3))).toBe(0);
  expect(kept(ring)).toEqual([6, 7, 8, 9]);
});

test("what leaves the tail behind a hole is kept alone", () => {
  const ring = new RecentRing(4, 9);
  ring.keepBefore(3, places(3, 3));
  keep(ring, 6, 9);
  expect(kept(ring)).toEqual([6, 7, 8, 9]);
});

test("a quiet room's messages, one from each part of the tail, are as many as the slots, and lie in few blocks", () => {
  const ring = new RecentRing(64, 0);
  let lookedAt = 0;
  for (let seq = 1; seq <= 1_000; seq++) {
    ring.save(seq);
    ring.keep(seq, 1, (_, place) => {
      lookedAt++;
      place.bytes = record(seq);
      place.offset = 0;
    });
    expect(ring.kept).toBeGreaterThanOrEqual(Math.min(seq, 64));
    expect(ring.kept).toBeLessThan(128);
  }
  expect(kept(ring)).toEqual(range(1_001 - ring.kept, 1_000));
  // Each was read out of the tail twice: for its length, and for its bytes.
  expect(lookedAt).toBe(2_000);
});

test("whatever happens, it keeps the newest messages without a hole, and counts their bytes", () => {
  const action = fc.constantFrom("order", "refused", "save", "part", "empty", "before");
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 5 }), fc.array(action, { maxLength: 200 }), (start, actions) => {
      const ring = new RecentRing(8, start);
      let newest = start;
      // What the tail holds: the seqs above this.
      let left = start;
      for (const step of actions) {
        if (step === "order") ring.order();
        if (step === "refused" && ring.head > ring.savePoint) ring.decided();
        if (step === "save") ring.save(++newest);
        if (step === "part" && newest > left) {
          keep(ring, Math.max(left + 1, newest - 7), newest);
          left = newest;
        }
        if (step === "empty") ring.empty();
        if (step === "before") ring.keepBefore(left - ring.kept, places(left - ring.kept, 3));
        expect(ring.savePoint).toBe(newest);
        expect(ring.head).toBeLessThanOrEqual(newest + 8);
        expect(ring.kept).toBeLessThan(16);
        expect(kept(ring)).toEqual(range(left - ring.kept + 1, left));
        const bytes = kept(ring).reduce((sum, seq) => sum + record(seq).length + 4, 0);
        expect(ring.ownBytes).toBe(bytes);
      }
    }),
    { numRuns: 300 },
  );
});
