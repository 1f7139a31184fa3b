import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

test("every rule of src/protocol/SPEC.md has a test, and every test cites a rule", () => {
  const spec = readFileSync(join(root, "src/protocol/SPEC.md"), "utf8");
  const rules = [...spec.matchAll(/\*\*\[(PROTO\d+)\]\*\*/g)].map((match) => match[1]!);
  expect(new Set(rules).size).toBe(rules.length);
  const cited = new Set<string>();
  for (const file of readdirSync(import.meta.dirname).filter((name) => name.endsWith(".test.ts"))) {
    const source = readFileSync(join(import.meta.dirname, file), "utf8");
    for (const match of source.matchAll(/["'`]\[(PROTO\d+)\]/g)) cited.add(match[1]!);
  }
  expect([...cited].toSorted()).toStrictEqual(rules.toSorted());
});
