import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { defaultLimits, limitMistakes } from "../../src/base/limits.ts";
import { readConfiguration } from "../../src/apps/cli/read-configuration.ts";
import { exitCodes } from "../../src/apps/terminal/exit-codes.ts";
import { temporaryFolder } from "../process/command.ts";

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder();
});

afterEach(() => folder.remove());

test("limits that do not go together are told with their place and what they must be, before anything is touched", async () => {
  const data = join(folder.path, "data");
  for (const [name, value, told] of [
    [
      "SEGMENT_BYTES",
      "2200000",
      "limits.segmentBytes must be a multiple of 512: a segment is whole sectors (SYNOD_LIMITS__SEGMENT_BYTES)",
    ],
    ["RING_SLOTS", "1000", "limits.ringSlots must be a power of two (SYNOD_LIMITS__RING_SLOTS)"],
    [
      "BODY_BYTES_MAX",
      "900000",
      "limits.frameBytesMax must be at least 5404096, to hold an escaped body and its names (limits.bodyBytesMax: SYNOD_LIMITS__BODY_BYTES_MAX)",
    ],
  ]) {
    const environment = { [`SYNOD_LIMITS__${name}`]: value! };
    const read = readConfiguration({ flags: { data }, environment, file: null });
    await expect(read).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      message: expect.stringContaining(told!) as unknown,
    });
    expect(existsSync(data)).toBe(false);
  }
});

test("in a file they are told with their lines, all of them", async () => {
  const file = join(folder.path, "synod.yaml");
  writeFileSync(file, "limits:\n  ringSlots: 1000\n  segmentBytes: 1048576\n");
  const read = readConfiguration({ flags: {}, environment: {}, file });
  await expect(read).rejects.toMatchObject({
    message: [
      `limits.segmentBytes must be at least 2105344, to hold the largest batch (${file} line 3)`,
      `limits.ringSlots must be a power of two (${file} line 2)`,
    ].join("\n"),
  });
});

test("what is shipped goes together", () => {
  expect(limitMistakes(defaultLimits)).toEqual([]);
});
