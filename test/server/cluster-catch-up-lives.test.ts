import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import type { Room } from "../../src/client/room.ts";
import { replicaId } from "../../src/consensus/replica.ts";
import { bodyStart, recordBodyLength } from "../../src/rooms/message-record.ts";
import { Town } from "./town.ts";

/** Everything rare happens all the time: chunks of a few messages, and journals that keep hardly more than they must. */
const small = {
  bodyBytesMax: 2_048,
  entryBytesMax: 16 * 1024,
  segmentBytes: 64 * 1024,
  chunkBytes: 16 * 1024,
  unsealedBytesMax: 128 * 1024,
  journalKeptBytes: 1,
  idWindowEntries: 64,
  ringSlots: 64,
  ringBytesMax: 32 * 1024,
} as const;

/** More of them, or others: CATCH_UP_LIVES=200 CATCH_UP_FROM=1. A failure names its seed. */
const lives = Number(process.env["CATCH_UP_LIVES"] ?? 6);
const firstSeed = Number(process.env["CATCH_UP_FROM"] ?? 1);

/** Servers are killed, lose power, are cut off and wiped while people talk; one at a time, so that a majority always is. */
async function life(seed: number): Promise<{ snapshotsTaken: number; chunksTaken: number }> {
  const counts = { snapshotsTaken: 0, chunksTaken: 0 };
  const heard = (line: string): void => {
    if (line.includes(" state.differs ")) throw new Error(line);
    if (line.includes(" snapshot.taken ")) counts.snapshotsTaken++;
    if (line.includes(" catch-up.taken ") && line.includes("chunk")) counts.chunksTaken++;
  };
  const random = seededRandom(seed);
  const town = await Town.founded({ seed, limits: small, heard });
  const room: Room = town.client("zoe").room("lobby");
  let sent = 0;
  const acknowledged: { seq: number | null; body: string }[] = [];
  const talk = async (count: number): Promise<void> => {
    const bodies = Array.from({ length: count }, () => `${++sent} ${"x".repeat(random.whole(1_500))}`);
    const stored = await town.after("stored", Promise.all(bodies.map((body) => room.send(body))), 60_000);
    for (const [at, { seq }] of stored.entries()) acknowledged.push({ seq, body: bodies[at]! });
  };
  await talk(20);
  for (let round = 0; round < 5; round++) {
    const victim = town.residents[random.whole(town.residents.length)]!;
    const what = random.whole(4);
    if (what === 0) town.kill(victim);
    else if (what === 1) town.powerLoss(victim);
    else if (what === 2) town.wipe(victim);
    else town.partition([victim.name]);
    await talk(20 + random.whole(120));
    if (what === 3) town.heal();
    else town.restart(victim);
    if (random.whole(2) === 0) {
      // Once more, in the midst of catching up.
      await town.rest(random.whole(600));
      if (random.whole(2) === 0) town.kill(victim);
      else town.powerLoss(victim);
      town.restart(victim);
    }
    await talk(random.whole(60));
    // Who takes a snapshot does not run for a moment; a wiped one is another member now.
    await town.until(`${victim.name} is one of them again`, () => isWell(town), 60_000);
  }
  expect(new Set(town.hashes()).size).toBe(1);
  for (const { now } of town.residents) {
    const live = now.state.room("lobby")!;
    expect(live.head).toBe(acknowledged.length);
    const text = new TextDecoder();
    const bodies: string[] = [];
    while (bodies.length < live.head) {
      const wanted = { from: bodies.length + 1, to: live.head, direction: "up", itemsMax: 500, bytesMax: 1e6 } as const;
      const page = await town.after("read", now.history.page(live, wanted));
      expect(page.length).toBeGreaterThan(0);
      for (const { bytes, offset } of page) bodies.push(text.decode(bodyOf(bytes, offset)));
    }
    for (const { seq, body } of acknowledged) expect(bodies[seq! - 1]).toBe(body);
  }
  return counts;
}

/** Everybody has everything, and votes with the data that it has now. */
function isWell(town: Town): boolean {
  const driver = town.leader?.now.driver;
  const voters = driver?.engine.members.filter(({ role }) => role === "voter").map(({ replica }) => replica) ?? [];
  return town.residents.every(({ runs, server }) => {
    if (!runs || server === null || server.state.appliedIndex !== driver?.lastIndex) return false;
    const isMember = voters.includes(replicaId(server.node, server.incarnation)) && voters.length === 3;
    return isMember && server.cluster?.catchUp.progress.lacking === 0 && server.sealer.backlog === 0;
  });
}

function bodyOf(bytes: Uint8Array, offset: number): Uint8Array {
  const start = bodyStart(bytes, offset);
  return bytes.subarray(start, start + recordBodyLength(bytes, offset));
}

test("whatever happens to one server after the other, all have all of it in the end", {
  timeout: 120_000 + lives * 20_000,
}, async () => {
  let snapshotsTaken = 0;
  let chunksTaken = 0;
  for (let seed = firstSeed; seed < firstSeed + lives; seed++) {
    try {
      const counts = await life(seed);
      snapshotsTaken += counts.snapshotsTaken;
      chunksTaken += counts.chunksTaken;
    } catch (failure) {
      throw new Error(`seed ${seed}: ${(failure as Error).message}`, { cause: failure });
    }
  }
  // It has been about what it says.
  expect(snapshotsTaken).toBeGreaterThan(0);
  expect(chunksTaken).toBeGreaterThan(0);
});
