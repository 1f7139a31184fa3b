import { writeFileSync } from "node:fs";
import { afterAll } from "vitest";

/** Leaves what a sweep counted in the file that SYNOD_COUNTS names, for the campaign that started it; without one, nowhere. */
export function leaveCounts(counts: Readonly<Record<string, number>>): void {
  afterAll(() => {
    const file = process.env["SYNOD_COUNTS"];
    if (file !== undefined) writeFileSync(file, JSON.stringify(counts));
  });
}
