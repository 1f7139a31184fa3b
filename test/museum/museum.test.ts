import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { exhibits, museumPage, pageOf, runMuseum, tableOf } from "../../scripts/museum.mjs";

test("each bug of the museum is caught by the test that it names", async () => {
  const shown = exhibits();
  expect(shown.length).toBeGreaterThan(45);
  const caught = await runMuseum(shown);
  process.stdout.write(`${tableOf(caught)}\n`);
  expect(caught.filter(({ isCaught }) => !isCaught).map(({ exhibit, how }) => `${exhibit.name}: ${how}`)).toEqual([]);
});

test("the page tells of the museum as it is", () => {
  const page = existsSync(museumPage) ? readFileSync(museumPage, "utf8") : "";
  expect(page, "write it with: node scripts/museum.mjs --write").toBe(pageOf(exhibits()));
});
