import { expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { logIndex, type NodeName, term } from "../../src/base/ids.ts";
import { AskedMoves } from "../../src/server/asked-moves.ts";
import type { Standing } from "../../src/topology/engine.ts";

/** Somebody who waits, and what they were told. */
function waiting(): { told: string[]; done: () => void; failed: (cause: Fault) => void } {
  const told: string[] = [];
  return { told, done: () => told.push("done"), failed: (cause) => told.push(cause.message) };
}

const standing = (role: Standing["role"], leader: string | null, transfersTo: string | null): Standing => ({
  role,
  term: term(2),
  leader: leader as NodeName | null,
  isAuthoritative: true,
  transfersTo: transfersTo as Standing["transfersTo"],
});

test("a change is done when its entry is committed, and not before", () => {
  const [moves, alice] = [new AskedMoves(), waiting()];
  moves.changeAppended(logIndex(5), alice);
  moves.committed(logIndex(4));
  expect(alice.told).toEqual([]);
  moves.committed(logIndex(6));
  moves.committed(logIndex(7));
  moves.end();
  expect(alice.told).toEqual(["done"]);
});

test("a change whose place another entry takes is not done by that one's commit", () => {
  const [moves, alice] = [new AskedMoves(), waiting()];
  moves.changeAppended(logIndex(5), alice);
  moves.entryAppended(logIndex(6));
  expect(alice.told).toEqual([]);
  moves.entryAppended(logIndex(4));
  moves.committed(logIndex(5));
  expect(alice.told).toEqual(["the leader changed before the change was decided"]);
});

test("a transfer is over when another leads; until then it is only under way", () => {
  const [moves, alice] = [new AskedMoves(), waiting()];
  moves.transferAsked(alice);
  moves.standingChanged(standing("leader", "n1", "n2"));
  moves.standingChanged(standing("follower", null, null));
  expect(alice.told).toEqual([]);
  moves.standingChanged(standing("follower", "n2", null));
  moves.standingChanged(standing("leader", "n1", null));
  expect(alice.told).toEqual(["done"]);
});

test("a leader that leads on has not been taken over from", () => {
  const [moves, alice] = [new AskedMoves(), waiting()];
  moves.transferAsked(alice);
  moves.standingChanged(standing("leader", "n1", null));
  expect(alice.told).toEqual(["the other server did not take over in time"]);
});

test("who is overtaken is told so, and the late refusal of the first says nothing to the second", () => {
  const [moves, first, second] = [new AskedMoves(), waiting(), waiting()];
  moves.changeAppended(logIndex(5), first);
  moves.changeAppended(logIndex(6), second);
  moves.committed(logIndex(6));
  expect([first.told, second.told]).toEqual([["the change was overtaken by another one"], ["done"]]);

  const [alice, bob] = [waiting(), waiting()];
  moves.transferAsked(alice);
  moves.transferAsked(bob);
  moves.transferRefused(alice, new Fault("no_quorum", "refused"));
  expect(bob.told).toEqual([]);
  moves.standingChanged(standing("follower", "n2", null));
  expect(bob.told).toEqual(["done"]);
});

test("at the end everybody who waits is told", () => {
  const [moves, alice, bob] = [new AskedMoves(), waiting(), waiting()];
  moves.changeAppended(logIndex(5), alice);
  moves.transferAsked(bob);
  moves.end();
  expect([alice.told, bob.told]).toEqual([["this server is stopping"], ["this server is stopping"]]);
});
