/**
 * The files of this repository, seen from its root.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Every file below a folder of the repository, as paths from the root with forward slashes; none when it does not exist.
 *
 * @param {string} folder
 * @returns {string[]}
 */
export function filesUnder(folder) {
  const start = join(root, folder);
  if (!existsSync(start)) return [];
  return readdirSync(start, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join("/"));
}

/**
 * One number for the names and contents of some files, in the order given.
 *
 * @param {string[]} files
 * @returns {string}
 */
export function hashFiles(files) {
  const hash = createHash("sha256");
  for (const file of files) {
    // Lengths keep "ab" + "c" apart from "a" + "bc".
    const bytes = readFileSync(join(root, file));
    hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest("hex");
}

/**
 * @param {string} file path from the root of the repository
 * @returns {unknown}
 */
export function readJson(file) {
  return JSON.parse(readFileSync(join(root, file), "utf8"));
}
