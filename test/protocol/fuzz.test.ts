import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import type { Random } from "../../src/base/random.ts";
import { Fault } from "../../src/base/error-codes.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import type { Refused } from "../../src/protocol/check-frame.ts";
import { FrameSplitter } from "../../src/protocol/frame-splitter.ts";
import { decodeJson, encodeJson } from "../../src/protocol/json-codec.ts";
import { LineSplitter } from "../../src/protocol/line-splitter.ts";
import { clientFrames, serverFrames } from "../../src/protocol/schema.ts";
import type { FrameFrom, Sender } from "../../src/protocol/schema.ts";
import { isSend } from "../../src/protocol/send-bytes.ts";
import { limits, senders } from "./arbitrary-frames.ts";

/**
 * Mutated frames, from a kept corpus. Each file of test/protocol/corpus is one TCP stream: `client-*.bin` and
 * `server-*.bin` hold binary frames, `*.jsonl` lines. What once broke a decoder is added there and stays.
 *
 * SYNOD_FUZZ_SEED repeats a run, SYNOD_FUZZ_ROUNDS makes a longer one.
 */
const corpusPath = join(import.meta.dirname, "corpus");
const seed = Number(process.env["SYNOD_FUZZ_SEED"] ?? 20261123);
const rounds = Number(process.env["SYNOD_FUZZ_ROUNDS"] ?? 100_000);

interface CorpusEntry {
  readonly name: string;
  readonly sender: Sender;
  readonly bytes: Uint8Array;
}

function corpus(ending: string): CorpusEntry[] {
  return readdirSync(corpusPath)
    .filter((name) => name.endsWith(ending))
    .toSorted()
    .map((name) => ({
      name,
      sender: name.startsWith("client-") ? ("client" as const) : ("server" as const),
      bytes: new Uint8Array(readFileSync(join(corpusPath, name))),
    }));
}

const bounds = { ...limits, frameBytesMax: 64 * 1024 };
const edges = [
  0, 1, 2, 0x22, 0x5b, 0x5c, 0x5d, 0x7b, 0x7d, 0x7f, 0x80, 0xbf, 0xc0, 0xed, 0xf0, 0xf4, 0xfe, 0xff,
] as const;

/** One to four changes: a byte, a bit, an edge value, a piece cut, doubled, moved or taken from another entry. */
function mutated(entry: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = entry.slice();
  const changes = 1 + random.whole(4);
  for (let change = 0; change < changes && bytes.length > 0; change++) {
    const at = random.whole(bytes.length);
    const length = random.whole(Math.min(64, bytes.length - at) + 1);
    switch (random.whole(7)) {
      case 0:
        bytes[at] = random.whole(256);
        break;
      case 1:
        bytes[at]! ^= 1 << random.whole(8);
        break;
      case 2:
        bytes[at] = edges[random.whole(edges.length)]!;
        break;
      case 3:
        bytes = joined(bytes.subarray(0, at), bytes.subarray(at + length));
        break;
      case 4:
        bytes = joined(bytes.subarray(0, at + length), bytes.subarray(at));
        break;
      case 5:
        bytes = bytes.slice(0, at);
        break;
      default: {
        const from = random.whole(other.length);
        bytes = joined(bytes.subarray(0, at), other.subarray(from, from + length), bytes.subarray(at));
      }
    }
  }
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

interface Tally {
  taken: number;
  refused: number;
  broken: number;
}

/** Reads a stream to its end or to the fault that ends it; what is taken is written and read again. */
function readBinary(sender: Sender, stream: Uint8Array, random: Random, tally: Tally): void {
  const splitter = new FrameSplitter(bounds.frameBytesMax);
  const cut = random.whole(stream.length + 1);
  try {
    for (const chunk of [stream.slice(0, cut), stream.slice(cut)]) {
      splitter.add(chunk);
      while (splitter.next()) {
        const { bytes, start, end } = splitter;
        const read = decodeBinary(sender, bytes, start, end, bounds);
        if (sender === "client" && isSend(bytes, start, end, bounds) !== (read.t === "send")) {
          throw new Error("isSend and decodeBinary disagree");
        }
        if (read.t === "refused") tally.refused++;
        else {
          tally.taken++;
          const again = encodeBinary(sender, read);
          expect(decodeBinary(sender, again, 0, again.length, bounds)).toStrictEqual(read);
        }
      }
      if (splitter.heldBytes > bounds.frameBytesMax) throw new Error("more is held than a frame may take");
    }
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    tally.broken++;
  }
}

function readLines(sender: Sender, stream: Uint8Array, random: Random, tally: Tally): void {
  const splitter = new LineSplitter(bounds.frameBytesMax);
  const cut = random.whole(stream.length + 1);
  const frames: (FrameFrom<Sender> | Refused)[] = [];
  try {
    for (const chunk of [stream.slice(0, cut), stream.slice(cut)]) {
      splitter.add(chunk);
      while (splitter.next()) decodeJson(sender, splitter.bytes.subarray(splitter.start, splitter.end), bounds, frames);
      if (splitter.heldBytes > bounds.frameBytesMax + 1) throw new Error("more is held than a line may take");
    }
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    tally.broken++;
  }
  for (const read of frames) {
    if (read.t === "refused") tally.refused++;
    else {
      tally.taken++;
      const again: (FrameFrom<Sender> | Refused)[] = [];
      decodeJson(sender, encodeJson(sender, read), bounds, again);
      expect(again).toStrictEqual([read]);
    }
  }
}

const kinds = [
  { ending: ".bin", read: readBinary },
  { ending: ".jsonl", read: readLines },
] as const;

describe(`fuzz, SYNOD_FUZZ_SEED=${seed}`, () => {
  test.each(kinds)("[PROTO17] the corpus itself is taken: $ending", ({ ending, read }) => {
    for (const sender of senders) {
      const entries = corpus(ending).filter((entry) => entry.sender === sender && !entry.name.includes("-broken-"));
      expect(entries.length).toBeGreaterThan(0);
      for (const entry of entries) {
        const tally: Tally = { taken: 0, refused: 0, broken: 0 };
        read(sender, entry.bytes, seededRandom(1), tally);
        expect([entry.name, tally.refused, tally.broken]).toStrictEqual([entry.name, 0, 0]);
        expect(tally.taken).toBeGreaterThan(0);
      }
    }
  });

  test.each(kinds)("[PROTO17] the corpus has a stream of every frame there is: $ending", ({ ending }) => {
    const frames = [
      ...Object.keys(clientFrames).map((name) => `client-${name}${ending}`),
      ...Object.keys(serverFrames).map((name) => `server-${name}${ending}`),
    ];
    const names = new Set(corpus(ending).map(({ name }) => name));
    expect(frames.filter((frame) => !names.has(frame))).toEqual([]);
  });

  test.each(kinds)(`[PROTO17] ${rounds} mutated streams throw nothing but faults: $ending`, ({ ending, read }) => {
    const random = seededRandom(seed);
    const entries = corpus(ending);
    const tally: Tally = { taken: 0, refused: 0, broken: 0 };
    for (let round = 0; round < rounds; round++) {
      const entry = entries[random.whole(entries.length)]!;
      const other = entries[random.whole(entries.length)]!;
      const stream = mutated(entry.bytes, other.bytes, random);
      try {
        read(entry.sender, stream, random, tally);
      } catch (cause) {
        throw new Error(`round ${round}, from ${entry.name}: ${Buffer.from(stream).toString("hex")}`, { cause });
      }
    }
    // Mutations reach both sides of the door: some are still frames, some are not.
    expect(tally.taken).toBeGreaterThan(rounds / 20);
    expect(tally.refused + tally.broken).toBeGreaterThan(rounds / 20);
  });
});
