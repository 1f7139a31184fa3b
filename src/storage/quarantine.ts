import { type Disk, type FileName, fileName, quarantineFolder } from "./disk.ts";

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
