import { readFileSync } from "node:fs";
import { expect, expectTypeOf, test } from "vitest";
import type * as browser from "../../src/platform/browser/connect.ts";
import type * as node from "../../src/platform/node/connect.ts";

// What a program names when it writes its own functions around the SDK. The compiler fails here when one is not exported.

test("the types of what the SDK gives can be named, in Node and in a browser, and are the same", () => {
  expectTypeOf<node.Chat["state"]>().toEqualTypeOf<node.ChatState>();
  expectTypeOf<ReturnType<typeof node.connect>>().toEqualTypeOf<node.Chat>();
  expectTypeOf<ReturnType<typeof browser.connect>>().toEqualTypeOf<browser.Chat>();
  expectTypeOf<ReturnType<node.Chat["room"]>>().toEqualTypeOf<node.Room>();
  expectTypeOf<ReturnType<node.Room["send"]>>().toEqualTypeOf<node.SentMessage>();
  expectTypeOf<Awaited<node.SentMessage>>().toEqualTypeOf<node.Stored>();
  expectTypeOf<null>().toExtend<node.Stored["seq"]>();
  expectTypeOf<browser.TimelineItem>().toEqualTypeOf<node.TimelineItem>();
  // `item.seq` may be asked of whatever is read.
  expectTypeOf<undefined>().toExtend<node.TimelineItem["seq"]>();
});

test("the reference has all of them but options", () => {
  const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  const lists = [...read("src/client/public-types.ts").matchAll(/^export type \{([^}]*)\}/gm)];
  const names = lists.flatMap(([, list]) => list!.split(",")).map((name) => name.trim());
  const things = names.filter((name) => name !== "" && !/(Options|Content)$/.test(name));
  expect(things.length).toBeGreaterThan(15);
  const text = read("docs/reference/sdk.md");
  expect(things.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});
