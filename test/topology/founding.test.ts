import { describe, expect, test } from "vitest";
import type { ClusterId, NodeName } from "../../src/base/ids.ts";
import { founding, type FoundingVerdict } from "../../src/topology/founding.ts";

const x = "x" as ClusterId;
const y = "y" as ClusterId;
const node = (name: string): NodeName => name as NodeName;
const three = ["n1", "n2", "n3"];

interface Case {
  readonly self: string;
  readonly directory?: ClusterId;
  readonly listed: readonly string[];
  readonly said?: Readonly<Record<string, ClusterId | null>>;
}

function asked({ self, directory, listed, said = {} }: Case): FoundingVerdict {
  return founding({
    self: node(self),
    directory: directory ?? null,
    listed: listed.map(node),
    said: new Map(Object.entries(said).map(([name, cluster]) => [node(name), cluster])),
  });
}

/** The verdict in one word and whom it is about. */
function told(of: Case): string {
  const verdict = asked(of);
  switch (verdict.type) {
    case "found":
      return "found";
    case "join":
    case "go-on":
      return `${verdict.type} ${verdict.cluster}`;
    case "wait":
      return `wait ${verdict.why}: ${verdict.for.join(" ")}`;
    case "refuse":
      return `refuse: ${[...verdict.clusters].map(([name, cluster]) => `${name} ${cluster}`).join(" ")}`;
  }
}

const cases: readonly (readonly [rule: string, of: Case, verdict: string])[] = [
  ["FND1", { self: "n1", directory: x, listed: three }, "go-on x"],
  ["FND1", { self: "n1", directory: x, listed: [] }, "go-on x"],
  ["FND1", { self: "n1", directory: x, listed: three, said: { n2: null, n3: null } }, "go-on x"],
  ["FND1", { self: "n1", directory: x, listed: three, said: { n2: y } }, "go-on x"],
  ["FND1", { self: "n9", directory: x, listed: three }, "go-on x"],

  ["FND2", { self: "n2", listed: three, said: { n1: x } }, "join x"],
  ["FND2", { self: "n1", listed: three, said: { n2: x, n3: x } }, "join x"],
  ["FND2", { self: "n1", listed: three, said: { n2: null, n3: x } }, "join x"],
  ["FND2", { self: "n1", listed: ["n1"], said: { n2: x } }, "join x"],
  ["FND2", { self: "n1", listed: [], said: { n2: x } }, "join x"],
  ["FND2", { self: "n4", listed: ["n1"], said: { n1: x } }, "join x"],

  ["FND3", { self: "n1", listed: three, said: { n2: x, n3: y } }, "refuse: n2 x n3 y"],
  ["FND3", { self: "n3", listed: three, said: { n1: x, n4: y } }, "refuse: n1 x n4 y"],

  ["FND4", { self: "n1", listed: [] }, "found"],
  ["FND4", { self: "n1", listed: ["n1"] }, "found"],
  ["FND4", { self: "n7", listed: ["n7", "n7"] }, "found"],
  ["FND4", { self: "n1", listed: ["n1"], said: { n2: null } }, "found"],

  ["FND5", { self: "n1", listed: ["n1", "n2"], said: { n2: null } }, "found"],
  ["FND5", { self: "n2", listed: ["n1", "n2"], said: { n1: null } }, "wait founder: n1"],
  ["FND5", { self: "n1", listed: three }, "wait silent: n2 n3"],
  ["FND5", { self: "n1", listed: three, said: { n2: null } }, "wait silent: n3"],
  ["FND5", { self: "n1", listed: three, said: { n2: null, n4: null } }, "wait silent: n3"],
  ["FND5", { self: "n1", listed: three, said: { n2: null, n3: null } }, "found"],
  ["FND5", { self: "n2", listed: three, said: { n1: null, n3: null } }, "wait founder: n1"],
  ["FND5", { self: "n10", listed: ["n10", "n9"], said: { n9: null } }, "found"],

  ["FND6", { self: "n4", listed: three }, "wait not-listed: n1 n2 n3"],
  ["FND6", { self: "n0", listed: three, said: { n1: null, n2: null, n3: null } }, "wait not-listed: n1 n2 n3"],
  ["FND6", { self: "n4", listed: ["n1"] }, "wait not-listed: n1"],

  ["FND7", { self: "n1", listed: three, said: { n2: x } }, "join x"],
  ["FND7", { self: "n1", listed: three, said: { n2: null } }, "wait silent: n3"],
  ["FND7", { self: "n3", listed: three, said: { n2: x } }, "join x"],
];

describe("what an empty directory becomes", () => {
  test.each(cases)("[%s] %o: %s", (_rule, of, verdict) => {
    expect(told(of)).toBe(verdict);
  });

  test("[FND5] two empty servers with each other in their lists: one founds, the other waits for it", () => {
    const listed = ["n1", "n2"];
    expect(["n1", "n2"].map((self) => told({ self, listed, said: { [self === "n1" ? "n2" : "n1"]: null } }))).toEqual([
      "found",
      "wait founder: n1",
    ]);
  });
});
