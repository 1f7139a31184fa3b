import { expect, test } from "vitest";
import { serverUrls, subjectOf } from "../../src/apps/terminal/open-client.ts";

test.each<[string[], boolean, string | null, string[]]>([
  [[], false, null, ["ws://127.0.0.1:7400"]],
  [[], true, null, ["tcp://127.0.0.1:7403"]],
  [[], false, "ws://a:1,wss://b", ["ws://a:1", "wss://b"]],
  [["localhost:7500"], false, "ws://a:1", ["ws://localhost:7500"]],
  [["chat.example.org:7403"], true, null, ["tcp://chat.example.org:7403"]],
  [["tcp://[::1]:7403"], false, null, ["tcp://[::1]:7403"]],
])("%j, tcp %j, SYNOD_URL %j", (typed, tcp, variable, urls) => {
  expect(serverUrls(typed, tcp, variable)).toEqual(urls);
});

test.each<[string, boolean]>([
  ["ftp://x:1", false],
  ["ws://", false],
  ["tcp://host", false],
  ["ws://host:7400", true],
  ["a b", false],
])("%j, tcp %j is refused with what to write", (typed, tcp) => {
  expect(() => serverUrls([typed], tcp, null)).toThrow(/:\/\//);
});

test("the name in a token is a guess, and what is no token has none", () => {
  const token = (claims: unknown): string => `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;
  expect(subjectOf(token({ sub: "alice" }))).toBe("alice");
  for (const none of [null, "", "a.b", token(null), token({ sub: 3 }), token("x")]) expect(subjectOf(none)).toBeNull();
});
