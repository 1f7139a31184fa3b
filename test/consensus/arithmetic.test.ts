import { expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { type Change, changedSimply, enteredJoint, leftJoint } from "../../src/consensus/configuration-change.ts";
import {
  type Configuration,
  configurationOf,
  decodeConfiguration,
  encodeConfiguration,
  nobody,
} from "../../src/consensus/configuration.ts";
import { majorityReached, tally } from "../../src/consensus/quorum.ts";
import { meet } from "../../src/sim/consensus-invariants.ts";
import { replicaOf } from "./stage.ts";

test("[MEM7] what a majority has reached is what sorting says, for any voters and values", () => {
  const random = seededRandom(1);
  for (let round = 0; round < 2_000; round++) {
    const voters = Array.from({ length: 1 + random.whole(9) }, (_, at) => replicaOf(`${at}`));
    const values = new Map(voters.map((voter) => [voter, random.whole(5)]));
    const sorted = [...values.values()].sort((left, right) => right - left);
    expect(majorityReached(voters, (voter) => values.get(voter)!)).toBe(sorted[Math.floor(voters.length / 2)]);
  }
});

test("[MEM7] more yes never makes a won vote lost, and an answered vote is never pending", () => {
  const random = seededRandom(2);
  const name = (): ReturnType<typeof replicaOf> => replicaOf(`${random.whole(6)}`);
  for (let round = 0; round < 2_000; round++) {
    const list = (): Configuration["voters"] => [...new Set(Array.from({ length: 1 + random.whole(5) }, name))].sort();
    const configuration = { ...nobody, voters: list(), outgoing: random.whole(2) === 0 ? list() : [] };
    const votes = new Map(
      [...configuration.voters, ...configuration.outgoing].map((voter) => [voter, random.whole(3)]),
    );
    const known = tally(configuration, (voter) => [null, true, false][votes.get(voter)!]!);
    const hopeful = tally(configuration, (voter) => votes.get(voter) !== 2);
    const certain = tally(configuration, (voter) => votes.get(voter) === 1);
    expect(hopeful).not.toBe("pending");
    if (known === "won") expect([hopeful, certain]).toEqual(["won", "won"]);
    if (known === "lost") expect([hopeful, certain]).toEqual(["lost", "lost"]);
    if (known === "pending") expect([hopeful, certain]).toEqual(["won", "lost"]);
  }
});

test("[MEM7] two configurations that follow each other have no majorities apart", () => {
  const random = seededRandom(3);
  for (let round = 0; round < 300; round++) {
    let configuration = configurationOf(Array.from({ length: 1 + random.whole(4) }, (_, at) => replicaOf(`${at}`)));
    for (let step = 0; step < 6; step++) {
      const changes = Array.from({ length: 1 + random.whole(3) }, (): Change => {
        const type = (["voter", "learner", "remove"] as const)[random.whole(3)]!;
        return { type, replica: replicaOf(`${random.whole(6)}`) };
      });
      const next = [
        () => changedSimply(configuration, changes),
        () => enteredJoint(configuration, changes, random.whole(2) === 0),
        () => leftJoint(configuration),
      ][random.whole(3)]!();
      if (!next.ok) continue;
      expect(meet(configuration, next.configuration)).toBe(true);
      expect(decodeConfiguration(encodeConfiguration(next.configuration))).toEqual(next.configuration);
      configuration = next.configuration;
    }
  }
});

test("[MEM7] bytes that are no configuration are none", () => {
  const good = encodeConfiguration(configurationOf([replicaOf("1"), replicaOf("2")], [replicaOf("3")]));
  expect(decodeConfiguration(good)).not.toBeNull();
  expect(decodeConfiguration(Uint8Array.of(2, ...good.slice(1)))).toBeNull();
  expect(decodeConfiguration(Uint8Array.of(...good, 0))).toBeNull();
  for (let length = 0; length < good.length; length++) expect(decodeConfiguration(good.slice(0, length))).toBeNull();
  // Whatever is read is written as the same bytes, and nothing is read with an exception.
  for (let bit = 0; bit < good.length * 8; bit++) {
    const flipped = good.slice();
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    const read = decodeConfiguration(flipped);
    if (read !== null) expect(encodeConfiguration(read)).toEqual(flipped);
  }
});
