import { expect, test } from "vitest";
import type { NodeName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { Batch } from "../../src/server/batch.ts";
import { ForwardedBatches, TakenStreams } from "../../src/server/forwarded-batches.ts";
import type { BatchNumber } from "../../src/server/peer-frames.ts";

const leader = "n1" as NodeName;
const follower = "n2" as NodeName;

function batchOf(number: number): Batch {
  const batch = new Batch();
  batch.writeBytes(Uint8Array.of(number));
  batch.keep(1, null, 0, null);
  batch.number = number;
  return batch;
}

test("whatever is refused and whenever, batches are taken in their order, each once", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const wire: { batch: BatchNumber; first: number }[] = [];
    const answers: { batch: BatchNumber; isTaken: boolean }[] = [];
    const forwarded = new ForwardedBatches((_to, batch, commands) => {
      if (random.whole(8) === 0) return false;
      wire.push({ batch, first: commands[0]! });
      return true;
    });
    const streams = new TakenStreams();
    const waiting = Array.from({ length: 40 }, (_, at) => batchOf(at + 1));
    const taken: number[] = [];
    const answered: number[] = [];
    for (let step = 0; step < 10_000 && answered.length < 40; step++) {
      const choice = random.whole(3);
      const next = waiting[0];
      if (choice === 0 && next !== undefined) {
        if (forwarded.send(leader, next)) waiting.shift();
      } else if (choice === 1 && wire.length > 0) {
        const { batch, first } = wire.shift()!;
        const isTaken = streams.isNext(follower, batch) && random.whole(6) > 0;
        if (isTaken) taken.push(first);
        else streams.refused(follower, batch);
        answers.push({ batch, isTaken });
      } else if (choice === 2 && answers.length > 0) {
        const { batch, isTaken } = answers.shift()!;
        if (isTaken) {
          answered.push(forwarded.accepted(leader, batch)?.number ?? 0);
        } else {
          const refused = forwarded.refused(leader, batch);
          expect(refused?.lost ?? []).toEqual([]);
          waiting.unshift(...(refused?.again ?? []));
        }
      }
    }
    const all = Array.from({ length: 40 }, (_, at) => at + 1);
    expect(taken, `seed ${seed}`).toEqual(all);
    expect(answered).toEqual(all);
  }
});

test("a frame that comes by another way, too early, is refused with all that follows it", () => {
  const streams = new TakenStreams();
  expect(streams.isNext(follower, { stream: 1, number: 1 })).toBe(true);
  expect(streams.isNext(follower, { stream: 1, number: 3 })).toBe(false);
  expect(streams.isNext(follower, { stream: 1, number: 2 })).toBe(false);
  expect(streams.isNext(follower, { stream: 2, number: 1 })).toBe(true);
  expect(streams.isNext(follower, { stream: 1, number: 4 })).toBe(false);
});

test("what is lost with the link is given back once, and the next stream begins", () => {
  const sent: BatchNumber[] = [];
  const forwarded = new ForwardedBatches((_to, batch) => {
    sent.push(batch);
    return true;
  });
  for (let number = 1; number <= 3; number++) forwarded.send(leader, batchOf(number));
  expect(forwarded.lost(follower)).toEqual([]);
  expect(forwarded.lost(leader).map(({ number }) => number)).toEqual([1, 2, 3]);
  expect(forwarded.accepted(leader, sent[0]!)).toBeNull();
  forwarded.send(leader, batchOf(4));
  expect(sent.at(-1)).toEqual({ stream: sent[0]!.stream + 1, number: 1 });
});
