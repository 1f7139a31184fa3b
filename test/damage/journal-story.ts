import type { JournalWorld } from "../storage/journal-world.ts";

/**
 * A short life with everything in it: a new journal, batches of several groups, votes, rolls, marks, a replaced suffix,
 * released and recycled segments, a clean stop, a start after it, and a start after a kill.
 */
export async function journalStory(world: JournalWorld): Promise<void> {
  if (!(await world.open())) return;
  await world.settle();
  world.entry(0, 1);
  world.vote(0, 1, "n1");
  world.vote(1, 1, "");
  await world.settle();
  for (let index = 2; index <= 7; index++) {
    world.entry(0, index, { bytes: 150 });
    world.entry(1, index - 1, { bytes: 60 });
    if (index % 2 === 0) await world.settle();
  }
  await world.settle();
  await world.advance(25);
  // Another leader: the last two entries of group 1 are replaced, and its server votes.
  world.vote(1, 2, "n2");
  world.entry(1, 5, { term: 2 });
  world.entry(1, 6, { term: 2 });
  await world.settle();
  world.release(0, 6);
  world.release(1, 4);
  for (let index = 8; index <= 13; index++) {
    world.entry(0, index, { bytes: 300 });
    if (index % 3 === 1) await world.settle();
  }
  await world.settle();
  world.release(0, 12);
  world.release(1, 6);
  await world.settle();
  await world.close();
  if (!(await world.open())) return;
  for (let index = 14; index <= 18; index++) world.entry(0, index, { bytes: 200 });
  world.vote(0, 4, "n3");
  await world.settle();
  await world.advance(25);
  world.entry(1, 7, { term: 3 });
  await world.settle();
  // Killed, and started again by somebody in a hurry.
  world.crash(world.random, "after");
  if (!(await world.open())) return;
  world.entry(0, 19);
  await world.settle();
  world.release(0, 17);
  await world.settle();
  await world.close();
}
