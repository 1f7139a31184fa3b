import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exitCodes } from "../../src/apps/terminal/exit-codes.ts";
import { readConfiguration } from "../../src/apps/cli/read-configuration.ts";
import { serve } from "../../src/apps/cli/serve.ts";
import { temporaryFolder } from "../process/command.ts";

test("limits that do not go together are a mistake of use, named before anything is touched", async () => {
  const folder = temporaryFolder();
  const data = join(folder.path, "data");
  for (const [name, value, told] of [
    ["SEGMENT_BYTES", "2200000", "segmentBytes must be a multiple of 512"],
    ["BODY_BYTES_MAX", "900000", "frameBytesMax must hold an escaped body"],
  ]) {
    const environment = { [`SYNOD_LIMITS__${name}`]: value! };
    const { configuration, given } = await readConfiguration({ flags: { data }, environment, file: null });
    await expect(
      serve(configuration, { acceptLoss: false, restored: false, given, warnings: [] }),
    ).rejects.toMatchObject({
      exitCode: exitCodes.usage,
      message: expect.stringContaining(told!) as unknown,
    });
    expect(existsSync(data)).toBe(false);
  }
  folder.remove();
});
