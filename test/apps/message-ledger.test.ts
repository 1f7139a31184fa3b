import { expect, test } from "vitest";
import { MessageLedger } from "../../src/apps/cli/demo/message-ledger.ts";

const servers = ["n1", "n2", "n3"];
const readers = ["alice", "bob"];
const message = (seq: number, cid = `c${seq}`, from = "alice") => ({ seq, from, cid, body: `body of ${cid}` });

function ledger(): MessageLedger {
  return new MessageLedger({ servers: servers.length, readers });
}

/** Said, acknowledged, shown by these servers and given to everybody. */
function goes(books: MessageLedger, seq: number, shownBy: readonly string[] = servers): void {
  const { from, cid, body } = message(seq);
  books.says(from, cid, body);
  books.acknowledges(from, cid, seq);
  for (const server of shownBy) books.shows(server, message(seq));
  for (const reader of readers) books.gives(reader, message(seq));
}

const wrong = (books: MessageLedger) => {
  const { lost, twice, disordered } = books.count(books.mark());
  return { lost, twice, disordered };
};

test("what is acknowledged is counted as stored once a quorum shows it, and as delivered once everybody was given it", () => {
  const books = ledger();
  books.says("alice", "c1", "body of c1");
  expect(books.count(books.mark())).toMatchObject({ said: 1, onTheirWay: 1, acknowledged: 0, stored: 0, delivered: 0 });
  books.acknowledges("alice", "c1", 1);
  expect(books.count(books.mark())).toMatchObject({ onTheirWay: 0, acknowledged: 1, stored: 0, delivered: 0 });
  books.shows("n1", message(1));
  books.gives("alice", message(1));
  expect(books.count(books.mark())).toMatchObject({ acknowledged: 1, stored: 0, delivered: 0 });
  books.shows("n3", message(1));
  books.gives("bob", message(1));
  expect(books.count(books.mark())).toMatchObject({ acknowledged: 1, stored: 1, delivered: 1 });
  expect(wrong(books)).toEqual({ lost: 0, twice: 0, disordered: 0 });
});

test("what everybody has is forgotten and still counted; what was acknowledged after the mark is not", () => {
  const books = ledger();
  for (let seq = 1; seq <= 50; seq++) goes(books, seq, seq > 40 ? ["n1", "n2"] : servers);
  const mark = books.mark();
  goes(books, 51, ["n1", "n2"]);
  expect(books.count(mark)).toMatchObject({ acknowledged: 50, stored: 50, delivered: 50 });
  // The third comes back, and shows what it missed.
  for (let seq = books.shownBy("n3") + 1; seq <= 51; seq++) books.shows("n3", message(seq));
  expect(books.count(books.mark())).toMatchObject({ acknowledged: 51, stored: 51, delivered: 51 });
  expect(wrong(books)).toEqual({ lost: 0, twice: 0, disordered: 0 });
});

test("an acknowledged message in whose place another one stands is lost", () => {
  const books = ledger();
  books.says("alice", "c1", "body of c1");
  books.acknowledges("alice", "c1", 1);
  books.says("bob", "other", "body of other");
  books.shows("n1", message(1, "other", "bob"));
  expect(wrong(books)).toMatchObject({ lost: 1 });
  // The other way round: it was seen before its neighbour was acknowledged there.
  const later = ledger();
  later.says("bob", "other", "body of other");
  later.shows("n1", message(1, "other", "bob"));
  later.says("alice", "c1", "body of c1");
  later.acknowledges("alice", "c1", 1);
  expect(wrong(later)).toMatchObject({ lost: 1 });
});

test("a message at a second place is there twice, also when the first is long forgotten", () => {
  const books = ledger();
  goes(books, 1, ["n1"]);
  books.shows("n1", message(2, "c1"));
  expect(wrong(books)).toMatchObject({ twice: 1 });
  const old = ledger();
  goes(old, 1);
  old.shows("n1", message(2, "c1"));
  expect(wrong(old)).toMatchObject({ twice: 1 });
});

test("numbers that leave one out, other words than were said, and servers that differ are noticed", () => {
  const skipping = ledger();
  goes(skipping, 1);
  skipping.says("alice", "c3", "body of c3");
  skipping.gives("bob", message(3));
  expect(wrong(skipping)).toMatchObject({ disordered: 1 });
  const changed = ledger();
  changed.says("alice", "c1", "something else");
  changed.gives("bob", message(1));
  expect(wrong(changed)).toMatchObject({ disordered: 1 });
  const differing = ledger();
  differing.says("alice", "c1", "body of c1");
  differing.says("alice", "c2", "body of c2");
  differing.shows("n1", message(1, "c1"));
  differing.shows("n2", message(1, "c2"));
  expect(wrong(differing)).toMatchObject({ disordered: 1 });
});

test("somebody who joins in takes places and is not counted", () => {
  const books = ledger();
  goes(books, 1);
  const carols = { ...message(2, "hello", "carol"), body: "hi" };
  for (const server of servers) books.shows(server, carols);
  for (const reader of readers) books.gives(reader, carols);
  goes(books, 3);
  expect(books.count(books.mark())).toMatchObject({ said: 2, acknowledged: 2, stored: 2, delivered: 2 });
  expect(wrong(books)).toEqual({ lost: 0, twice: 0, disordered: 0 });
});

test("what was refused for good waits for nothing", () => {
  const books = ledger();
  books.says("alice", "c1", "x");
  books.refused("alice", "c1");
  expect(books.count(books.mark())).toMatchObject({ said: 1, onTheirWay: 0, acknowledged: 0 });
});
