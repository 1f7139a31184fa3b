import fc from "fast-check";
import { expect, test } from "vitest";
import { day } from "../../src/base/units.ts";
import type { Command } from "../../src/rooms/commands.ts";
import { joined } from "../../src/rooms/snapshot-bytes.ts";
import type { StateCut } from "../../src/rooms/state-cut.ts";
import { commands } from "./arbitrary-commands.ts";
import { command, GroupLog, type Post } from "./group-log.ts";

type Step =
  | { step: "commands"; commands: (Command | Post)[] }
  | { step: "seal" | "day" | "cut" }
  | { step: "rewrite"; chunk: number; generation: number }
  | { step: "window"; value: number }
  /** So many steps of the cut that is being written. */
  | { step: "write"; steps: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        step: fc.constant("commands" as const),
        commands: fc.array(commands, { minLength: 1, maxLength: 6 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ step: fc.constantFrom("seal" as const, "day" as const) }) },
    { weight: 3, arbitrary: fc.record({ step: fc.constant("cut" as const) }) },
    { weight: 8, arbitrary: fc.record({ step: fc.constant("write" as const), steps: fc.integer({ min: 1, max: 6 }) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        step: fc.constant("rewrite" as const),
        chunk: fc.integer({ min: 1, max: 4 }),
        generation: fc.integer({ min: 1, max: 3 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ step: fc.constant("window" as const), value: fc.integer({ min: 8, max: 20 }) }),
    },
  ),
  { minLength: 4, maxLength: 80, size: "max" },
);

/** One room, one user or one id a step: every change meets a cut that is not finished. */
const smallest = { bytes: 1, ids: 1 };

test("[SNAP4] a cut that is written while the state goes on is the state of the moment it was begun", () => {
  let changedMeanwhile = 0;
  fc.assert(
    fc.property(steps, (all) => {
      const log = new GroupLog({ idWindowEntries: 12 }, 1);
      log.set({ kind: "founding" });
      log.batch(
        command.join("ops", "alice"),
        command.join("club", "alice", true),
        command.invite("club", "alice", "bob"),
      );
      const begun: { cut: StateCut; expected: Uint8Array; index: number }[] = [];
      const finished = new Set<StateCut>();
      for (const step of all) {
        switch (step.step) {
          case "commands":
            log.batch(...step.commands);
            break;
          case "seal":
            log.seal();
            break;
          case "day":
            log.day = day(log.day === 20250331 ? 20250401 : log.day + 1);
            break;
          case "rewrite":
            log.rewrite(step.chunk, step.generation);
            break;
          case "window":
            log.set({ kind: "bound", bound: "idWindowEntries", value: step.value });
            break;
          case "cut":
            begun.push({ expected: log.state.snapshot(), cut: log.state.cut(smallest), index: log.state.appliedIndex });
            break;
          case "write": {
            const cut = begun.at(-1)?.cut;
            if (cut === undefined) break;
            for (let i = 0; i < step.steps; i++) if (cut.step()) finished.add(cut);
            break;
          }
        }
      }
      for (const { cut, expected, index } of begun) {
        if (!finished.has(cut) && log.state.appliedIndex > index) changedMeanwhile++;
        cut.finish();
        expect(Buffer.compare(joined(cut.pages()), expected)).toBe(0);
      }
    }),
    { numRuns: 400 },
  );
  expect(changedMeanwhile).toBeGreaterThan(50);
});

test("[SNAP4] a step is a bounded piece of work, and nothing is kept of a cut that is finished", () => {
  const log = new GroupLog();
  const rooms = 300;
  for (let n = 0; n < rooms; n++) log.do(command.join(`room-${n}`, "alice"));
  for (let n = 0; n < 500; n++) log.post({ room: `room-${n % rooms}`, from: "alice", cid: `${n}` });
  const expected = log.state.snapshot();
  const cut = log.state.cut({ bytes: 1_000, ids: 10 });
  let count = 0;
  while (!cut.step()) count++;
  expect(count).toBeGreaterThan(500 / 10 + (rooms * 90) / 1_000);
  expect(Buffer.compare(joined(cut.pages()), expected)).toBe(0);
  // A second one begins anew; the first is what it was.
  log.do(command.read("room-1", "alice", 1));
  const second = log.state.cut();
  second.finish();
  expect(Buffer.compare(joined(cut.pages()), expected)).toBe(0);
  expect(Buffer.compare(joined(second.pages()), log.state.snapshot())).toBe(0);
});

test("[SNAP4] a cut that is not finished when the next is begun is finished then, as it was", () => {
  const log = new GroupLog();
  for (let n = 0; n < 20; n++) log.do(command.join(`room-${n}`, "alice"));
  const expected = log.state.snapshot();
  const first = log.state.cut(smallest);
  first.step();
  for (let n = 0; n < 20; n++) log.post({ room: `room-${n}`, from: "alice", cid: "1" });
  const second = log.state.cut(smallest);
  expect(first.step()).toBe(true);
  expect(Buffer.compare(joined(first.pages()), expected)).toBe(0);
  second.finish();
  expect(Buffer.compare(joined(second.pages()), log.state.snapshot())).toBe(0);
});
