import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { encodeBinaryFrames } from "../../src/protocol/binary-codec.ts";
import { FrameSplitter, frameSize } from "../../src/protocol/frame-splitter.ts";
import { LineSplitter } from "../../src/protocol/line-splitter.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { anyFrame, limits } from "./arbitrary-frames.ts";

interface Splitter {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly heldBytes: number;
  add(chunk: Uint8Array): void;
  next(): boolean;
}

/** Feeds chunks that are overwritten as soon as they were handled, and answers copies of what came out. */
function outOf(splitter: Splitter, chunks: readonly Uint8Array[]): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const chunk of chunks) {
    const own = chunk.slice();
    splitter.add(own);
    while (splitter.next()) found.push(splitter.bytes.slice(splitter.start, splitter.end));
    own.fill(0xaa);
  }
  return found;
}

function cutAt(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return places.slice(1).map((to, i) => bytes.subarray(places[i], to));
}

/** The code of the fault that `work` ends with. */
function faultOf(work: () => void): string {
  try {
    work();
  } catch (cause) {
    if (cause instanceof Fault) return cause.code;
    throw cause;
  }
  return "none";
}

const lineMax = 40;
const lineText = fc
  .string({ unit: "grapheme-ascii", maxLength: lineMax })
  .map((text) => text.replaceAll(/[\r\n]/g, "."));

describe("lines", () => {
  test("[PROTO10] the same lines come out at every way of cutting", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(lineText, fc.constantFrom("\n", "\r\n")), { maxLength: 8 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (lines, cuts) => {
          const stream = utf8(lines.map(([text, end]) => text + end).join(""));
          const splitter = new LineSplitter(lineMax);
          const found = outOf(splitter, cutAt(stream, cuts));
          expect(found).toStrictEqual(lines.map(([text]) => utf8(text)).filter((line) => line.length > 0));
          expect(splitter.heldBytes).toBe(0);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("[PROTO10] every single cut, and byte by byte", () => {
    const stream = utf8('{"t":"ping","id":1}\n\r\n\n{"t":"ping","id":"ö🙂"}\r\n{"t":"ping","id":3}\nrest');
    const whole = outOf(new LineSplitter(lineMax), [stream]);
    expect(whole).toHaveLength(3);
    for (let cut = 0; cut <= stream.length; cut++) {
      const splitter = new LineSplitter(lineMax);
      expect(outOf(splitter, [stream.subarray(0, cut), stream.subarray(cut)])).toStrictEqual(whole);
      expect(splitter.heldBytes).toBe(4);
    }
    expect(
      outOf(
        new LineSplitter(lineMax),
        [...stream].map((byte) => Uint8Array.of(byte)),
      ),
    ).toStrictEqual(whole);
  });

  test("[PROTO4] a line of exactly the bound passes, one byte more is refused, at every cut", () => {
    for (const end of ["\n", "\r\n"]) {
      const full = utf8("x".repeat(lineMax) + end);
      const over = utf8("x".repeat(lineMax + 1) + end);
      for (let cut = 0; cut <= full.length; cut++) {
        expect(outOf(new LineSplitter(lineMax), [full.subarray(0, cut), full.subarray(cut)])).toHaveLength(1);
        expect(faultOf(() => outOf(new LineSplitter(lineMax), [over.subarray(0, cut), over.subarray(cut)]))).toBe(
          "too_large",
        );
      }
    }
  });

  test("[PROTO4] a line without end is refused before it is held", () => {
    const splitter = new LineSplitter(lineMax);
    expect(
      faultOf(() =>
        outOf(
          splitter,
          Array.from({ length: 1000 }, () => utf8("x".repeat(30))),
        ),
      ),
    ).toBe("too_large");
    expect(splitter.heldBytes).toBeLessThanOrEqual(lineMax + 1);
    const atOnce = new LineSplitter(lineMax);
    expect(faultOf(() => outOf(atOnce, [new Uint8Array(10_000_000).fill(0x78)]))).toBe("too_large");
    expect(atOnce.heldBytes).toBe(0);
  });

  test("[PROTO4] the bound can grow once the greeting is answered", () => {
    const splitter = new LineSplitter(10);
    expect(outOf(splitter, [utf8("hello\n")])).toHaveLength(1);
    splitter.allow(20);
    expect(outOf(splitter, [utf8(`${"x".repeat(20)}\n`)])).toHaveLength(1);
  });
});

const lengthOf = (size: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, size, true);
  return bytes;
};

describe("frames", () => {
  test("[PROTO10] the same frames come out at every way of cutting", () => {
    fc.assert(
      fc.property(
        fc.array(anyFrame("client"), { maxLength: 6 }),
        fc.array(fc.nat(), { maxLength: 12 }),
        (frames, cuts) => {
          const singly = frames.map((frame) => encodeBinaryFrames("client", [frame]));
          const stream = encodeBinaryFrames("client", frames);
          const splitter = new FrameSplitter(limits.frameBytesMax);
          expect(outOf(splitter, cutAt(stream, cuts))).toStrictEqual(singly);
          expect(splitter.heldBytes).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("[PROTO10] every single cut, and byte by byte", () => {
    const frames = [
      { t: "ping", id: 1 },
      { t: "ping", id: "text-id" },
      { t: "hello", v: 1, user: "alice", token: "x".repeat(300) },
    ] as unknown as Parameters<typeof encodeBinaryFrames<"client">>[1];
    const stream = encodeBinaryFrames("client", frames);
    const whole = outOf(new FrameSplitter(1000), [stream]);
    expect(whole).toHaveLength(3);
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(outOf(new FrameSplitter(1000), [stream.subarray(0, cut), stream.subarray(cut)])).toStrictEqual(whole);
    }
    expect(
      outOf(
        new FrameSplitter(1000),
        [...stream].map((byte) => Uint8Array.of(byte)),
      ),
    ).toStrictEqual(whole);
  });

  test("[PROTO4] a declared length out of bounds is refused with its fourth byte, and nothing is held for it", () => {
    const most = limits.frameBytesMax;
    const codes = [0, 1, 9, 10, most - 4, most - 3, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1].map((length) => {
      const splitter = new FrameSplitter(most);
      const code = faultOf(() =>
        outOf(splitter, [...lengthOf(length)].map((byte) => Uint8Array.of(byte)).concat([Uint8Array.of(1)])),
      );
      expect(splitter.heldBytes).toBeLessThanOrEqual(5);
      return code;
    });
    expect(codes).toStrictEqual([
      "bad_request",
      "bad_request",
      "bad_request",
      "none",
      "none",
      "too_large",
      "too_large",
      "too_large",
      "too_large",
    ]);
  });

  test("[PROTO4] what is held grows with what has come, not with what was declared", () => {
    const splitter = new FrameSplitter(limits.frameBytesMax);
    const first = new Uint8Array(100);
    first.set(lengthOf(limits.frameBytesMax - 4));
    expect(outOf(splitter, [first])).toStrictEqual([]);
    expect(splitter.heldBytes).toBe(100);
    expect(outOf(splitter, [new Uint8Array(1000)])).toStrictEqual([]);
    expect(splitter.heldBytes).toBe(1100);
  });

  test("[PROTO4] frameSize tells the same for one frame", () => {
    expect(frameSize(lengthOf(10), 0, 100)).toBe(14);
    expect(frameSize(lengthOf(96), 0, 100)).toBe(100);
    expect(faultOf(() => frameSize(lengthOf(97), 0, 100))).toBe("too_large");
    expect(faultOf(() => frameSize(lengthOf(9), 0, 100))).toBe("bad_request");
  });
});
