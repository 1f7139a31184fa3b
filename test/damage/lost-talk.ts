import { expect } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { type Batch, batchesOf, readable, wordsIn, wordsOf } from "./damaged-batches.ts";
import type { Ledger } from "./server-ledger.ts";
import { ServerLife } from "./server-life.ts";
import { lateEvening } from "./server-story.ts";

/** A message as it is sent. */
export interface Said {
  readonly room?: string;
  readonly to?: string;
  readonly cid: string;
  readonly prev?: string;
  readonly kind?: string;
  readonly ref?: number;
  readonly body: string;
}

/** A server with an open room of alice's and one of bob's, and a private one; midnight is far. */
export async function begun(options: { limits: object; ledger?: Ledger }): Promise<ServerLife> {
  const { limits, ledger } = options;
  const life = new ServerLife({ seed: 1, wall: lateEvening - 40_000_000, limits });
  if (ledger !== undefined) life.ledger = ledger;
  await life.start();
  await life.join("alice", "lobby");
  await life.join("bob", "ops");
  await life.join("alice", "den", true);
  return life;
}

/** One message in each room, the lobby first; every second one follows the one before it. */
export function roundOfTalk(n: number, more = ""): { user: string; frame: Said }[] {
  const id = (word: string): { cid: string; prev?: string } => ({
    cid: `${word}${n}`,
    ...(n % 2 === 0 ? { prev: `${word}${n - 1}` } : {}),
  });
  return [
    { user: "alice", frame: { room: "lobby", ...id("l"), body: `lobby ${n}${more}` } },
    { user: "bob", frame: { room: "ops", ...id("o"), body: `ops ${n}${more}` } },
    { user: "alice", frame: { room: "den", ...id("n"), body: `den ${n}${more}` } },
    { user: "alice", frame: { to: "bob", ...id("d"), body: `direct ${n}${more}` } },
  ];
}

/** The seqs of all messages that can be read in these rooms, by their words. */
export async function numbersOf(life: ServerLife, rooms: readonly string[]): Promise<Map<string, number>> {
  const numbers = new Map<string, number>();
  for (const room of rooms) for (const { seq, body } of await readable(life, room)) numbers.set(wordsOf(body), seq);
  return numbers;
}

/** The batch whose first record holds the message with these words. */
export const batchWith = (life: ServerLife, words: string): Batch =>
  batchesOf(life).find((one) => wordsIn(life, one).includes(words))!;

/** Damages that batch. */
export function damageWords(life: ServerLife, words: string): void {
  const { file, offset } = batchWith(life, words);
  life.fileSystem.flip(file, offset + 70, 1);
}

/**
 * A start is broken off in every call, or every so many, by a crash of any kind; the next one must come to what one that is
 * not broken off comes to, as `look` tells it.
 */
export async function brokenOffAnywhere(story: {
  begin: () => ServerLife;
  acceptance: Parameters<ServerLife["start"]>[0];
  look: (life: ServerLife) => Promise<unknown>;
  everyCalls?: number;
}): Promise<void> {
  const { begin, acceptance, look, everyCalls = 1 } = story;
  const whole = begin();
  const before = whole.fileSystem.calls;
  await whole.start(acceptance);
  const calls = whole.fileSystem.calls - before;
  const seen = await look(whole);
  await whole.stop();
  expect(calls).toBeGreaterThan(20);
  const random = seededRandom(8);
  for (let at = 1; at <= calls; at += everyCalls) {
    const life = begin();
    const mode = crashModes[random.whole(crashModes.length)]!;
    life.fileSystem.crashAt(life.fileSystem.calls + at, mode);
    await Promise.race([life.start(acceptance), life.fileSystem.whenStopped()]);
    if (life.fileSystem.running) life.crash("lost");
    else life.crash(mode);
    try {
      await life.start(acceptance);
      expect(await look(life)).toEqual(seen);
      await life.stop();
    } catch (cause) {
      throw new Error(`call ${at}, ${mode}: ${String(cause)}`, { cause });
    }
  }
}
