import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { ChatError } from "../../src/client/outcome.ts";
import { Network } from "../../src/sim/network.ts";
import { Oracle } from "../../src/sim/oracle.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import type { Workload } from "../../src/sim/workload.ts";
import { WorkloadPlayer } from "../../src/sim/workload-player.ts";
import { serveToy, ToyClient, type ToyState } from "./toy-chat.ts";

/** Its requests to be let in end like this, one after the other; then well. */
class Refused extends ToyClient {
  joins = 0;
  readonly endings: ChatError[] = [];

  override async join(): Promise<void> {
    const ending = this.endings[this.joins++];
    if (ending !== undefined) throw ending;
    await super.join();
  }
}

/** One client that has sent something, and then reads everything for 20 virtual seconds. */
async function joinsOf(endings: readonly ChatError[]): Promise<number> {
  const scheduler = new Scheduler({ random: seededRandom(1) });
  const network = new Network({ scheduler, random: seededRandom(2) });
  const state: ToyState = { rooms: new Map(), storedAt: new Map() };
  serveToy({ host: scheduler.host("server"), network, state, bugs: {}, trueNow: () => scheduler.now() });
  const host = scheduler.host("client0");
  const client = new Refused({ user: "ada", host, network });
  client.endings.push(...endings);
  const send = { act: "send", at: 1, client: 0, room: "lobby", cid: "1", kind: "text", body: "hi", ref: null } as const;
  const workload: Workload = { users: ["ada"], rooms: ["lobby"], intents: [send] };
  const oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null });
  const player = new WorkloadPlayer({ scheduler, oracle, workload, mayLag: false, client: () => ({ client, host }) });
  player.play();
  await scheduler.run({ until: millis(1_000) });
  player.beginCatchUp(0);
  await scheduler.run({ until: millis(21_000) });
  player.endCatchUp();
  expect(oracle.finish({ at: scheduler.now() }).anomalies).toEqual([]);
  return client.joins;
}

test("who was not let in, and may be, asks again until that is answered", async () => {
  const inNoTime = new ChatError("unavailable", "no server answered in time", true);
  expect(await joinsOf([])).toBe(1);
  expect(await joinsOf([inNoTime, inNoTime, inNoTime])).toBe(4);
});

test("who was refused for good does not ask again", async () => {
  expect(await joinsOf([new ChatError("not_found", "no such room")])).toBe(1);
});
