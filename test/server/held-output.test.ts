import { expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { AnswerTurns } from "../../src/server/answer-turns.ts";
import { HeldOutput, type Holder } from "../../src/server/held-output.ts";
import { ManualClock } from "../doors/fake-server.ts";

class Client implements Holder {
  held = 0;
  isDropped = false;
  heldBytes = (): number => this.held;
  drop = (): void => void (this.isDropped = true);
}

function world(bytesMax: number) {
  const clock = new ManualClock();
  const held = new HeldOutput({ bytesMax, clock });
  const turns = new AnswerTurns({ clock, held, answerBytesMax: 100, retryAfterMs: () => 7 });
  const holds = (client: Client, bytes: number): void => {
    client.held = bytes;
    held.seen(client);
  };
  return { clock, held, turns, holds };
}

test("what clients hold is the sum of what each was last seen to hold", () => {
  const { held, holds } = world(1_000);
  const [a, b] = [new Client(), new Client()];
  holds(a, 300);
  holds(b, 200);
  holds(a, 100);
  expect(held.bytes).toBe(300);
  holds(b, 0);
  expect(held.bytes).toBe(100);
  // Nobody tells that a part was taken: a look finds it.
  a.held = 40;
  expect(held.look(0)).toBe(0);
  expect(held.bytes).toBe(40);
});

test("while there is room nobody goes, however long they take nothing", () => {
  const { clock, held, holds } = world(1_000);
  const slow = new Client();
  holds(slow, 900);
  clock.advance(100_000);
  expect(held.look(100)).toBe(0);
  expect(slow.isDropped).toBe(false);
});

test("when there is none, those go who have taken nothing for longest, and not those who take", () => {
  const { clock, held, holds } = world(1_000);
  const clients = Array.from({ length: 10 }, () => new Client());
  for (const client of clients) {
    holds(client, 100);
    clock.advance(10);
  }
  clock.advance(2_000);
  // The first takes a little.
  holds(clients[0]!, 99);
  expect(held.look(100)).toBe(5);
  expect(clients.map(({ isDropped }) => Number(isDropped)).join("")).toBe("0111110000");
  expect(held.bytes).toBe(499);
});

test("a moment ago is not too long", () => {
  const { clock, held, holds } = world(1_000);
  const client = new Client();
  holds(client, 1_000);
  clock.advance(500);
  expect(held.look(100)).toBe(0);
});

test("answers are built a few at a time, in the order they were asked for", async () => {
  const { clock, turns } = world(10_000);
  const order: number[] = [];
  for (let n = 0; n < 7; n++) void turns.next().then(() => order.push(n));
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2, 3]);
  turns.done(10);
  turns.done(10);
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  // What is much is for the next turn, though there is a place.
  turns.done(1_000_000);
  turns.done(10);
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2, 3, 4, 5]);
  clock.endTurn();
  await Promise.resolve();
  expect(order).toEqual([0, 1, 2, 3, 4, 5, 6]);
});

test("none is built while slow clients hold as much as they may; who waits too long is told to come again", async () => {
  const { clock, turns, holds } = world(1_000);
  const client = new Client();
  holds(client, 950);
  const told: string[] = [];
  for (const name of ["a", "b"]) {
    turns.next().then(
      () => told.push(`${name} goes`),
      (cause: unknown) => {
        if (!(cause instanceof Fault)) throw cause;
        told.push(`${name} ${cause.code} ${cause.retryAfterMs}`);
      },
    );
    clock.advance(2_000);
    // It takes something every now and then, so that it stays.
    holds(client, client.held - 1);
    turns.look();
    await Promise.resolve();
  }
  expect(told).toEqual([]);
  clock.advance(1_000);
  holds(client, client.held - 1);
  turns.look();
  await Promise.resolve();
  expect(told).toEqual(["a overloaded 7"]);
  holds(client, 0);
  clock.advance(0);
  turns.look();
  await Promise.resolve();
  expect(told).toEqual(["a overloaded 7", "b goes"]);
});
