import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";
import { breaches, cycleIn, importTable } from "./import-table.ts";
import { importsOf, scan } from "./source-scanner.ts";

test("src/ keeps to the import table", () => {
  const files = filesUnder("src")
    .filter((file) => /\.tsx?$/.test(file))
    .map((file) => ({ path: file.slice("src/".length), text: readFileSync(join(root, file), "utf8") }));
  expect(files.length).toBeGreaterThan(0);
  expect(breaches(files)).toEqual([]);
});

test("the table itself has no circle, so no circle can be built within it", () => {
  const allowed = Object.entries(importTable).map(([folder, rule]) => {
    const may = rule.may.map((other) => (typeof other === "string" ? other : other.folder));
    return [folder, new Set(may)] as const;
  });
  expect(cycleIn(new Map(allowed))).toBeNull();
});

describe("a breach is found", () => {
  const cases: readonly { title: string; path: string; text: string; says: string }[] = [
    {
      title: "a folder that may not be known",
      path: "base/ids.ts",
      text: 'import { x } from "../rooms/room.ts";',
      says: "base/ids.ts:1 imports rooms/room.ts: base may not know rooms",
    },
    {
      title: "by type only",
      path: "consensus/group.ts",
      text: '\nimport type { Disk } from "../storage/disk.ts";',
      says: "consensus/group.ts:2 imports storage/disk.ts: consensus may not know storage",
    },
    {
      title: "by re-export",
      path: "client/client.ts",
      text: 'export * from "../server/server.ts";',
      says: "client may not know server",
    },
    {
      title: "by dynamic import",
      path: "transport/link.ts",
      text: 'const later = () => import("../storage/journal.ts");',
      says: "transport may not know storage",
    },
    {
      title: "a file that is not part of the allowance",
      path: "storage/chunk.ts",
      text: 'import { apply } from "../rooms/apply.ts";',
      says: "storage may know only",
    },
    {
      title: "a value where a port is a type",
      path: "platform/node/file-disk.ts",
      text: 'import { Journal, type Disk } from "../../storage/disk.ts";',
      says: "may import only types (ports) from storage",
    },
    {
      title: "election and replication",
      path: "consensus/election/ballot.ts",
      text: 'import { progress } from "../replication/progress.ts";',
      says: "consensus/election and consensus/replication never meet",
    },
    {
      title: "the simulator in an application",
      path: "apps/terminal/main.ts",
      text: 'import { world } from "../../sim/world.ts";',
      says: "apps/terminal may not know sim",
    },
    {
      title: "a Node module",
      path: "client/outbox.ts",
      text: 'import "node:fs";',
      says: "imports node:fs, client may not",
    },
    {
      title: "a package",
      path: "server/server.ts",
      text: 'import pino from "pino";',
      says: "imports pino, server may not",
    },
    { title: "an unknown folder", path: "utils/strings.ts", text: "", says: "not in the import table" },
    { title: "a barrel", path: "rooms/index.ts", text: "", says: "name the one thing inside" },
    {
      title: "the clock",
      path: "rooms/room.ts",
      text: "const a = Date\n  .now();",
      says: "rooms/room.ts:1 mentions Date.now",
    },
    { title: "today", path: "server/day.ts", text: "const a = new Date();", says: "mentions new Date()" },
    { title: "chance", path: "consensus/a.ts", text: "f(`${Math.random()}`);", says: "mentions Math.random" },
    {
      title: "a timer by another name",
      path: "client/a.ts",
      text: "const { setTimeout: later } = globalThis;",
      says: "setTimeout",
    },
    { title: "a timer in the simulator", path: "sim/a.ts", text: "setTimeout(turn, 5);", says: "mentions setTimeout" },
    { title: "the process", path: "storage/a.ts", text: "process.exit(1);", says: "mentions process." },
  ];
  test.each(cases)("$title", ({ path, text, says }) => {
    expect(breaches([{ path, text }]).join("\n")).toContain(says);
  });

  test("a circle between folders", () => {
    const circle = breaches([
      { path: "server/a.ts", text: 'import { b } from "../storage/b.ts";' },
      { path: "storage/b.ts", text: 'import { a } from "../server/a.ts";' },
    ]);
    expect(circle.at(-1)).toBe("these folders import each other in a circle: server -> storage -> server");
  });
});

describe("what is allowed stays allowed", () => {
  const cases: readonly { title: string; path: string; text: string }[] = [
    { title: "the own folder", path: "base/a.ts", text: 'import { b } from "./b.ts";' },
    { title: "a record format", path: "storage/a.ts", text: 'import { r } from "../rooms/message-record.ts";' },
    { title: "a turn of the event loop in the simulator", path: "sim/a.ts", text: "setImmediate(turn);" },
    { title: "a checksum", path: "storage/a.ts", text: 'import { crc32 } from "node:zlib";' },
    {
      title: "a port",
      path: "platform/node/a.ts",
      text: 'import { type Disk, type FileName } from "../../storage/disk.ts";',
    },
    { title: "the outside, where it gets in", path: "platform/node/a.ts", text: "setTimeout(f, Date.now());" },
    { title: "the simulator in the command", path: "apps/cli/a.ts", text: 'import { w } from "../../sim/world.ts";' },
    { title: "a date made from a number", path: "server/a.ts", text: "const a = new Date(ts);" },
    {
      title: "words in comments, strings and patterns",
      path: "base/a.ts",
      text: `// Date.now()\n/* import "node:fs" */ const a = 'process.exit', b = "it's", c = \`setTimeout \${b} Math.random()\`, d = /"Date.now()/;`,
    },
  ];
  test.each(cases)("$title", ({ path, text }) => {
    expect(breaches([{ path, text }])).toEqual([]);
  });
});

test("every way to name a module is read, and nothing else is taken for one", () => {
  const source = `
    import "./effect.ts";
    import whole from "./whole.ts";
    import * as all from './all.ts';
    import type { A } from "./type.ts";
    import { type B, type C as D } from "./inline-types.ts";
    import { type E, f } from "./mixed.ts";
    import type from "./type-as-name.ts";
    import {
      g, // from "./comment.ts"
    } from "./lines.ts";
    export { h } from "./re-export.ts";
    export type { I } from "./re-export-type.ts";
    export * from "./star.ts";
    export * as name from "./star-name.ts";
    export { local };
    export const from = "./not-a-module.ts";
    export default "./default.ts";
    const here = import.meta.url;
    const later = await import("./dynamic.ts");
    const half = total / 2; const other = "a" / 3;
    const text = \`import "\${await import("./in-template.ts")}" from "./no.ts"\`;
    export function j(): void {}
    import { last } from "./last.ts"`;
  expect(importsOf(scan(source)).map((edge) => [edge.specifier, edge.typesOnly])).toEqual([
    ["./effect.ts", false],
    ["./whole.ts", false],
    ["./all.ts", false],
    ["./type.ts", true],
    ["./inline-types.ts", true],
    ["./mixed.ts", false],
    ["./type-as-name.ts", false],
    ["./lines.ts", false],
    ["./re-export.ts", false],
    ["./re-export-type.ts", true],
    ["./star.ts", false],
    ["./star-name.ts", false],
    ["./dynamic.ts", false],
    ["./in-template.ts", false],
    ["./last.ts", false],
  ]);
});
