import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readConfiguration } from "../../src/apps/cli/read-configuration.ts";
import { serve } from "../../src/apps/cli/serve.ts";
import { freePorts } from "../../src/platform/node/free-ports.ts";
import { nodeFileSystem } from "../../src/platform/node/node-file-system.ts";
import type { FileSystem } from "../../src/storage/file-system.ts";
import { temporaryFolder } from "../process/command.ts";
import { endedInGoodOrder } from "../process/ended-in-good-order.ts";

const events = ["SIGTERM", "SIGINT", "SIGHUP", "uncaughtException", "unhandledRejection", "exit"];
const own: NodeJS.EventEmitter = process;
let before: Map<string, Set<unknown>>;

// A server listens to its process, which here goes on without it.
beforeEach(() => {
  before = new Map(events.map((event) => [event, new Set(own.listeners(event))]));
  vi.spyOn(process, "umask").mockReturnValue(0o077);
});

afterEach(() => {
  vi.restoreAllMocks();
  for (const event of events) {
    for (const listener of own.listeners(event)) {
      if (before.get(event)!.has(listener) !== true) own.off(event, listener as () => void);
    }
  }
});

test("a start that fails when doors are open already has ended all that it began before the directory is free", async () => {
  const folder = temporaryFolder();
  const data = join(folder.path, "data");
  const [port] = (await freePorts(1)) as [number];
  const taken = createServer();
  // Somebody takes it once the start has seen that it can be had, and before the doors are opened.
  const fileSystem = (folderOfData: string): FileSystem => {
    const real = nodeFileSystem(folderOfData);
    const reallyOpen = real.open.bind(real);
    real.open = async (file, mode) => {
      if (file.startsWith("journal/") && !taken.listening) await once(taken.listen(port, "127.0.0.1"), "listening");
      return reallyOpen(file, mode);
    };
    return real;
  };
  // The operators' port is the last door: the others were open for a moment.
  const flags = { data, port: "0", tcpPort: "0", adminPort: `${port}`, log: "json" };
  const { configuration, given } = await readConfiguration({ flags, environment: {}, file: null });
  const starting = serve(configuration, { acceptLoss: false, restored: false, given, warnings: [], fileSystem });
  await expect(starting).rejects.toThrow(`127.0.0.1:${port} is in use; choose another --admin-port`);
  taken.close();
  expect(readdirSync(data).filter((file) => file.startsWith("lock"))).toEqual([]);
  expect(await endedInGoodOrder(data)).toBe(true);
  folder.remove();
});
