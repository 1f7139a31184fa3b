import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterId, Incarnation } from "../../src/base/ids.ts";
import { nodeFileSystem } from "../../src/platform/node/node-file-system.ts";
import { openDisk } from "../../src/storage/disk.ts";
import { readJournal } from "../../src/storage/journal/read-journal.ts";

/** Whether the last stop ended the journal with its mark: nothing was cut off. */
export async function endedInGoodOrder(data: string): Promise<boolean> {
  const identity = readFileSync(join(data, "identity"));
  const id = (at: number): string => identity.subarray(at, at + 16).toString("hex");
  const disk = openDisk(nodeFileSystem(data));
  const owner = { cluster: id(12) as ClusterId, incarnation: id(28) as Incarnation };
  const settings = { segmentBytes: 64 * 1024 * 1024 };
  const { clean } = await readJournal({ disk, ...owner, settings, from: new Map(), acceptLoss: false });
  await disk.close();
  return clean;
}
