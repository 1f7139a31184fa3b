import { existsSync, mkdirSync, mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** statfs(2): a file system in memory. */
const tmpfsMagic = 0x01021994;

const isInMemory = (folder: string): boolean => existsSync(folder) && statfsSync(folder).type === tmpfsMagic;

/**
 * A new folder for the files of the servers, on a disk: a file system in memory would make every flush free. The
 * machine's own place for such files is taken where it is on a disk, else one in the repository that git ignores.
 */
export function makeDataDirectory(root: string, wanted: string | undefined): string {
  const parent = wanted ?? (isInMemory(tmpdir()) ? join(root, "node_modules/.cache") : tmpdir());
  mkdirSync(parent, { recursive: true });
  if (isInMemory(parent)) throw new Error(`${parent} is in memory; name a folder on a disk with --data`);
  return mkdtempSync(join(parent, "synod-bench-"));
}
