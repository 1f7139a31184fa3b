import { type Disk, type FileName, fileName } from "./disk.ts";

/** Where files go that can't be trusted: kept as they are, out of the way, for people to look at. */
export const quarantineFolder = "quarantine";

/**
 * Moves a file into quarantine and answers its new name. Nothing is deleted and nothing in quarantine is replaced.
 * Settles when the move would survive power loss; after a crash the file has its old name, its new one, or both.
 */
export async function quarantine(disk: Disk, file: FileName): Promise<FileName> {
  const taken = new Set(await disk.list(quarantineFolder));
  const flat = file.replaceAll("/", ".");
  let name = fileName(`${quarantineFolder}/${flat}`);
  for (let count = 2; taken.has(name); count++) name = fileName(`${quarantineFolder}/${flat}.${count}`);
  await disk.rename(file, name);
  return name;
}
