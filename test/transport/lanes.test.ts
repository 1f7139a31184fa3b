import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { type Millis, millis } from "../../src/base/units.ts";
import { BulkThrottle } from "../../src/transport/bulk-throttle.ts";
import { FrameDecoder } from "../../src/transport/frame-decoder.ts";
import { noRest, type OutgoingFrame } from "../../src/transport/frame-queue.ts";
import { defaultLinkLimits, type LinkLimits } from "../../src/transport/link-limits.ts";
import { LinkOutput } from "../../src/transport/link-output.ts";
import { frameTypes, type Lane, laneOf } from "../../src/transport/peer-frame.ts";
import { LinkTown } from "./link-town.ts";

const start = millis(1_000);

const zeros = new Uint8Array(256 * 1024);

function frameOf(bytes: number, tag = 0, kind = 1): OutgoingFrame {
  return { kind, flags: 0, name: "", payload: zeros.subarray(0, bytes), rest: noRest, tag };
}

interface Arrived {
  readonly lane: Lane;
  readonly kind: number;
  readonly bytes: number;
}

/** One side's output and the other side's reading of it, which may be told to lag behind. */
class Way {
  readonly limits: LinkLimits;
  readonly output: LinkOutput;
  readonly arrived: Arrived[] = [];
  readonly #far: LinkOutput;
  readonly #decoder: FrameDecoder;
  readonly #back: FrameDecoder;
  #unread: Uint8Array[] = [];
  writes = 0;

  constructor(limits: Partial<LinkLimits> = {}) {
    this.limits = { ...defaultLinkLimits, bulkBytesPerSecond: 2 ** 50, bulkBurstBytes: 2 ** 40, ...limits };
    const throttle = new BulkThrottle({
      bytesPerSecond: this.limits.bulkBytesPerSecond,
      burstBytes: this.limits.bulkBurstBytes,
    });
    this.output = new LinkOutput(this.limits, throttle);
    this.#far = new LinkOutput(this.limits, throttle);
    this.#decoder = new FrameDecoder(this.limits);
    this.#decoder.link();
    this.#back = new FrameDecoder(this.limits);
    this.#back.link();
  }

  /** One write, as at the end of a turn. Answers the lanes of its frames, in order. */
  turn(now: Millis = start, bufferedBytes = 0): Lane[] {
    const pieces = this.output.take(now, bufferedBytes);
    if (pieces.length > 0) this.writes++;
    this.#unread.push(...pieces);
    const before = this.arrived.length;
    this.readAll();
    return this.arrived.slice(before).map(({ lane }) => lane);
  }

  /** As `turn`, but the other side does not read. */
  turnUnread(now: Millis = start, bufferedBytes = 0): number {
    const pieces = this.output.take(now, bufferedBytes);
    this.#unread.push(...pieces);
    return pieces.reduce((sum, { length }) => sum + length, 0);
  }

  readAll(): void {
    for (const piece of this.#unread) {
      this.#decoder.add(piece);
      for (let frame = this.#decoder.next(); frame !== null; frame = this.#decoder.next()) {
        if ("malformed" in frame) throw new Error(frame.malformed);
        const lane = laneOf(frame.type);
        if (lane === null) continue;
        this.arrived.push({ lane, kind: frame.kind, bytes: frame.payload.length });
        this.#far.read(lane, frame.payload.length);
      }
    }
    this.#unread = [];
  }

  /** The other side says what it has read. */
  credit(now: Millis = start): void {
    for (const piece of this.#far.take(now, 0)) {
      this.#back.add(piece);
      for (let frame = this.#back.next(); frame !== null; frame = this.#back.next()) {
        if ("malformed" in frame || frame.type !== frameTypes.credit) throw new Error("not a credit");
        expect(this.output.credited(frame.payload)).toBe(true);
      }
    }
  }
}

describe("which lane goes first", () => {
  test("[PEER20] what two frames share stands behind each of them, in its order, and is not copied", () => {
    const shared = new Uint8Array(9_000).fill(7);
    const output = new LinkOutput(defaultLinkLimits, new BulkThrottle({ bytesPerSecond: 1, burstBytes: 1 }));
    for (const kind of [1, 2]) output.offerAppend({ ...frameOf(50, kind, kind), rest: shared });
    expect(output.waitingBytes).toBe(2 * 9_050);
    const pieces = output.take(start, 0);
    expect(pieces.filter((piece) => piece === shared).length).toBe(2);

    const decoder = new FrameDecoder(defaultLinkLimits);
    decoder.link();
    decoder.add(Uint8Array.from(Buffer.concat(pieces)));
    for (const kind of [1, 2]) {
      const payload = new Uint8Array([...zeros.subarray(0, 50), ...shared]);
      expect(decoder.next()).toEqual({ type: frameTypes.append, flags: 0, kind, payload });
    }
    expect(output.unconfirmedBytes).toBe(2 * 9_050);
  });

  test("[PEER16] control, then appends, then bulk, whatever was handed over first", () => {
    const way = new Way();
    way.output.offerBulk(frameOf(10));
    way.output.offerAppend(frameOf(10));
    way.output.offerControl(frameOf(10), null);
    way.output.offerAppend(frameOf(10));
    way.output.offerControl(frameOf(10), null);
    expect(way.turn()).toEqual(["control", "control", "append", "append", "bulk"]);
    expect(way.writes, "all of it is one write").toBe(1);
  });

  test("[PEER16] a million control frames pass while bulk never runs dry, and bulk moves on", () => {
    const way = new Way();
    const perTurn = 2_000;
    let bulkOffered = 0;
    let sent = 0;
    for (let turn = 0; turn < 500; turn++) {
      while (way.output.offerBulk(frameOf(64 * 1024)) === "taken") bulkOffered++;
      for (let count = 0; count < perTurn; count++) {
        if (way.output.offerControl(frameOf(16), null) === "taken") sent++;
      }
      const lanes = way.turn();
      // Nothing of control waits for the next turn, and nothing of bulk goes before it.
      expect(lanes.lastIndexOf("control"), `turn ${turn}`).toBe(perTurn - 1);
      expect(lanes.slice(0, perTurn).includes("bulk")).toBe(false);
      way.credit();
      way.arrived.length = 0;
    }
    expect(sent).toBe(1_000_000);
    expect(bulkOffered).toBeGreaterThan(500);
  });

  test("[PEER16] appends that never run dry let one bulk frame through now and then", () => {
    const way = new Way({ appendBytesPerBulkFrame: 100 * 1024 });
    const counts = { control: 0, append: 0, bulk: 0 };
    for (let turn = 0; turn < 200; turn++) {
      while (way.output.offerAppend(frameOf(20 * 1024)) === "taken");
      while (way.output.offerBulk(frameOf(1_024)) === "taken");
      for (const lane of way.turn()) counts[lane]++;
      way.credit();
    }
    expect(counts.bulk).toBeGreaterThan(200);
    expect(counts.append / counts.bulk).toBeGreaterThanOrEqual(5);
  });

  test("[PEER20] each lane keeps its order", () => {
    const way = new Way();
    const random = seededRandom(5);
    const given: Record<Lane, number[]> = { control: [], append: [], bulk: [] };
    for (let at = 1; at <= 3_000; at++) {
      const lane = (["control", "append", "bulk"] as const)[random.whole(3)]!;
      const frame = frameOf(random.whole(3_000), 0, at % 0xf000);
      const offer =
        lane === "control"
          ? way.output.offerControl(frame, null)
          : lane === "append"
            ? way.output.offerAppend(frame)
            : way.output.offerBulk(frame);
      if (offer === "taken") given[lane].push(frame.kind);
      if (random.whole(10) === 0) way.turn(start, random.whole(200_000));
      if (random.whole(10) === 0) way.credit();
    }
    for (let times = 0; times < 20; times++) {
      way.turn();
      way.credit();
    }
    for (const lane of ["control", "append", "bulk"] as const) {
      expect(way.arrived.filter((one) => one.lane === lane).map(({ kind }) => kind)).toEqual(given[lane]);
    }
  });
});

describe("what happens when a lane is full", () => {
  test("[PEER17] control: the newest of a kind and subject takes the place of one that waits, others stay", () => {
    const way = new Way();
    expect(way.output.offerControl(frameOf(1, 0, 1), 7)).toBe("taken");
    expect(way.output.offerControl(frameOf(2, 0, 2), 7)).toBe("taken");
    expect(way.output.offerControl(frameOf(3, 0, 1), 8)).toBe("taken");
    expect(way.output.offerControl(frameOf(4, 0, 1), 7)).toBe("replaced");
    expect(way.output.offerControl(frameOf(5, 0, 1), null)).toBe("taken");
    way.turn();
    expect(way.arrived.map(({ bytes }) => bytes)).toEqual([4, 2, 3, 5]);
    // What was sent is not replaced any more.
    expect(way.output.offerControl(frameOf(6, 0, 1), 7)).toBe("taken");
  });

  test("[PEER17] control: a frame that could not be sent yet keeps its place while others before it leave", () => {
    const way = new Way({ socketQueueBytesMax: 1_000 });
    for (let subject = 0; subject < 10; subject++) way.output.offerControl(frameOf(1_900 + subject, 0, 1), subject);
    way.turn();
    const left = 10 - way.arrived.length;
    expect(left).toBeGreaterThan(2);
    expect(way.output.offerControl(frameOf(7, 0, 1), 0), "the first is gone").toBe("taken");
    expect(way.output.offerControl(frameOf(8, 0, 1), 9), "the last waits").toBe("replaced");
    for (let times = 0; times < 10; times++) way.turn();
    expect(way.arrived.map(({ bytes }) => bytes)).toEqual([1900, 1901, 1902, 1903, 1904, 1905, 1906, 1907, 1908, 8, 7]);
  });

  test.each(["control", "append", "bulk"] as const)(
    "[PEER17] %s: refused at its bound, and told once when half is free",
    (lane) => {
      for (const bytes of [0, 4_096]) {
        const way = new Way();
        const offer = (): string => {
          if (lane === "control") return way.output.offerControl(frameOf(bytes), null);
          return lane === "append" ? way.output.offerAppend(frameOf(bytes)) : way.output.offerBulk(frameOf(bytes));
        };
        let taken = 0;
        while (offer() === "taken") taken++;
        const framesMax = way.limits[`${lane}QueueFramesMax`];
        const bytesMax = way.limits[`${lane}QueueBytesMax`];
        expect(taken).toBe(bytes === 0 ? framesMax : Math.min(framesMax, bytesMax / bytes));
        expect(way.output.waitingBytes).toBeLessThanOrEqual(bytesMax);
        expect(way.output.roomAgain()).toEqual([]);
        while (way.output.hasWaiting) {
          way.turn();
          way.credit();
        }
        expect(way.output.roomAgain()).toEqual([lane]);
        expect(way.output.roomAgain()).toEqual([]);
      }
    },
  );
});

describe("an other side that does not read", () => {
  test("[PEER18] what is held for it is bounded, however much is handed over", () => {
    const way = new Way();
    const { limits } = way;
    let written = 0;
    for (let turn = 0; turn < 2_000; turn++) {
      for (let count = 0; count < 20; count++) {
        way.output.offerControl(frameOf(4_000), null);
        way.output.offerAppend(frameOf(200_000));
        way.output.offerBulk(frameOf(64 * 1024));
      }
      // The socket takes everything, as the operating system's buffers might.
      written += way.turnUnread();
    }
    const windows = limits.appendWindowBytes + limits.bulkWindowBytes + limits.controlQueueFramesMax * 4_100;
    expect(written).toBeLessThan(windows + 64 * 1024);
    const queues = limits.controlQueueBytesMax + limits.appendQueueBytesMax + limits.bulkQueueBytesMax;
    expect(way.output.waitingBytes).toBeLessThanOrEqual(queues);
    expect(way.output.unconfirmedBytes).toBeLessThanOrEqual(windows);
  });

  test("[PEER18] while the socket holds its bound, appends and bulk wait; control goes up to twice the bound", () => {
    const way = new Way();
    way.output.offerControl(frameOf(10), null);
    way.output.offerAppend(frameOf(10));
    way.output.offerBulk(frameOf(10));
    expect(way.turn(start, 2 * way.limits.socketQueueBytesMax)).toEqual([]);
    expect(way.turn(start, way.limits.socketQueueBytesMax)).toEqual(["control"]);
    expect(way.turn(start, way.limits.socketQueueBytesMax - 1)).toEqual(["append"]);
    expect(way.turn(start, 0)).toEqual(["bulk"]);
  });

  test("[PEER18] appends stop at their window and go on when the other side has read", () => {
    const way = new Way({ appendWindowBytes: 2 * 1024 * 1024 });
    for (let count = 0; count < 40; count++) way.output.offerAppend(frameOf(100_000));
    for (let times = 0; times < 50; times++) way.turnUnread();
    expect(way.output.unconfirmedBytes).toBe(2_000_000);
    way.readAll();
    expect(way.turn(), "read, but not said").toEqual([]);
    way.credit();
    expect(way.turn().length).toBeGreaterThan(0);
  });

  test("[PEER21] the other side can't confirm what was not sent, nor take back what it has confirmed", () => {
    const credit = (control: number, append: number): Uint8Array => {
      const payload = new Uint8Array(18);
      payload[0] = control;
      payload[6] = append;
      return payload;
    };
    const way = new Way();
    way.output.offerControl(frameOf(1), null);
    way.output.offerAppend(frameOf(1));
    way.output.offerAppend(frameOf(1));
    expect(way.output.credited(credit(1, 0)), "not sent yet").toBe(false);
    way.turn();
    expect(way.output.credited(credit(1, 1))).toBe(true);
    expect(way.output.credited(credit(0, 1))).toBe(false);
    expect(way.output.credited(credit(1, 3))).toBe(false);
    expect(way.output.credited(new Uint8Array(17))).toBe(false);
    expect(way.output.credited(credit(1, 2))).toBe(true);
  });

  test("[PEER21] a link whose other side claims that is ended as malformed", () => {
    const town = new LinkTown({ seed: 1 });
    const [one, two] = [town.start("n1"), town.start("n2")];
    town.know(one, "n2");
    town.settle();
    const connection = one.links.connectionOf(two.name)!;
    const bytes = new Uint8Array(26);
    bytes.set([26, 0, 0, 0, frameTypes.credit, 0, 0, 0, 9]);
    town.step(one, { type: "received", now: town.now, connection, bytes });
    expect(town.told(one, "down")).toMatchObject([{ end: { refusal: { code: "malformed" } } }]);
  });
});

describe("what is lost with a link", () => {
  test("[PEER11] all that was not confirmed is told by its tag, in order, once", () => {
    const way = new Way();
    for (let tag = 1; tag <= 600; tag++) way.output.offerAppend(frameOf(10, tag));
    way.output.offerControl(frameOf(10), null);
    way.turn();
    way.credit();
    for (let tag = 601; tag <= 700; tag++) way.output.offerAppend(frameOf(10, tag));
    way.turn();
    for (let tag = 701; tag <= 800; tag++) way.output.offerAppend(frameOf(10, tag));
    way.output.offerBulk(frameOf(10, 5));
    const { control, append, bulk } = way.output.lost();
    expect(append).toEqual(Array.from({ length: 200 }, (_, at) => 601 + at));
    expect({ control, bulk }).toEqual({ control: 0, bulk: [5] });
  });
});

describe("bulk in bytes per second", () => {
  test("[PEER19] in no span more than the burst and the rate is granted, at whatever steps time goes", () => {
    const random = seededRandom(9);
    for (let round = 0; round < 50; round++) {
      const bytesPerSecond = 1 + random.whole(10_000_000);
      const burstBytes = 65_536 + random.whole(500_000);
      const throttle = new BulkThrottle({ bytesPerSecond, burstBytes });
      let excess = 0;
      const grants: { at: number; bytes: number }[] = [];
      let now = 1_000;
      for (let step = 0; step < 400; step++) {
        now += random.whole(20);
        const bytes = 1 + random.whole(65_536);
        if (throttle.grant(millis(now), bytes)) grants.push({ at: now, bytes });
      }
      for (let first = 0; first < grants.length; first += 7) {
        let sum = 0;
        for (const { at, bytes } of grants.slice(first)) {
          sum += bytes;
          const spanMs = at - grants[first]!.at;
          excess = Math.max(excess, sum - burstBytes - (spanMs * bytesPerSecond) / 1000);
        }
      }
      // A fraction of a byte is the rounding of sums.
      expect(excess).toBeLessThan(1);
      expect(grants.length).toBeGreaterThan(0);
    }
  });

  test("[PEER19] a rate may be changed at any time", () => {
    const throttle = new BulkThrottle({ bytesPerSecond: 1_000, burstBytes: 1_000 });
    expect(throttle.grant(millis(0), 1_000)).toBe(true);
    expect(throttle.grant(millis(100), 101)).toBe(false);
    throttle.setBytesPerSecond(millis(100), 100_000);
    expect(throttle.grant(millis(105), 601)).toBe(false);
    expect(throttle.grant(millis(105), 600)).toBe(true);
  });

  test("[PEER19] bulk waits for its rate and nothing else does", () => {
    const way = new Way({ bulkBytesPerSecond: 64 * 1024, bulkBurstBytes: 64 * 1024 });
    for (let count = 0; count < 3; count++) way.output.offerBulk(frameOf(64 * 1024));
    expect(way.turn(millis(1_000))).toEqual(["bulk"]);
    way.output.offerAppend(frameOf(10));
    expect(way.turn(millis(1_500))).toEqual(["append"]);
    expect(way.turn(millis(2_000))).toEqual(["bulk"]);
  });
});
