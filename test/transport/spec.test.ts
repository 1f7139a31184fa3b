import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("every rule of SPEC.md has a test, and every id in a title is a rule", () => {
  const folder = new URL("./", import.meta.url);
  const spec = readFileSync(new URL("../../src/transport/SPEC.md", import.meta.url), "utf8");
  const rules = new Set([...spec.matchAll(/^- \*\*\[(PEER\d+)\]\*\*/gm)].map((match) => match[1]));
  const titles = readdirSync(folder)
    .filter((file) => file.endsWith(".test.ts"))
    .flatMap((file) =>
      [...readFileSync(new URL(file, folder), "utf8").matchAll(/\[(PEER\d+)\]/g)].map((match) => match[1]),
    );
  expect(rules.size).toBeGreaterThan(30);
  expect(new Set(titles)).toEqual(rules);
});
