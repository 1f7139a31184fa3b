import { expect, test } from "vitest";
import { type NodeName, term } from "../../src/base/ids.ts";
import { millis } from "../../src/base/units.ts";
import { OthersQuorum, provenAfterMs } from "../../src/topology/others-quorum.ts";
import { defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";

const n1 = "n1" as NodeName;
const n2 = "n2" as NodeName;

test("[LIF2] the others are a quorum once one leader has said so for longer than silent servers are counted", () => {
  const { suspectAfterMs, ownLagMsMax } = defaultLivenessTiming;
  expect(provenAfterMs).toBeGreaterThan(suspectAfterMs + ownLagMsMax);
  const quorum = new OthersQuorum();
  expect([quorum.leader, quorum.provenAt]).toEqual([null, Infinity]);
  quorum.vouched(millis(50), n2, null);
  expect(quorum.leader).toBe(null);
  quorum.vouched(millis(100), n1, term(3));
  quorum.vouched(millis(2_000), n1, term(3));
  // Who does not lead takes nothing from who does.
  quorum.vouched(millis(2_100), n2, null);
  expect(quorum.leader).toMatchObject({ node: n1, term: 3 });
  expect(quorum.provenAt).toBe(100 + provenAfterMs);
});

test("[LIF3] a later term, a lost quorum and silence begin the wait anew", () => {
  const quorum = new OthersQuorum();
  quorum.vouched(millis(100), n1, term(3));
  quorum.vouched(millis(1_000), n2, term(4));
  expect([quorum.leader?.node, quorum.provenAt]).toEqual([n2, 1_000 + provenAfterMs]);
  // The one before has not heard of it yet.
  quorum.vouched(millis(1_100), n1, term(3));
  expect(quorum.leader?.node).toBe(n2);
  quorum.vouched(millis(1_200), n2, null);
  expect([quorum.leader, quorum.provenAt]).toEqual([null, Infinity]);
  quorum.vouched(millis(1_300), n2, term(4));
  quorum.lost(n1);
  expect(quorum.provenAt).toBe(1_300 + provenAfterMs);
  quorum.lost(n2);
  expect(quorum.provenAt).toBe(Infinity);
});
