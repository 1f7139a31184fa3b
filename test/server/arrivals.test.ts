import { expect, test } from "vitest";
import type { Fault } from "../../src/base/error-codes.ts";
import { Arrivals } from "../../src/server/arrivals.ts";
import { ManualClock } from "../doors/fake-server.ts";

test("a crowd that waits has one timer, and each of them is told when theirs is there, or after two seconds", async () => {
  const clock = new ManualClock();
  const arrivals = new Arrivals(clock);
  let head = 0;
  const told: string[] = [];
  const wait = (wanted: number): void => {
    arrivals
      .until(
        () => head >= wanted,
        () => `only ${head}`,
      )
      .then(
        () => told.push(`${wanted} is there`),
        (cause: unknown) => {
          const { code, message } = cause as Fault;
          told.push(`${wanted}: ${code}, ${message}`);
        },
      );
  };
  const settle = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 20) clock.advance(20);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  };
  wait(0);
  for (let wanted = 1; wanted <= 1_000; wanted++) wait(wanted);
  expect(clock.timerCount).toBe(1);
  head = 3;
  await settle(20);
  expect(told).toEqual(["0 is there", "1 is there", "2 is there", "3 is there"]);
  expect(clock.timerCount).toBe(1);
  await settle(1_960);
  expect(told).toHaveLength(4);
  await settle(20);
  expect(told).toHaveLength(1_001);
  expect(told[4]).toBe("4: behind, only 3");
  // Nobody waits: nobody is woken.
  expect(clock.timerCount).toBe(0);
  wait(4);
  expect(clock.timerCount).toBe(1);
});
