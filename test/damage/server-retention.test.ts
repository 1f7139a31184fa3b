import { expect, test } from "vitest";
import { acts, beginnings } from "./server-story.ts";

test("a chunk that retention removed is not missed at the next start", async () => {
  const lives = await beginnings();
  const life = lives.at(-1)!;
  const chunksOf = (day: string): string[] => [...life.fileSystem.files().keys()].filter((file) => file.includes(day));
  expect(chunksOf("history/2026-11-23").length).toBeGreaterThan(0);

  // The snapshot at hand when it is killed is older than the removal: only the log behind it tells that the chunk went.
  const { play, start } = acts.at(-1)!;
  await play(life);
  expect(chunksOf("history/2026-11-23")).toEqual([]);
  await life.start(start);
  await life.check();
  await life.stop();
});
