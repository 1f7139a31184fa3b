import { describe, expect, test } from "vitest";
import { type Entry, entryTypes } from "../../src/base/entry.ts";
import { groupId, logIndex, term } from "../../src/base/ids.ts";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { day, timestamp } from "../../src/base/units.ts";
import { EntryTail } from "../../src/consensus/replication/entry-tail.ts";
import { FlushLine } from "../../src/consensus/replication/flush-line.ts";
import { InFlight } from "../../src/consensus/replication/in-flight.ts";
import { TermRuns } from "../../src/consensus/replication/term-runs.ts";

function entryOf(index: number, ofTerm: number, bytes = 1): Entry {
  const stamp = { ts: timestamp(0), day: day(20260101) };
  const place = { group: groupId(0), index: logIndex(index), term: term(ofTerm), type: entryTypes.commands };
  return { ...place, ...stamp, payload: new Uint8Array(bytes) };
}

function manyTimes(run: (random: Random) => void): void {
  for (let seed = 0; seed < 200; seed++) run(seededRandom(seed));
}

describe("the log beside a list of terms", () => {
  test("[REP7] runs of terms know every entry's term, and where two logs may agree", () => {
    manyTimes((random) => {
      const runs = new TermRuns();
      runs.appended(logIndex(0), term(0));
      let terms = [0];
      for (let step = 0; step < 40; step++) {
        const action = random.whole(8);
        if (action === 0 && terms.length > 1) {
          const from = 1 + random.whole(terms.length - 1);
          terms = terms.slice(0, from);
          runs.truncated(logIndex(from));
        } else {
          const last = terms.at(-1)!;
          terms.push(random.whole(3) === 0 ? last + 1 + random.whole(2) : last);
          runs.appended(logIndex(terms.length - 1), term(terms.at(-1)!));
        }
        const index = random.whole(terms.length);
        expect(runs.at(logIndex(index))).toBe(terms[index]);
        const asked = random.whole(6);
        const naive = terms.findLastIndex((ofTerm, at) => at <= index && ofTerm <= asked);
        expect(runs.lastAtMost(logIndex(index), term(asked))).toBe(Math.max(0, naive));
      }
      const base = random.whole(terms.length);
      runs.startAt(logIndex(base), term(terms[base]!));
      for (let index = base; index < terms.length; index++) expect(runs.at(logIndex(index))).toBe(terms[index]);
    });
  });

  test("[REP15] the term of a damaged entry is learned in its place", () => {
    manyTimes((random) => {
      const truth = [0];
      while (truth.length < 12) truth.push(truth.at(-1)! + (random.whole(3) === 0 ? 1 : 0));
      const [first, last] = [2 + random.whole(4), 6 + random.whole(4)];
      const runs = new TermRuns();
      truth.forEach((ofTerm, index) => {
        if (index < first || index > last) runs.appended(logIndex(index), term(ofTerm));
      });
      for (let index = first; index <= last; index++) runs.learned(logIndex(index), term(truth[index]!));
      for (let index = 0; index < truth.length; index++) expect(runs.at(logIndex(index))).toBe(truth[index]);
    });
  });

  test("[REP4] a flush counts for what is in the log now, and for nothing that was replaced", () => {
    manyTimes((random) => {
      const line = new FlushLine(logIndex(0));
      // Beside it: for each entry of the log the ticket that wrote it.
      let tickets: number[] = [0];
      let issued = 0;
      let flushed = 0;
      for (let step = 0; step < 60; step++) {
        if (random.whole(3) === 0) {
          flushed += random.whole(issued - flushed + 1);
          line.flushed(flushed);
        } else {
          const from = 1 + random.whole(tickets.length);
          if (from < tickets.length) line.truncated(logIndex(from));
          const ticket = ++issued;
          tickets = [...tickets.slice(0, from), ...Array.from({ length: 1 + random.whole(3) }, () => ticket)];
          line.wrote(ticket, logIndex(tickets.length - 1));
        }
        const unflushed = tickets.findIndex((ticket) => ticket > flushed);
        expect(line.durable).toBe((unflushed === -1 ? tickets.length : unflushed) - 1);
      }
    });
  });

  test("[REP12] the newest entries are at hand, within their bounds, and follow each other", () => {
    manyTimes((random) => {
      const tail = new EntryTail({ entriesMax: 5, bytesMax: 100 });
      const log = [entryOf(0, 0)];
      for (let step = 0; step < 80; step++) {
        if (random.whole(6) === 0 && log.length > 1) {
          const from = 1 + random.whole(log.length - 1);
          log.length = from;
          tail.truncated(from);
        } else {
          log.push(entryOf(log.length, step, random.whole(60)));
          tail.append(log.at(-1)!);
          expect(tail.at(log.length - 1)).toBe(log.at(-1));
        }
        const from = 1 + random.whole(log.length);
        const found = tail.slice(from, log.length - 1, 50);
        if (found === null) continue;
        expect(found).toEqual(log.slice(from, from + found.length));
        const bytes = found.reduce((sum, { payload }) => sum + payload.length, 0);
        expect(found.length === 1 || bytes <= 50).toBe(true);
      }
      tail.entriesMax = 0;
      tail.append(entryOf(log.length, 99));
      expect(tail.at(log.length)).toBeNull();
    });
  });

  test("[REP8] what is in flight is counted until it has arrived", () => {
    const inFlight = new InFlight({ messagesMax: 3, bytesMax: 10 });
    inFlight.add(logIndex(1), 4);
    inFlight.add(logIndex(3), 4);
    expect([inFlight.isFull, inFlight.bytes]).toEqual([false, 8]);
    inFlight.add(logIndex(4), 0);
    expect(inFlight.isFull).toBe(true);
    inFlight.arrived(logIndex(2));
    expect([inFlight.isFull, inFlight.count, inFlight.bytes]).toEqual([false, 2, 4]);
    inFlight.add(logIndex(5), 9);
    expect(inFlight.isFull).toBe(true);
    inFlight.clear();
    expect([inFlight.isFull, inFlight.bytes]).toEqual([false, 0]);
  });
});
