import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ServerProcess } from "./support/server-process.ts";
import { buildUnkindMachine, UnkindMachine, whyNoUnkindMachine } from "./support/unkind-machine.ts";

const reason = whyNoUnkindMachine();
if (reason !== null) process.stdout.write(`failing disk: not tried, ${reason}\n`);

test.skipIf(reason !== null)(
  "a start on a disk whose flushes fail is refused in one line, and works once they don't",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "synod-failing-"));
    const data = join(folder, "data");
    mkdirSync(data, { mode: 0o700 });
    const built = buildUnkindMachine();
    const machine = new UnkindMachine({ library: built.library, folder: join(folder, "machine"), data });
    const server = new ServerProcess({ data, environment: machine.environment });
    try {
      machine.failFlushes(true);
      server.spawn();
      expect(await server.ended).toEqual({ code: 4, signal: null });
      expect(server.faults()).toEqual([expect.stringMatching(/^synod: the data directory .* can't be used: EIO: .*$/)]);
      machine.failFlushes(false);
      server.spawn();
      await server.listening();
      expect(await server.stop()).toEqual({ code: 0, signal: null });
    } finally {
      await server.dispose();
      machine.close();
      built.remove();
      rmSync(folder, { recursive: true });
    }
  },
);
