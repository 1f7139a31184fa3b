import { ServerLife, type StartOptions } from "./server-life.ts";

/** Just before midnight in UTC. */
export const lateEvening = Date.UTC(2026, 10, 23, 23, 59, 50);
const hourMs = 3_600_000;
const oneDay: StartOptions = { retentionDays: 1 };

const text = (length: number, word: string): string =>
  `${word} ${"abcdefgh".repeat(Math.ceil(length / 8))}`.slice(0, length);

/** Messages of one user in one room, each naming the one before it or not. */
function messages(
  room: string,
  word: string,
  numbers: readonly number[],
  options: { bytes: number; chained?: boolean },
) {
  return numbers.map((n) => ({
    room,
    cid: `${word}${n}`,
    body: text(options.bytes, `${word}${n}`),
    ...(options.chained === true && n > 1 ? { prev: `${word}${n - 1}` } : {}),
  }));
}

/** An empty folder becomes a server: rooms, people, a direct message, a full chunk, a midnight, a stop in good order. */
async function founding(life: ServerLife): Promise<void> {
  await life.start();
  await life.join("alice", "lobby");
  await life.join("alice", "ops");
  await life.join("bob", "ops");
  await life.join("alice", "den", true);
  await life.subscribe("carol", "lobby", "ops");
  await life.send("alice", ...messages("lobby", "l", [1, 2, 3, 4, 5, 6], { bytes: 220, chained: true }));
  await life.send("bob", ...messages("ops", "b", [1, 2, 3], { bytes: 300 }));
  await life.send("alice", { to: "bob", cid: "d1", body: "psst" });
  await life.mark("bob", "ops", 2);
  await life.advance(25);
  // A repeat on the heels of its first, and between fresh ones.
  await life.send("alice", ...messages("lobby", "l", [6, 7, 8, 9, 10, 11, 12], { bytes: 400, chained: true }));
  await life.send("bob", ...messages("ops", "b", [2, 4, 5, 6], { bytes: 300 }));
  await life.send("alice", ...messages("den", "n", [1, 2, 3], { bytes: 200 }));
  await life.sealed();
  // Past midnight: the open chunk is sealed though nobody talks.
  await life.advance(12_000);
  await life.sealed();
  await life.send("bob", { to: "alice", cid: "d2", body: "what?" });
  await life.stop();
}

/** The second day: ids from chunks, more seals, segments that come back, a kill and a hurried start. */
async function secondDay(life: ServerLife): Promise<void> {
  await life.start();
  await life.subscribe("carol", "lobby");
  await life.subscribe("bob", "@alice,bob");
  // Long out of the window: these are found in the chunk of yesterday.
  await life.send("alice", ...messages("lobby", "l", [2, 13, 14, 15, 16], { bytes: 450, chained: true }));
  await life.send("bob", ...messages("ops", "b", [1, 7, 8, 9, 10], { bytes: 450 }));
  await life.send("alice", { to: "bob", cid: "d3", body: "never mind" });
  await life.send("alice", ...messages("lobby", "l", [17, 18, 19, 20, 21, 22, 23, 24], { bytes: 450, chained: true }));
  await life.sealed();
  await life.mark("alice", "lobby", 20);
  await life.send("bob", ...messages("ops", "b", [11, 12, 13, 14, 15, 16], { bytes: 450 }));
  await life.send("bob", ...messages("lobby", "x", [1, 2, 3, 4, 5, 6], { bytes: 450 }));
  await life.sealed();
  await life.advance(25);
  await life.send("alice", ...messages("den", "n", [4, 5, 6], { bytes: 400 }));
  life.crash("after");
  await life.start();
  await life.send("alice", ...messages("den", "n", [5, 7, 8], { bytes: 100 }));
  await life.stop();
}

/** Two days later, and only one day is kept: chunks go, and the rooms begin later. */
async function retention(life: ServerLife): Promise<void> {
  life.ledger.mayTrim = true;
  life.pass(20 * hourMs);
  await life.start(oneDay);
  await life.send("alice", ...messages("lobby", "l", [25, 26], { bytes: 300, chained: true }));
  await life.stop();
  life.pass(10 * hourMs);
  await life.start(oneDay);
  await life.send("alice", ...messages("lobby", "l", [27, 28], { bytes: 300, chained: true }));
  await life.advance(32_000);
  await life.send("bob", ...messages("ops", "b", [17, 18], { bytes: 300 }));
  await life.sealed();
  life.crash("after");
  await life.start(oneDay);
  await life.send("bob", ...messages("ops", "b", [19], { bytes: 300 }));
  await life.stop();
}

export interface Act {
  readonly name: string;
  readonly play: (life: ServerLife) => Promise<void>;
  /** How the server is started in it. */
  readonly start: StartOptions;
}

/** What happens to one directory, one act behind the other, each ending with a stop in good order. */
export const acts: readonly Act[] = [
  { name: "founding", play: founding, start: {} },
  { name: "second day", play: secondDay, start: {} },
  { name: "retention", play: retention, start: oneDay },
];

/** Worlds as they are when each act begins. */
export async function beginnings(): Promise<ServerLife[]> {
  const lives: ServerLife[] = [];
  let life = new ServerLife({ seed: 1, wall: lateEvening });
  for (const { play } of acts) {
    lives.push(life);
    life = life.fork(lives.length + 1);
    await play(life);
  }
  return lives;
}
