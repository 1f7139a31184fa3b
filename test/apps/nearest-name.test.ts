import { expect, test } from "vitest";
import { editDistance, nearestName } from "../../src/apps/cli/nearest-name.ts";

test.each([
  ["", "", 0],
  ["port", "port", 0],
  ["prot", "port", 1],
  ["kitten", "sitting", 3],
  ["", "abc", 3],
  ["ca", "abc", 3],
])("%j is so far from %j", (one, other, distance) => {
  expect(editDistance(one, other)).toBe(distance);
  expect(editDistance(other, one)).toBe(distance);
});

test("the nearest name is answered, and none when none is near", () => {
  const names = ["port", "tcpPort", "retention.days"];
  expect(nearestName("prot", names)).toBe("port");
  expect(nearestName("PORT", names)).toBe("port");
  expect(nearestName("retention.day", names)).toBe("retention.days");
  expect(nearestName("colour", names)).toBeNull();
  expect(nearestName("x".repeat(10_000), names)).toBeNull();
});
