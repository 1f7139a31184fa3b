import { describe, expect, test } from "vitest";
import { groupId, type NodeName } from "../../../src/base/ids.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import {
  catchUpFrameKinds,
  decodeCatchUp,
  encodeCatchUp,
  type CatchUpFrame,
  type Item,
  type Piece,
  pieceBytesMax,
  type Want,
} from "../../../src/server/catch-up/catch-up-frames.ts";
import {
  defaultDownloadSettings,
  type DownloadEffect,
  Downloads,
  type WantedItem,
} from "../../../src/server/catch-up/downloads.ts";

const [a, b, c] = ["a", "b", "c"] as NodeName[] as [NodeName, NodeName, NodeName];
const chunk = (number: number, generation = 0): Item => ({ kind: "chunk", group: groupId(0), number, generation });
const snapshot = (number: number): Item => ({ kind: "snapshot", group: groupId(0), number, generation: 0 });
const wanted = (item: Item, isUrgent = false): WantedItem => ({ item, isUrgent, bytesMax: 10 * 1024 * 1024 });
const mebibyte = 1024 * 1024;

/** The bytes of an item: the same wherever it is. */
function contentOf(item: Item, length = 300_000): Uint8Array {
  const seed = item.number * 7 + item.generation + (item.kind === "chunk" ? 1_000 : 0);
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (seed + at * 31 + (at >> 8)) & 0xff;
  return bytes;
}

function pieceFor(want: Want, content: Uint8Array, item: Item = want.item): Piece {
  const bytes = content.slice(want.offset, want.offset + want.length);
  return { type: "piece", request: want.request, item, total: content.length, offset: want.offset, bytes };
}

/** What a step asks to be sent, and the rest of what it asks for. */
function split(effects: readonly DownloadEffect[]): {
  wants: { to: NodeName; want: Want }[];
  done: { item: Item; bytes: Uint8Array }[];
  nowhere: Item[];
} {
  return {
    wants: effects.filter((effect) => effect.type === "send"),
    done: effects.filter((effect) => effect.type === "complete"),
    nowhere: effects.filter((effect) => effect.type === "nowhere").map(({ item }) => item),
  };
}

describe("frames", () => {
  const frames: CatchUpFrame[] = [
    { type: "want", request: 2 ** 40, item: chunk(7, 3), offset: 2 ** 33, length: pieceBytesMax },
    { type: "piece", request: 9, item: snapshot(2 ** 41), total: 100, offset: 90, bytes: new Uint8Array(10).fill(5) },
    { type: "piece", request: 9, item: chunk(1), total: 0, offset: 0, bytes: new Uint8Array(0) },
    { type: "absent", request: 12 },
    { type: "checkpoint", item: chunk(4, 2), digest: new Uint8Array(32).fill(3) },
    { type: "lacks", group: groupId(3), count: 0, chunks: [] },
    { type: "lacks", group: groupId(0), count: 5_000, chunks: Array.from({ length: 4_096 }, (_, at) => 2 ** 40 + at) },
  ];

  test("[CATCH1] every frame survives its bytes, and nothing else is one", () => {
    for (const frame of frames) {
      const { kind, payload } = encodeCatchUp(frame);
      expect(decodeCatchUp(kind, payload)).toEqual(frame);
      expect(payload.length).toBeLessThanOrEqual(64 * 1024);
      if (frame.type !== "piece") expect(decodeCatchUp(kind, Uint8Array.of(...payload, 0))).toBeNull();
      for (let length = 0; length < Math.min(payload.length, 31); length++) {
        expect(decodeCatchUp(kind, payload.subarray(0, length))).toBeNull();
      }
    }
    const random = seededRandom(3);
    for (let round = 0; round < 5_000; round++) {
      const found = decodeCatchUp(16 + random.whole(5), random.bytes(random.whole(60)));
      if (found?.type === "piece") expect(found.offset + found.bytes.length).toBeLessThanOrEqual(found.total);
      if (found?.type === "want") expect(found.length).toBeLessThanOrEqual(pieceBytesMax);
    }
    expect(decodeCatchUp(catchUpFrameKinds.want + 9, encodeCatchUp(frames[0]!).payload)).toBeNull();
  });
});

describe("one item", () => {
  test("[CATCH2] it is asked for piece by piece, so many at a time, and is whole in the end", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a] });
    const content = contentOf(chunk(1), mebibyte);
    const first = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
    expect(first.wants.map(({ to, want }) => [to, want.offset])).toEqual([["a", 0]]);
    // How large it is was not known before.
    const waiting = split(
      downloads.step({ type: "piece", now: 1, from: a, piece: pieceFor(first.wants[0]!.want, content) }),
    );
    expect(waiting.wants).toHaveLength(8);
    const queue = [...waiting.wants];
    let done: ReturnType<typeof split>["done"] = [];
    while (queue.length > 0) {
      expect(queue.length).toBeLessThanOrEqual(8);
      const { want } = queue.shift()!;
      const next = split(downloads.step({ type: "piece", now: 2, from: a, piece: pieceFor(want, content) }));
      queue.push(...next.wants);
      done = next.done;
    }
    expect(done).toHaveLength(1);
    expect(Buffer.compare(done[0]!.bytes, content)).toBe(0);
    expect(downloads.step({ type: "stored", now: 3, item: chunk(1) })).toEqual([]);
    expect([downloads.progress, downloads.dueAt]).toEqual([[], Infinity]);
  });

  test("[CATCH3] when a link is lost the rest is asked of the next server, and nothing twice", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    const content = contentOf(chunk(1));
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
    ({ wants } = split(downloads.step({ type: "piece", now: 0, from: a, piece: pieceFor(wants[0]!.want, content) })));
    const [second, ...others] = wants;
    downloads.step({ type: "piece", now: 0, from: a, piece: pieceFor(second!.want, content) });
    const moved = split(downloads.step({ type: "linked", now: 1, peers: [b] })).wants;
    expect(moved.map(({ to, want }) => [to, want.offset])).toEqual(others.map(({ want }) => ["b", want.offset]));
    // What comes late, from who is not asked any more, is nothing.
    expect(downloads.step({ type: "piece", now: 1, from: a, piece: pieceFor(others[0]!.want, content) })).toEqual([]);
    // With no link at all what is here stays.
    downloads.step({ type: "linked", now: 2, peers: [] });
    expect(downloads.progress[0]).toMatchObject({ from: null, bytes: 2 * pieceBytesMax });
    const again = split(downloads.step({ type: "linked", now: 3, peers: [c] })).wants;
    expect(again.map(({ want }) => want.offset)).toEqual(others.map(({ want }) => want.offset));
  });

  test("[CATCH3] a server that does not answer in time is left for the next", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] });
    expect(downloads.dueAt).toBe(5_000);
    expect(downloads.step({ type: "tick", now: 4_999 })).toEqual([]);
    const { wants } = split(downloads.step({ type: "tick", now: 5_000 }));
    expect(wants.map(({ to }) => to)).toEqual(["b"]);
  });

  test("[CATCH4] who does not have it is passed over; when nobody has, that is said, and it is asked for again later", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    let { wants, nowhere } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1), true)] }));
    ({ wants, nowhere } = split(downloads.step({ type: "absent", now: 1, from: a, request: wants[0]!.want.request })));
    expect([wants[0]!.to, nowhere]).toEqual(["b", []]);
    ({ wants, nowhere } = split(downloads.step({ type: "absent", now: 2, from: b, request: wants[0]!.want.request })));
    expect([wants, nowhere]).toEqual([[], [chunk(1)]]);
    expect(downloads.dueAt).toBe(2_002);
    // The list as it was, told once more, is no reason to ask at once.
    expect(downloads.step({ type: "wanted", now: 3, items: [wanted(chunk(1), true)] })).toEqual([]);
    expect(split(downloads.step({ type: "tick", now: 2_002 })).wants[0]!.to).toBe("a");
  });

  test("[CATCH4] what nobody has holds up nothing else, and somebody new is asked at once", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a] });
    const items = [wanted(chunk(2)), wanted(chunk(1))];
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items }));
    ({ wants } = split(downloads.step({ type: "absent", now: 1, from: a, request: wants[0]!.want.request })));
    expect(wants[0]!.want.item).toEqual(chunk(1));
    downloads.step({ type: "absent", now: 2, from: a, request: wants[0]!.want.request });
    ({ wants } = split(downloads.step({ type: "linked", now: 3, peers: [a, b] })));
    expect(wants[0]).toMatchObject({ want: { item: chunk(2) } });
  });

  test("[CATCH5] nothing is allocated or taken for what can't be what was asked for", () => {
    const content = contentOf(chunk(1));
    const bad: ((want: Want) => Piece)[] = [
      (want) => ({ ...pieceFor(want, content), total: 10 * mebibyte + 1 }),
      (want) => ({ ...pieceFor(want, content), total: 0, bytes: new Uint8Array(0) }),
      (want) => pieceFor(want, content, chunk(2)),
      (want) => pieceFor(want, content, chunk(1, 1)),
      (want) => pieceFor(want, content, snapshot(1)),
      (want) => ({ ...pieceFor(want, content), offset: 1 }),
      (want) => ({ ...pieceFor(want, content), bytes: content.slice(0, 100) }),
    ];
    for (const make of bad) {
      const downloads = new Downloads();
      downloads.step({ type: "linked", now: 0, peers: [a, b] });
      const { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
      const next = split(downloads.step({ type: "piece", now: 0, from: a, piece: make(wants[0]!.want) }));
      expect(next.wants[0]!.to).toBe("b");
      expect(downloads.progress[0]!.bytes).toBe(0);
    }
  });

  test("[CATCH5] a piece of another total than before is not mixed with what came before", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    const content = contentOf(chunk(1));
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
    ({ wants } = split(downloads.step({ type: "piece", now: 0, from: a, piece: pieceFor(wants[0]!.want, content) })));
    const longer = { ...pieceFor(wants[0]!.want, content), total: content.length + 1 };
    ({ wants } = split(downloads.step({ type: "piece", now: 0, from: a, piece: longer })));
    expect(wants.map(({ to, want }) => [to, want.offset])).toEqual([["b", 0]]);
    expect(downloads.progress[0]).toMatchObject({ bytes: 0, total: null });
  });

  test("[CATCH6] what was not what it should be is had anew, from somebody else if there is one", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    const content = contentOf(chunk(1), 1_000);
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
    const { done } = split(
      downloads.step({ type: "piece", now: 0, from: a, piece: pieceFor(wants[0]!.want, content) }),
    );
    expect(done).toHaveLength(1);
    expect(downloads.step({ type: "spoiled", now: 1, item: chunk(1) })).toEqual([]);
    expect(downloads.dueAt).toBe(2_001);
    ({ wants } = split(downloads.step({ type: "tick", now: 2_001 })));
    expect(wants.map(({ to, want }) => [to, want.offset])).toEqual([["b", 0]]);
    // From then on time stands still again until something is due.
    expect(downloads.dueAt).toBe(7_001);
  });

  test("[CATCH7] a snapshot is that or a later one, and then that one only", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    const content = contentOf(snapshot(50));
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(snapshot(40), true)] }));
    expect(wants[0]!.want.item).toEqual(snapshot(40));
    const piece = pieceFor(wants[0]!.want, content, snapshot(50));
    ({ wants } = split(downloads.step({ type: "piece", now: 0, from: a, piece })));
    expect(wants.every(({ want }) => want.item.number === 50)).toBe(true);
    // The leader offers a later one that is not later than this one: it goes on.
    expect(downloads.step({ type: "wanted", now: 1, items: [wanted(snapshot(45), true)] })).toEqual([]);
    // b has a newer one by now, and not this one; nor has a.
    ({ wants } = split(downloads.step({ type: "linked", now: 2, peers: [b] })));
    const { nowhere } = split(downloads.step({ type: "absent", now: 3, from: b, request: wants[0]!.want.request }));
    expect(nowhere).toEqual([snapshot(50)]);
    ({ wants } = split(downloads.step({ type: "tick", now: 2_003 })));
    expect(wants.map(({ want }) => [want.item, want.offset])).toEqual([[snapshot(45), 0]]);
    // One that is needed later than this one is another.
    ({ wants } = split(downloads.step({ type: "wanted", now: 2_004, items: [wanted(snapshot(90), true)] })));
    expect(wants[0]!.want.item).toEqual(snapshot(90));
  });

  test("[CATCH8] what somebody waits for does not wait for what nobody does, and two are on their way at most", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a] });
    let items = [wanted(chunk(9)), wanted(chunk(8)), wanted(chunk(7))];
    downloads.step({ type: "wanted", now: 0, items });
    items = [wanted(chunk(3), true), wanted(chunk(2), true), ...items];
    const { wants } = split(downloads.step({ type: "wanted", now: 1, items }));
    expect(wants.map(({ want }) => want.item)).toEqual([chunk(3)]);
    expect(downloads.progress.map(({ item }) => item.number)).toEqual([9, 3]);
    // Somebody waits for the other one now too: no third is begun.
    const same = items.map((one) => ({ ...one, isUrgent: one.isUrgent || one.item.number === 9 }));
    expect(downloads.step({ type: "wanted", now: 2, items: same })).toEqual([]);
    // What is not wanted any more makes room.
    const rest = split(downloads.step({ type: "wanted", now: 3, items: items.slice(1, 2) }));
    expect(rest.wants.map(({ want }) => want.item)).toEqual([chunk(2)]);
  });

  test("[CATCH9] a lane that is full is waited for, and nothing is asked twice", () => {
    const downloads = new Downloads();
    downloads.step({ type: "linked", now: 0, peers: [a, b] });
    const content = contentOf(chunk(1));
    let { wants } = split(downloads.step({ type: "wanted", now: 0, items: [wanted(chunk(1))] }));
    ({ wants } = split(downloads.step({ type: "piece", now: 0, from: a, piece: pieceFor(wants[0]!.want, content) })));
    const offsets = wants.map(({ want }) => want.offset);
    for (const { want } of wants) {
      expect(downloads.step({ type: "blocked", now: 1, peer: a, request: want.request })).toEqual([]);
    }
    expect(downloads.dueAt).toBe(Infinity);
    ({ wants } = split(downloads.step({ type: "room", now: 9_000, peer: a })));
    expect(wants.map(({ want }) => want.offset).sort((x, y) => x - y)).toEqual(offsets);
    expect(downloads.dueAt).toBe(14_000);
  });
});

/** Servers that have things, links that come and go, lanes that fill, bytes that rot; all from a seed. */
function randomLife(seed: number): void {
  const random: Random = seededRandom(seed);
  const peers = [a, b, c];
  const downloads = new Downloads({ ...defaultDownloadSettings, requestsMax: 1 + random.whole(8) });
  const all = Array.from({ length: 1 + random.whole(8) }, (_, at) => chunk(at + 1, random.whole(2)));
  const sizes = new Map(all.map((item) => [item.number, 1 + random.whole(400_000)]));
  let missing = random.whole(2) === 0 ? [snapshot(10), ...all] : all;
  let linked = peers.filter(() => random.whole(3) > 0);
  const has = new Map(
    peers.map((peer) => [peer, new Set(all.filter(() => random.whole(3) > 0).map(({ number }) => number))]),
  );
  let rot = 1 + random.whole(6);
  let now = 0;
  let isWell = false;
  let waiting: { to: NodeName; want: Want }[] = [];
  const blocked = new Set<NodeName>();

  const list = (): WantedItem[] =>
    missing.map((item) => wanted(item, item.kind === "snapshot" || random.whole(3) === 0));
  const act = (effects: readonly DownloadEffect[]): void => {
    expect(downloads.progress.length).toBeLessThanOrEqual(2);
    for (const effect of effects) {
      if (effect.type === "send") {
        expect(linked).toContain(effect.to);
        if (blocked.has(effect.to) || (!isWell && random.whole(20) === 0)) {
          blocked.add(effect.to);
          act(downloads.step({ type: "blocked", now, peer: effect.to, request: effect.want.request }));
        } else waiting.push(effect);
      }
      if (effect.type !== "complete") continue;
      const size = sizes.get(effect.item.number) ?? 200_000;
      if (Buffer.compare(effect.bytes, contentOf(effect.item, size)) !== 0) {
        expect(isWell).toBe(false);
        act(downloads.step({ type: "spoiled", now, item: effect.item }));
        continue;
      }
      missing = missing.filter(
        (item) =>
          item.kind !== effect.item.kind ||
          (item.kind === "chunk" && item !== all.find(({ number }) => number === effect.item.number)),
      );
      act(downloads.step({ type: "stored", now, item: effect.item }));
    }
  };
  const relink = (next: NodeName[]): void => {
    linked = next;
    waiting = waiting.filter(({ to }) => next.includes(to));
    for (const peer of peers) if (!next.includes(peer)) blocked.delete(peer);
    act(downloads.step({ type: "linked", now, peers: next }));
  };
  const answer = ({ to, want }: { to: NodeName; want: Want }): void => {
    const { item, request, offset } = want;
    const isHere = isWell || item.kind === "snapshot" || has.get(to)!.has(item.number);
    const served =
      item.kind === "snapshot" && offset === 0 ? snapshot(Math.max(item.number, 10 + random.whole(3))) : item;
    if (!isHere || (item.kind === "snapshot" && !isWell && random.whole(8) === 0)) {
      act(downloads.step({ type: "absent", now, from: to, request }));
      return;
    }
    const piece = pieceFor(want, contentOf(served, sizes.get(item.number) ?? 200_000), served);
    if (!isWell && rot > 0 && random.whole(12) === 0) {
      rot--;
      piece.bytes[random.whole(piece.bytes.length)]! ^= 4;
    }
    act(downloads.step({ type: "piece", now, from: to, piece }));
  };

  relink(linked);
  act(downloads.step({ type: "wanted", now, items: list() }));
  for (let round = 0; round < 4_000 && missing.length > 0; round++) {
    if (round === 300) {
      // From here on everybody has everything, and nothing fails.
      isWell = true;
      relink(peers);
      const full = [...blocked];
      blocked.clear();
      for (const peer of full) act(downloads.step({ type: "room", now, peer }));
    }
    const what = random.whole(isWell ? 4 : 12);
    const at = random.whole(Math.max(1, waiting.length));
    if (waiting.length > 0 && what < 8) answer(waiting.splice(at, 1)[0]!);
    else if (what === 8) relink(peers.filter(() => random.whole(3) > 0));
    else if (what === 9) act(downloads.step({ type: "wanted", now, items: list() }));
    else if (what === 10 && blocked.size > 0) {
      const [peer] = blocked;
      blocked.delete(peer!);
      act(downloads.step({ type: "room", now, peer: peer! }));
    } else if (what === 11 && waiting.length > 0) {
      // It is lost, and nobody says so.
      waiting.splice(at, 1);
    } else {
      now = downloads.dueAt === Infinity ? now + 10 : Math.max(now, downloads.dueAt);
      act(downloads.step({ type: "tick", now }));
    }
  }
  expect(missing).toEqual([]);
}

test("[CATCH10] whatever links, servers and bytes do: when they are well again, all that is lacking is here", () => {
  for (let seed = 1; seed <= 400; seed++) {
    try {
      randomLife(seed);
    } catch (failure) {
      throw new Error(`seed ${seed}: ${(failure as Error).message}`, { cause: failure });
    }
  }
});
