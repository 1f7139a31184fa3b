import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const idPattern = /\[((?:ELE|REP|MEM|READ|MOVE|LIFE|WIRE)\d+)\]/g;

test("every rule of SPEC.md has a test or a scenario, and every id that is cited is a rule", () => {
  const spec = readFileSync(new URL("../../src/consensus/SPEC.md", import.meta.url), "utf8");
  const rules = new Set([...spec.matchAll(/^- \*\*\[([A-Z]+\d+)\]\*\*/gm)].map((match) => match[1]));
  const tests = new URL("./", import.meta.url);
  const scenarios = new URL("../scenarios/", import.meta.url);
  const titles = [
    ...readdirSync(tests)
      .filter((file) => file.endsWith(".test.ts"))
      .map((file) => readFileSync(new URL(file, tests), "utf8")),
    ...readdirSync(scenarios).map((file) => readFileSync(new URL(file, scenarios), "utf8").split("\n", 1)[0]!),
  ];
  const cited = new Set(titles.flatMap((title) => [...title.matchAll(idPattern)].map((match) => match[1])));
  expect(rules.size).toBeGreaterThan(45);
  expect(cited).toEqual(rules);
});
