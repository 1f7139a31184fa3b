import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("every rule of SPEC.md has a test, and every id that is cited is a rule", () => {
  const spec = readFileSync(new URL("../../src/topology/SPEC.md", import.meta.url), "utf8");
  const rules = new Set([...spec.matchAll(/^- \*\*\[([A-Z]+\d+)\]\*\*/gm)].map((match) => match[1]));
  const tests = new URL("./", import.meta.url);
  const files = readdirSync(tests).filter((file) => file.endsWith(".test.ts"));
  // What a silent member does needs a whole server.
  const texts = [...files, "../server/another-life.test.ts"].map((file) => readFileSync(new URL(file, tests), "utf8"));
  const cited = new Set(texts.flatMap((text) => [...text.matchAll(/\b(?:FND|LIF)\d+\b/g)].map(([id]) => id)));
  expect(rules.size).toBeGreaterThan(8);
  expect(cited).toEqual(rules);
});
