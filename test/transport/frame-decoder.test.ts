import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { putU32 } from "../../src/base/byte-order.ts";
import { FrameDecoder, frameBytesMax } from "../../src/transport/frame-decoder.ts";
import { defaultLinkLimits } from "../../src/transport/link-limits.ts";
import {
  frameHeaderBytes,
  frameTypes,
  type FrameType,
  type PeerFrame,
  putFrameHeader,
} from "../../src/transport/peer-frame.ts";

interface Cut {
  readonly frames: { type: number; kind: number; flags: number; payload: string }[];
  readonly malformed: unknown;
  readonly heldMax: number;
}

function decode(pieces: readonly Uint8Array[], stage: "greeting" | "linked" = "linked"): Cut {
  const decoder = new FrameDecoder(defaultLinkLimits);
  if (stage === "linked") decoder.link();
  const frames: Cut["frames"] = [];
  let heldMax = 0;
  for (const piece of pieces) {
    decoder.add(piece);
    const came: PeerFrame[] = [];
    let malformed: unknown = null;
    for (let frame = decoder.next(); frame !== null; frame = decoder.next()) {
      if ("malformed" in frame) {
        malformed = frame;
        break;
      }
      came.push(frame);
    }
    // As a link does: all that a piece brought is looked at when the piece has been cut.
    for (const { type, kind, flags, payload } of came) {
      frames.push({ type, kind, flags, payload: Buffer.from(payload).toString("hex") });
    }
    if (malformed !== null) return { frames, malformed, heldMax };
    heldMax = Math.max(heldMax, decoder.heldBytes);
  }
  return { frames, malformed: null, heldMax };
}

function frame(type: FrameType, payload: Uint8Array, kind = 0): Uint8Array {
  const bytes = new Uint8Array(frameHeaderBytes + payload.length);
  putFrameHeader(bytes, 0, { type, flags: 0, kind, payloadBytes: payload.length });
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...[...places].sort((a, b) => a - b), bytes.length];
  return sorted.slice(1).map((end, at) => bytes.subarray(sorted[at], end));
}

const stream = Buffer.concat([
  frame(frameTypes.control, Buffer.from("one"), 7),
  frame(frameTypes.append, new Uint8Array(0), 9),
  frame(frameTypes.bulk, Buffer.alloc(300, 5), 0xffff),
  frame(frameTypes.credit, Buffer.alloc(18)),
  frame(frameTypes.append, Buffer.from("last")),
]);

describe("cutting a stream into frames", () => {
  test("[PEER9] the frames are the same at every one and two places where a piece may end", () => {
    const whole = decode([stream]);
    expect(whole.frames.map(({ kind }) => kind)).toEqual([7, 9, 0xffff, 0, 0]);
    for (let first = 0; first <= stream.length; first++) {
      expect(decode(cutAt(stream, [first])).frames).toEqual(whole.frames);
    }
    for (let first = 0; first <= 40; first++) {
      for (let second = first; second <= 40; second++) {
        expect(decode(cutAt(stream, [first, second])).frames).toEqual(whole.frames);
      }
    }
    expect(decode([...stream].map((byte) => Uint8Array.of(byte))).frames).toEqual(whole.frames);
  });

  test("[PEER9] an append that came in pieces stands while its last piece brings the beginning of the next", () => {
    const lengths = [20_000, 50_000, 3, 70_000, 70_000, 2_000_000, 40_000];
    const bytes = Buffer.concat(
      lengths.map((length, at) => frame(frameTypes.append, Buffer.alloc(length, at + 1), at)),
    );
    const places = Array.from({ length: Math.floor(bytes.length / 16_384) }, (_, at) => (at + 1) * 16_384);
    const { frames } = decode(cutAt(bytes, places));
    expect(frames.map(({ payload }) => payload.length / 2)).toEqual(lengths);
    for (const [at, { payload }] of frames.entries())
      expect(new Set(Buffer.from(payload, "hex"))).toEqual(new Set([at + 1]));
  });

  const types = Object.values(frameTypes);
  test("[PEER10] a length is checked against its type before anything is held for it", () => {
    for (const type of types.filter((one) => one >= frameTypes.credit)) {
      const lengthMax = frameBytesMax(type, defaultLinkLimits);
      for (const length of [0, 1, frameHeaderBytes - 1, lengthMax + 1, 2 ** 31, 2 ** 32 - 1]) {
        const header = new Uint8Array(frameHeaderBytes);
        putFrameHeader(header, 0, { type, flags: 0, kind: 0, payloadBytes: 0 });
        putU32(header, 0, length);
        for (const pieces of [[header], cutAt(header, [3])]) {
          const { malformed, heldMax } = decode(pieces);
          expect(malformed).toMatchObject({ malformed: length < frameHeaderBytes ? "too-short" : "too-long", length });
          expect(heldMax).toBeLessThanOrEqual(frameHeaderBytes);
        }
      }
    }
  });

  test("[PEER10] a type that may not come is the end, in a greeting and on a link", () => {
    for (let type = 0; type < 256; type++) {
      const bytes = new Uint8Array(frameHeaderBytes);
      putU32(bytes, 0, frameHeaderBytes);
      bytes[4] = type;
      const isGreeting = type >= frameTypes.hello && type <= frameTypes.refuse;
      const isLinked = types.includes(type as FrameType) && type >= frameTypes.refuse;
      expect(decode([bytes], "greeting").malformed === null, `greeting ${type}`).toBe(isGreeting);
      expect(decode([bytes], "linked").malformed === null, `link ${type}`).toBe(isLinked);
    }
  });

  test("[PEER7] in a greeting no frame is longer than greetingFrameBytesMax", () => {
    const { greetingFrameBytesMax } = defaultLinkLimits;
    for (const type of [
      frameTypes.hello,
      frameTypes.welcome,
      frameTypes.confirm,
      frameTypes.ready,
      frameTypes.refuse,
    ]) {
      expect(frameBytesMax(type, defaultLinkLimits)).toBe(greetingFrameBytesMax);
    }
    const header = new Uint8Array(frameHeaderBytes);
    putFrameHeader(header, 0, { type: frameTypes.hello, flags: 0, kind: 0, payloadBytes: greetingFrameBytesMax });
    expect(decode([header], "greeting").malformed).toMatchObject({ malformed: "too-long" });
  });

  test("[PEER10] after a malformed frame nothing comes any more", () => {
    const decoder = new FrameDecoder(defaultLinkLimits);
    decoder.link();
    decoder.add(new Uint8Array(frameHeaderBytes));
    const broken = decoder.next();
    expect(broken).toMatchObject({ malformed: "unknown-type" });
    decoder.add(stream);
    expect(decoder.next()).toEqual(broken);
    expect(decoder.heldBytes).toBe(0);
  });

  test("[PEER9] any bytes, in any cut, give the same frames and hold no more than a frame", () => {
    const { appendFrameBytesMax } = defaultLinkLimits;
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            {
              weight: 4,
              arbitrary: fc
                .tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 40 }))
                .map(([type, payload]) => frame(type, payload)),
            },
            { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
          ),
          { maxLength: 8 },
        ),
        fc.array(fc.nat(400), { maxLength: 12 }),
        fc.constantFrom<"greeting" | "linked">("greeting", "linked"),
        (parts, places, stage) => {
          const bytes = Buffer.concat(parts);
          const whole = decode([bytes], stage);
          const cut = decode(
            cutAt(
              bytes,
              places.map((place) => Math.min(place, bytes.length)),
            ),
            stage,
          );
          expect(cut.frames).toEqual(whole.frames);
          expect(cut.malformed).toEqual(whole.malformed);
          expect(cut.heldMax).toBeLessThanOrEqual(appendFrameBytesMax + 100);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  const corpus = new URL("corpus/", import.meta.url);
  test.each(readdirSync(corpus))("[PEER9] of the corpus: %s", (file) => {
    const { stage, hex, frames, malformed } = JSON.parse(readFileSync(new URL(file, corpus), "utf8")) as {
      stage: "greeting" | "linked";
      hex: string;
      frames: number;
      malformed: string | null;
    };
    const bytes = Buffer.from(hex, "hex");
    for (let at = 0; at <= bytes.length; at++) {
      const found = decode(cutAt(bytes, [at]), stage);
      expect(found.frames).toHaveLength(frames);
      expect((found.malformed as { malformed: string } | null)?.malformed ?? null).toBe(malformed);
    }
  });
});
