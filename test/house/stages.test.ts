import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../../scripts/repository.mjs";
import { longestFirst, stages } from "../../scripts/stages.mjs";

const longest = stages.flatMap((stage) => stage.longest ?? []);

test("the test files that a stage names as long are there, and begun first; the others keep their order", () => {
  expect(longest.filter((file) => !existsSync(join(root, file)))).toEqual([]);
  const files = ["test/b.test.ts", ...longest, "test/a.test.ts"];
  expect(longestFirst(files, (file) => file)).toEqual([...longest, "test/b.test.ts", "test/a.test.ts"]);
});
