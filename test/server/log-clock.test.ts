import { expect, test } from "vitest";

import type { Clock } from "../../src/base/clock.ts";
import { type Millis, type Timestamp, timestamp } from "../../src/base/units.ts";
import { calendar } from "../../src/server/calendar.ts";
import { LogClock } from "../../src/server/log-clock.ts";

const start = Date.UTC(2026, 10, 23, 12, 0, 0);

/** A clock whose hands the test moves. */
function hands(): Clock & { wallMs: number; nowMs: number; pass(ms: number): void } {
  return {
    wallMs: start,
    nowMs: 0,
    now() {
      return this.nowMs as Millis;
    },
    wall() {
      return this.wallMs as Timestamp;
    },
    after: () => ({ cancel: () => undefined }),
    defer: () => undefined,
    pass(ms) {
      this.nowMs += ms;
      this.wallMs += ms;
    },
  };
}

test("stamps follow the wall clock and never go back", () => {
  const clock = hands();
  const log = new LogClock(clock, timestamp(0));
  expect(log.stamp()).toBe(start);
  clock.pass(1_500);
  expect(log.stamp()).toBe(start + 1_500);
  clock.wallMs -= 1_000;
  expect(log.stamp()).toBe(start + 1_500);
  expect(log.aheadMs()).toBe(1_000);
});

test("a step across midnight that is taken back within a minute leaves no trace", () => {
  const clock = hands();
  const log = new LogClock(clock, timestamp(0));
  log.stamp();
  clock.wallMs += 86_400_000;
  for (let second = 1; second <= 50; second++) {
    clock.pass(1_000);
    expect(log.stamp()).toBe(start + second * 1_000);
  }
  expect(log.doubtedMs()).toBe(86_400_000);
  clock.wallMs -= 86_400_000;
  clock.pass(1_000);
  expect(log.stamp()).toBe(start + 51_000);
});

test("a step that stands for a minute is adopted", () => {
  const clock = hands();
  const log = new LogClock(clock, timestamp(0));
  log.stamp();
  clock.wallMs += 3_600_000;
  for (let second = 0; second < 61; second++) {
    log.stamp();
    clock.pass(1_000);
  }
  expect(log.stamp()).toBe(clock.wallMs);
  // And back again: time stands still until the clock has caught up.
  const high = log.stamp();
  clock.wallMs -= 3_600_000;
  for (let second = 0; second < 120; second++) {
    clock.pass(1_000);
    expect(log.stamp()).toBeGreaterThanOrEqual(high);
  }
  const still = log.stamp();
  clock.pass(1_000);
  expect(log.stamp()).toBe(still);
});

test("at a start, a clock a year ahead of the log has to stand first", () => {
  const clock = hands();
  clock.wallMs += 365 * 86_400_000;
  const log = new LogClock(clock, timestamp(start));
  clock.pass(10);
  expect(log.stamp()).toBeLessThan(start + 1_000);
  for (let second = 0; second < 62; second++) {
    clock.pass(1_000);
    log.stamp();
  }
  expect(log.stamp()).toBe(clock.wallMs);
});

test("days of a zone end where they end there, also when clocks are set", () => {
  const utc = calendar("UTC");
  expect(utc.dayOf(timestamp(start))).toBe(20261123);
  expect(utc.nextDayAt(timestamp(start))).toBe(Date.UTC(2026, 10, 24));
  const shanghai = calendar("Asia/Shanghai");
  expect(shanghai.dayOf(timestamp(Date.UTC(2026, 10, 23, 16)))).toBe(20261124);
  expect(shanghai.dayOf(timestamp(Date.UTC(2026, 10, 23, 16) - 1))).toBe(20261123);
  const berlin = calendar("Europe/Berlin");
  // 29 March 2026 has 23 hours in Berlin, 25 October has 25.
  const spring = timestamp(Date.UTC(2026, 2, 28, 23));
  expect(berlin.dayOf(spring)).toBe(20260329);
  expect(berlin.nextDayAt(spring) - spring).toBe(23 * 3_600_000);
  const autumn = timestamp(Date.UTC(2026, 9, 24, 22));
  expect(berlin.nextDayAt(autumn) - autumn).toBe(25 * 3_600_000);
  expect(() => calendar("Mars/Olympus")).toThrow(RangeError);
});
