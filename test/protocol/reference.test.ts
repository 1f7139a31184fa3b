import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { errorCodes } from "../../src/base/error-codes.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { layouts } from "../../src/protocol/layout.ts";
import { senders } from "./arbitrary-frames.ts";
import { blocks } from "./reference-blocks.ts";

/** SYNOD_WRITE_REFERENCE=1 writes the generated parts instead of comparing them. */
const root = join(import.meta.dirname, "../..");
const read = (file: string): string => readFileSync(join(root, "docs/reference", file), "utf8");
const generated = blocks(readFileSync(join(root, "src/base/limits.ts"), "utf8"));
const begin = (name: string): string => `<!-- generated: ${name} -->\n`;
const end = "\n<!-- end -->";

/** Where a generated part stands in a document. */
function placeOf(document: string, name: string): readonly [number, number] {
  const from = document.indexOf(begin(name)) + begin(name).length;
  const to = document.indexOf(end, from);
  if (from < begin(name).length || to === -1) return expect.fail(`no place for ${name}`);
  return [from, to];
}

describe("docs/reference", () => {
  test.each(generated)("[PROTO16] $file: $name", ({ file, name, text }) => {
    const document = read(file);
    const [from, to] = placeOf(document, name);
    if (process.env["SYNOD_WRITE_REFERENCE"] === "1") {
      writeFileSync(join(root, "docs/reference", file), document.slice(0, from) + text + document.slice(to));
    }
    expect(read(file)).toContain(begin(name) + text + end);
  });

  test("[PROTO16] every offset in the tables of protocol.md is the schema's", () => {
    const document = read("protocol.md");
    for (const sender of senders) {
      const [from, to] = placeOf(document, `${sender} frames`);
      const sections = document.slice(from, to).split("### ").slice(1);
      expect(sections).toHaveLength(layouts[sender].length);
      for (const [i, layout] of layouts[sender].entries()) {
        const found = [...sections[i]!.matchAll(/^\| `([a-zA-Z]+)`\??.*?(?:u48|length u16|length u32) @(\d+)/gm)];
        const offsets = Object.fromEntries(found.map((match) => [match[1]!, Number(match[2])]));
        const expected = layout.slots.filter((slot) => slot.size !== 0).map((slot) => [slot.name, slot.at] as const);
        expect([layout.name, offsets]).toStrictEqual([layout.name, Object.fromEntries(expected)]);
        expect(sections[i]).toContain(`code ${layout.spec.code},`);
        expect(sections[i]).toContain(`header ${layout.headerBytes} bytes`);
      }
    }
  });

  test("[PROTO16] errors.md and limits.md name every code and every limit once", () => {
    for (const code of Object.keys(errorCodes)) expect(read("errors.md").split(`| \`${code}\` |`)).toHaveLength(2);
    for (const limit of Object.keys(defaultLimits)) expect(read("limits.md").split(`| \`${limit}\` |`)).toHaveLength(2);
  });
});
