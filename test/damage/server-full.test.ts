import { expect, test } from "vitest";
import type { RoomName } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { operate } from "../../src/server/operator.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import { seedOfSources } from "../seed-of-sources.ts";
import { callsOf } from "./server-crash-sweep.ts";
import { ServerLife } from "./server-life.ts";
import { acts, beginnings, lateEvening } from "./server-story.ts";

/** Which calls meet a full disk: others for other sources, said in the titles. `SYNOD_SEED` tries the same ones again. */
const seed = Number(process.env["SYNOD_SEED"] ?? seedOfSources());
const casesOfAnAct = 24;

/** From here on no file can grow, and none can be made. */
function fill({ fileSystem }: ServerLife): void {
  fileSystem.quotaBytes = 0;
  for (const bytes of fileSystem.files().values()) fileSystem.quotaBytes += bytes.length;
}

/** It serves what is there, refuses what is sent with the code for that, and is killed again. */
async function servesFull(life: ServerLife): Promise<void> {
  await life.start();
  await life.checkReading();
  const [answer] = await life.send("alice", { room: "lobby", cid: `full-${life.wall}`, body: "more" });
  expect(answer).toMatchObject({ t: "err", code: "storage_full", definite: true, retryable: true });
}

for (const number of [1, 2]) {
  const act = acts[number]!;
  test(`seed ${seed}: wherever the disk becomes full in "${act.name}", a start after a kill serves, and goes on once there is room`, async () => {
    const beginning = (await beginnings())[number]!;
    const calls = await callsOf(act, beginning);
    const step = Math.ceil(calls / casesOfAnAct);
    for (let at = 1 + (seed % step); at <= calls; at += step) {
      const life = beginning.fork(at);
      life.ledger.strict = false;
      life.fileSystem.onCall = (call) => {
        if (call.number === at) fill(life);
      };
      // The act may come to its end, or to where nobody answers any more.
      const ended = life.fileSystem.calls;
      const how = await act.play(life).then(
        () => "ended",
        (cause: unknown) => String(cause),
      );
      expect(how).toMatch(/ended|answer|refused|Fault/);
      expect(life.fileSystem.calls).toBeGreaterThan(ended);
      for (const mode of [crashModes[at % crashModes.length]!, "lost"] as const) {
        life.crash(mode, seededRandom(at));
        fill(life);
        await servesFull(life);
      }
      life.fileSystem.quotaBytes = Infinity;
      await life.advance(10_000);
      await life.check();
      await life.resend();
      await life.check();
      await life.stop();
    }
  });
}

test("after a start on a full disk, a room that is deleted makes the room that sends need", async () => {
  const limits = { diskReserveBytes: 60_000 };
  const life = new ServerLife({ seed: 8, wall: lateEvening - 3_600_000, limits });
  await life.start();
  await life.join("alice", "lobby");
  await life.join("alice", "ops");
  life.ledger.strict = false;
  const body = "x".repeat(480);
  for (let i = 0; i < 20; i++) {
    const burst = Array.from({ length: 8 }, (_, n) => ({ room: "lobby", cid: `c${i * 8 + n}`, body }));
    await life.send("alice", ...burst);
    await life.sealed();
  }
  await life.send("alice", { room: "ops", cid: "kept", body: "kept" });
  life.crash("lost", seededRandom(1));
  fill(life);
  await servesFull(life);
  await life.until(operate(life.server, { type: "delete", room: "lobby" as RoomName }));
  await life.advance(10_000);
  const [answer] = await life.send("alice", { room: "ops", cid: "again", body: "there is room" });
  expect(answer).toMatchObject({ t: "ok", seq: 2 });
  await life.stop();
});
