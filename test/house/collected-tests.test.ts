import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";

/** What waits while tests are only being collected: at the top of a file, or in the body of a `describe`. */
function waitsWhileCollected(source: string): string[] {
  // Programs that a test writes for others stand in templates.
  const own = source.replaceAll(/`(?:\\.|[^`\\])*`/g, "``");
  return [...own.matchAll(/^(?:(?:const|let) .*= )?await .*$|^\s*describe\b.*\basync\b.*$/gm)].map(([line]) => line);
}

test("nothing waits while tests are collected: what it started would outlive a run that filters its tests away", () => {
  expect(waitsWhileCollected("const server = await serve(data);\n")).toHaveLength(1);
  expect(waitsWhileCollected('describe("one server", async () => {\n')).toHaveLength(1);
  const files = filesUnder("test").filter((file) => file.endsWith(".test.ts"));
  expect(files.length).toBeGreaterThan(50);
  const waiting = files.flatMap((file) =>
    waitsWhileCollected(readFileSync(join(root, file), "utf8")).map((line) => `${file}: ${line}`),
  );
  expect(waiting).toEqual([]);
});
