import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { filesUnder, root } from "../../scripts/repository.mjs";

const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** Pages for people: at the top, in docs/, and the rules beside the sources. */
const pages = ["README.md", "README.zh-CN.md", "ARCHITECTURE.md", ...filesUnder("docs"), ...filesUnder("src")].filter(
  (file) => file.endsWith(".md"),
);

interface Block {
  readonly language: string;
  readonly lines: readonly string[];
}

/** What stands between fences, and the page without it. */
function partsOf(page: string): { blocks: Block[]; prose: string[] } {
  const blocks: Block[] = [];
  const prose: string[] = [];
  let open: { language: string; lines: string[] } | null = null;
  for (const line of page.split("\n")) {
    const fence = /^```(\S*)/.exec(line);
    if (fence === null) {
      (open?.lines ?? prose).push(line);
    } else if (open === null) {
      open = { language: fence[1]!, lines: [] };
    } else {
      blocks.push(open);
      open = null;
    }
  }
  expect(open, "a fence that is never closed").toBeNull();
  return { blocks, prose };
}

const headingsOf = (prose: readonly string[]): string[] => prose.filter((line) => /^#{1,6} /.test(line));

/** How a heading is named in a link: as the usual hosts of Markdown do it. */
const anchorOf = (heading: string): string =>
  heading
    .replace(/^#+ /, "")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");

interface Link {
  readonly path: string;
  readonly anchor: string | null;
}

/** Links to files of this repository. */
function linksOf(prose: readonly string[]): Link[] {
  const targets = [...prose.join("\n").matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1]!);
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [path = "", anchor = null] = target.split("#") as [string?, (string | null)?];
      return { path, anchor };
    });
}

describe("links between pages", () => {
  test("there are pages, and links in them", () => {
    expect(pages.length).toBeGreaterThan(10);
    expect(linksOf(partsOf(textOf("README.md")).prose).length).toBeGreaterThan(10);
  });

  test.each(pages)("%s leads to what is there", (page) => {
    for (const { path, anchor } of linksOf(partsOf(textOf(page)).prose)) {
      const target = path === "" ? page : join(dirname(page), decodeURIComponent(path));
      expect(existsSync(join(root, target)), `${page} leads to ${target}`).toBe(true);
      if (anchor === null || statSync(join(root, target)).isDirectory()) continue;
      const anchors = headingsOf(partsOf(textOf(target)).prose).map(anchorOf);
      expect(anchors, `${page} leads to a part of ${target}`).toContain(anchor);
    }
  });
});

describe("the README in two languages", () => {
  const english = partsOf(textOf("README.md"));
  const chinese = partsOf(textOf("README.zh-CN.md"));

  test("the same headings, by level and number", () => {
    const levels = (prose: readonly string[]): string[] => headingsOf(prose).map((line) => /^#+/.exec(line)![0]);
    expect(levels(chinese.prose)).toEqual(levels(english.prose));
    expect(levels(english.prose).length).toBeGreaterThan(8);
  });

  test("the same commands, programs and outputs; only what a comment says differs", () => {
    const plain = ({ language, lines }: Block): Block => ({
      language,
      lines: language === "js" ? lines.map((line) => line.replace(/\s+\/\/ .*$/, "")) : lines,
    });
    expect(chinese.blocks.map(plain)).toEqual(english.blocks.map(plain));
    expect(english.blocks.filter(({ language }) => language === "sh").length).toBeGreaterThan(5);
  });

  test("the same links, and as many rows in the tables and points in the lists", () => {
    const others = ({ path }: Link): boolean => !path.startsWith("README");
    expect(linksOf(chinese.prose).filter(others)).toEqual(linksOf(english.prose).filter(others));
    const count = (prose: readonly string[], start: string): number =>
      prose.filter((line) => line.startsWith(start)).length;
    expect(count(chinese.prose, "|")).toBe(count(english.prose, "|"));
    expect(count(chinese.prose, "- ")).toBe(count(english.prose, "- "));
  });

  test("names only scripts that npm knows", () => {
    const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
    const commands = english.blocks.filter(({ language }) => language === "sh").flatMap(({ lines }) => lines);
    const named = commands.flatMap((line) => [...line.matchAll(/npm (?:run )?([a-z:]+)/g)].map((match) => match[1]!));
    expect(named.length).toBeGreaterThan(1);
    for (const name of named) expect(Object.keys(scripts)).toContain(name);
  });
});
