import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { performScenario, writeScenario } from "./scenario.ts";

/**
 * Each file of test/scenarios/ is a test of its name. `REWRITE=1` writes what is told now into the files: for a new
 * script, whose lines are then to be read one by one, and never to make a failing one pass.
 */
const folder = new URL("../scenarios/", import.meta.url);

describe("scenarios", () => {
  const files = readdirSync(folder).filter((file) => file.endsWith(".txt"));
  test("there are scenarios", () => {
    expect(files.length).toBeGreaterThan(60);
  });
  test.each(files)("%s", (file) => {
    const text = readFileSync(new URL(file, folder), "utf8");
    const performed = performScenario(text);
    if (process.env["REWRITE"] === "1") writeFileSync(new URL(file, folder), writeScenario(performed));
    for (const { block, told } of performed)
      expect(told, `${file}:${block.line} ${block.command}`).toBe(block.expected);
  });
});
