import { filesUnder, hashFiles } from "../scripts/repository.mjs";

/** A number below 2^24 that any change of the sources changes: fresh for every change, and the same for the same sources. */
export function seedOfSources(): number {
  return Number.parseInt(hashFiles(filesUnder("src").sort()).slice(0, 6), 16);
}
