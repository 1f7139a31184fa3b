import { expect, test } from "vitest";
import type { Clock } from "../../src/base/clock.ts";
import { TurnQueue } from "../../src/doors/turn-queue.ts";
import { realClock } from "./fake-server.ts";

const perTurn = 8;

test("[HTTP15] a few begin in one turn, in the order in which they came, and all of them some time", () => {
  let tasks: (() => void)[] = [];
  const clock: Clock = { ...realClock, defer: (task) => void tasks.push(task) };
  const turns = new TurnQueue({ clock, perTurn });
  const begun: number[] = [];
  const endTurn = (): void => {
    const now = tasks;
    tasks = [];
    for (const task of now) task();
  };
  const counts: number[] = [];
  const come = (from: number, count: number): void => {
    for (let n = from; n < from + count; n++) turns.take(() => begun.push(n));
  };
  come(0, perTurn * 2 + 1);
  counts.push(begun.length);
  endTurn();
  // Whoever comes now is behind those that wait.
  come(perTurn * 2 + 1, 2);
  counts.push(begun.length);
  endTurn();
  counts.push(begun.length);
  expect(counts).toEqual([perTurn, perTurn * 2, perTurn * 2 + 3]);
  expect(begun).toEqual(begun.map((_, place) => place));
  endTurn();
  expect(tasks).toEqual([]);
  // What begins another at once gets it in the same turn, as far as there is room.
  turns.take(() => turns.take(() => begun.push(-1)));
  expect(begun.at(-1)).toBe(-1);
});
