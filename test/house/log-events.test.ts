import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";

/** What is told by a name that is put together, or handed on: as it stands in the source, and what it can be. */
const made: Readonly<Record<string, readonly string[]>> = {
  "`peer.${event.type}`": ["peer.suspected", "peer.dead", "peer.disk-stuck", "peer.disk-well"],
};

/** Calls of a log with their first argument, as far as the first comma that is not in a string. */
const call = /\b(?:log|#log|lines)\)?\.(?:info|warn|error)\(\s*((?:"[^"]*"|`[^`]*`|[^,"`)])*)/g;
/** Names that are handed to whoever logs them, or stand there for when none is. */
const handed = /\b(?:unexpected\(|noteDamage\([^;"]*|event = )"([a-z.-]+)"/g;

function loggedNames(): string[] {
  const names = new Set<string>();
  for (const file of filesUnder("src")) {
    if (!/\.tsx?$/.test(file) || file.startsWith("src/sim/")) continue;
    const source = readFileSync(join(root, file), "utf8");
    for (const [, first = ""] of source.matchAll(call)) {
      const template = /`[^`]*`/.exec(first)?.[0];
      if (template !== undefined) for (const name of made[template] ?? [`${file}: ${template}`]) names.add(name);
      for (const [, name = ""] of first.matchAll(/"([^"]*)"/g)) names.add(name);
    }
    for (const [, name = ""] of source.matchAll(handed)) names.add(name);
  }
  return [...names].sort();
}

function documentedNames(): string[] {
  const text = readFileSync(join(root, "docs/operations.md"), "utf8");
  const section = /\n## Log events\n([\s\S]*?)\n## /.exec(text)![1]!;
  return [...section.matchAll(/^\| `([^`]+)` \| \S/gm)].map(([, name]) => name!).sort();
}

test("every event that a server logs is in docs/operations.md, and none that it does not", () => {
  const logged = loggedNames();
  expect(logged.length).toBeGreaterThan(50);
  expect(documentedNames()).toEqual(logged);
});

test("events are named in one way", () => {
  for (const name of loggedNames()) expect(name).toMatch(/^[a-z]+(?:-[a-z]+)*(?:\.[a-z]+(?:-[a-z]+)*)+$/);
});
