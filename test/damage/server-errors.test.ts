import { afterAll, beforeAll, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { seededRandom } from "../../src/base/random.ts";
import { callsOf } from "./server-crash-sweep.ts";
import { seedOfSources } from "../seed-of-sources.ts";
import { ProcessEnded, ServerLife } from "./server-life.ts";
import { type Act, acts, beginnings, lateEvening } from "./server-story.ts";
import { SweepReport } from "./sweep-report.ts";

/** Which error meets which call: another choice for other sources, said when it fails. */
const seed = Number(process.env["SYNOD_SEED"] ?? seedOfSources());
/** Every error at every call: for hours when nobody waits (`npm run campaign -- error-sweep`). */
const isWhole = process.env["SYNOD_SWEEP"] === "whole";
const oneIn = isWhole ? 1 : 20;

interface ErrorCase {
  readonly at: number;
  readonly code: string;
  readonly persistent: boolean;
}

const kinds = ["EIO", "ENOSPC", "EMFILE", "short"].flatMap((code) => [
  { code, persistent: false },
  { code, persistent: true },
]);

const memberships = [
  ["alice", "lobby"],
  ["alice", "ops"],
  ["bob", "ops"],
  ["alice", "den"],
] as const;

const counts = { seed, calls: 0, errors: 0 };
const report = new SweepReport(counts);
let lives: ServerLife[] = [];
let callCounts: number[] = [];

beforeAll(async () => {
  lives = await beginnings();
  callCounts = await Promise.all(acts.map((act, number) => callsOf(act, lives[number]!)));
  report.total = callCounts.reduce((sum, calls) => sum + report.part.of(calls).length, 0);
});

afterAll(() => {
  report.end();
});

/**
 * The act with an error at one call. The server may refuse to start, refuse sends, or end by itself; once the disk works
 * again, and after a power loss on top, everything that anybody was told is there.
 */
async function survives(act: Act, beginning: ServerLife, { at, code, persistent }: ErrorCase): Promise<void> {
  const life = beginning.fork(at);
  life.ledger.strict = false;
  life.fileSystem.failAt(at, code, { persistent });
  // A server on a full disk waits. It is not stopped for that, and goes on by itself.
  life.onPatienceLost = () => {
    life.fileSystem.heal();
  };
  await act.play(life).catch((cause: unknown) => {
    if (!(cause instanceof ProcessEnded) && !(cause instanceof Fault)) throw cause;
  });
  life.fileSystem.heal();
  life.crash("lost", seededRandom(at));
  await life.start(act.start);
  await life.check();
  // Who was refused when joining tries again.
  life.ledger.strict = true;
  for (const [user, room] of memberships) await life.join(user, room, room === "den");
  life.ledger.strict = false;
  await life.resend();
  await life.check();
}

async function meets(number: number, one: ErrorCase): Promise<void> {
  const act = acts[number]!;
  counts.errors++;
  try {
    await survives(act, lives[number]!, one);
  } catch (cause) {
    report.failed(`SYNOD_SEED=${seed}: act "${act.name}", error ${JSON.stringify(one)}: ${String(cause)}`);
  }
}

for (const [number, act] of acts.entries()) {
  test(`whatever call of "${act.name}" fails, nothing that anybody was told is lost`, async () => {
    expect(callCounts[number]).toBeGreaterThan(200);
    for (const at of report.part.of(callCounts[number]!)) {
      for (const [i, kind] of kinds.entries()) {
        const isChosen = i === (at + seed) % kinds.length || at % oneIn === seed % oneIn;
        if (isChosen) await meets(number, { at, ...kind });
      }
      counts.calls++;
      report.done++;
      report.tell();
    }
    expect(report.failures.slice(0, 3)).toEqual([]);
  });
}

test("a full disk refuses new messages, goes on serving the old, and takes new ones again once there is space", async () => {
  const life = new ServerLife({ seed: 5, wall: lateEvening - 3_600_000 });
  await life.start();
  await life.send("alice", { room: "lobby", cid: "c1", body: "before" });
  life.ledger.strict = false;
  const used = [...life.fileSystem.files().values()].reduce((sum, bytes) => sum + bytes.length, 0);
  life.fileSystem.quotaBytes = used + life.limits.diskReserveBytes - 1;
  await life.advance(3_000);
  expect(life.server.ready).toMatchObject({ ok: false });
  const [refused] = await life.send("alice", { room: "lobby", cid: "c2", body: "while" });
  expect(refused).toMatchObject({ t: "err", code: "storage_full", definite: true, retryable: true });
  expect(await life.ask("bob", { t: "hist", room: "lobby" })).toMatchObject({ items: [{ body: "before" }] });
  expect(life.failures).toEqual([]);

  life.fileSystem.quotaBytes = Infinity;
  await life.advance(10_000);
  expect((await life.send("alice", { room: "lobby", cid: "c2", body: "while" }))[0]).toMatchObject({ t: "ok", seq: 2 });
  await life.check();
  await life.stop();
});

test("a disk that becomes full in the middle of a burst loses nothing and doubles nothing", async () => {
  const life = new ServerLife({ seed: 6, wall: lateEvening - 3_600_000 });
  await life.start();
  life.ledger.strict = false;
  const used = [...life.fileSystem.files().values()].reduce((sum, bytes) => sum + bytes.length, 0);
  life.fileSystem.quotaBytes = used + 2_000;
  life.onPatienceLost = () => {
    life.fileSystem.quotaBytes = Infinity;
  };
  const body = "x".repeat(400);
  const answers = await life.send(
    "alice",
    ...Array.from({ length: 80 }, (_, i) => ({ room: "lobby", cid: `c${i}`, body: `${i} ${body}` })),
  );
  expect(answers.filter(({ t }) => t === "ok").length).toBeGreaterThan(10);
  await life.advance(10_000);
  life.crash("lost", seededRandom(1));
  life.fileSystem.quotaBytes = Infinity;
  await life.start();
  await life.check();
  await life.resend();
  await life.stop();
});

test("after a failed flush nothing is acknowledged, whatever the disk does then", async () => {
  const life = new ServerLife({ seed: 7, wall: lateEvening - 3_600_000 });
  await life.start();
  await life.send("alice", { room: "lobby", cid: "c1", body: "before" });
  await life.advance(30);
  const alice = await life.client("alice");
  life.fileSystem.failAt(life.fileSystem.calls + 1, "EIO", { persistent: false });
  const answer = alice.ask({ t: "send", room: "lobby", cid: "c2", body: "lost?" });
  // Nobody can say whether it is on the disk.
  expect(await life.until(answer)).toMatchObject({ t: "err", code: "unavailable", definite: false });
  expect(life.failures.length).toBe(1);

  // Whoever should end the process is slow about it, and meanwhile the disk is full for a while.
  const [failure] = life.failures.splice(0);
  expect(failure).toBeInstanceOf(Error);
  life.fileSystem.quotaBytes = 0;
  await life.advance(3_000);
  life.fileSystem.quotaBytes = Infinity;
  await life.advance(10_000);
  expect(life.server.ready).toEqual({ ok: false, reason: "the journal failed" });
  expect(await life.ask("alice", { t: "send", room: "lobby", cid: "c3", body: "no" })).toMatchObject({
    t: "err",
    code: "unavailable",
  });
  expect(await life.ask("bob", { t: "hist", room: "lobby" })).toMatchObject({ head: 1, items: [{ body: "before" }] });
  life.crash("lost", seededRandom(1));
  await life.start();
  await life.check();
  await life.stop();
});
