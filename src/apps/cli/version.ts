import { readFileSync } from "node:fs";

/** The version of this package, from beside what it was built into: src/apps/cli and dist/apps/cli lie equally deep. */
export const version = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
