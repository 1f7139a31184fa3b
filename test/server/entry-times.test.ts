import { expect, test } from "vitest";
import { millis } from "../../src/base/units.ts";
import { RecentEntries } from "../../src/server/entry-times.ts";

/** An entry whose messages stand in memory behind `first`, over its whole way. */
function goes(recent: RecentEntries, index: number, at: number, messages = 1, first = index): void {
  recent.appended(index, millis(at));
  recent.flushed(index, millis(at + 2));
  recent.applied(index, 0, first, messages, at - 1);
  recent.committed(index - 1, index, millis(at + 3));
  recent.delivered(index, index * 2, millis(at + 4));
}

test("an entry's times are told as they were, and found by the message", () => {
  const recent = new RecentEntries(millis(0));
  goes(recent, 1, 100, 3, 0);
  goes(recent, 2, 110, 2, 3);
  expect(recent.holding(0, 4)).toEqual({
    index: 2,
    sent: 109,
    appended: 110,
    flushed: 112,
    committed: 113,
    delivered: 114,
    messages: 2,
  });
  expect(recent.holding(0, 2)?.index).toBe(1);
  // Another part of the tail, and a message that no entry has brought.
  expect(recent.holding(7, 2)).toBe(null);
  expect(recent.holding(0, 5)).toBe(null);
});

test("what was overwritten is unknown, and never another entry's", () => {
  const recent = new RecentEntries(millis(0));
  for (let index = 1; index <= 4_100; index++) goes(recent, index, index);
  expect(recent.of(4)).toBe(null);
  expect(recent.holding(0, 4)).toBe(null);
  expect(recent.of(5)?.index).toBe(5);
  expect(recent.holding(0, 4_100)?.index).toBe(4_100);
});

test("an entry that takes another's place has its own times, and waits for its own flush", () => {
  const recent = new RecentEntries(millis(0));
  goes(recent, 1, 100);
  recent.appended(2, millis(110));
  recent.flushed(2, millis(112));
  recent.appended(2, millis(120));
  expect(recent.of(2)).toMatchObject({ appended: 120, flushed: null, committed: null });
  recent.flushed(2, millis(125));
  expect(recent.of(2)).toMatchObject({ appended: 120, flushed: 125 });
  // One that came to this server only when it was applied has no times here.
  recent.applied(9, 0, 9, 1, 0);
  expect(recent.of(9)).toBe(null);
});

test("the pace is that of the last five seconds", () => {
  const recent = new RecentEntries(millis(0));
  for (let index = 1; index <= 20; index++) goes(recent, index, 1_000 + index * 500, 10);
  // Ten of the twenty are younger than five seconds, each of ten messages.
  const { messagesPerSecond, entriesPerSecond, flushMs } = recent.pace(millis(11_000));
  expect(entriesPerSecond).toBe(2.2);
  expect(messagesPerSecond).toBe(22);
  expect(flushMs).toEqual({ p50: 2, p99: 2, max: 2 });
  expect(recent.pace(millis(60_000))).toEqual({
    messagesPerSecond: 0,
    entriesPerSecond: 0,
    deliveriesPerSecond: 0,
    flushMs: null,
  });
});
