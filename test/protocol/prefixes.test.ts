import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Fault } from "../../src/base/error-codes.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { decodeBinary } from "../../src/protocol/binary-codec.ts";
import { FrameSplitter } from "../../src/protocol/frame-splitter.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";
import type { Sender } from "../../src/protocol/schema.ts";
import { senders } from "./arbitrary-frames.ts";

const corpus = join(import.meta.dirname, "corpus");
const limits = { ...defaultLimits, frameBytesMax: 1 << 24, bodyBytesMax: 1 << 24 };

/** The sound streams of the corpus: every frame there is stands in one of them. */
const streams = senders.flatMap((sender) =>
  readdirSync(corpus)
    .filter((name) => name.startsWith(`${sender}-`) && !name.includes("-broken-"))
    .map((name) => ({ sender, name, bytes: new Uint8Array(readFileSync(join(corpus, name))) })),
);

const decode = (sender: Sender, frame: Uint8Array): Record<string, unknown> =>
  decodeBinary(sender, frame, 0, frame.length, limits) as unknown as Record<string, unknown>;

/** How this ended: with a frame, with a refusal, or with a coded fault. Anything else is thrown on. */
function outcomeOf(decode: () => unknown): "frame" | "refused" {
  try {
    const frame = decode() as { t: string };
    return frame.t === "refused" ? "refused" : "frame";
  } catch (cause) {
    if (cause instanceof Fault) return "refused";
    throw cause;
  }
}

test("[PROTO17] every beginning of every frame, cut off and with a length that says so, is refused; but for its id nothing is shorter", () => {
  let tried = 0;
  for (const { sender, name, bytes } of streams.filter((stream) => stream.name.endsWith(".bin"))) {
    const splitter = new FrameSplitter(1 << 24);
    splitter.add(bytes);
    while (splitter.next()) {
      const frame = splitter.bytes.slice(splitter.start, splitter.end);
      // The step keeps long frames cheap; their header is taken byte by byte.
      for (let length = 4; length < frame.length; length += length < 120 ? 1 : 97) {
        const cut = frame.slice(0, length);
        new DataView(cut.buffer).setUint32(0, length - 4, true);
        const outcome = outcomeOf(() => decodeBinary(sender, cut, 0, length, limits));
        // A text id stands last and is what is left: a frame cut within it is the same frame under a shorter id.
        if (outcome === "frame") {
          const [whole, short] = [decode(sender, frame), decode(sender, cut)];
          expect([name, length, String(whole["id"]).startsWith(String(short["id"]))]).toEqual([name, length, true]);
          expect({ ...short, id: "" }).toEqual({ ...whole, id: "" });
        }
        tried++;
      }
    }
  }
  expect(tried).toBeGreaterThan(1_000);
});

test("[PROTO17] every beginning of every line of JSON is refused", () => {
  let tried = 0;
  for (const { sender, name, bytes } of streams.filter((stream) => stream.name.endsWith(".jsonl"))) {
    for (const line of new TextDecoder().decode(bytes).trim().split("\n")) {
      for (let length = 1; length < line.length; length += length < 200 ? 1 : 61) {
        const outcome = outcomeOf(() => {
          const frames: { t: string }[] = [];
          decodeJson(sender, line.slice(0, length), limits, frames as never);
          return frames[0] ?? { t: "refused" };
        });
        expect([name, length, outcome]).toEqual([name, length, "refused"]);
        tried++;
      }
    }
  }
  expect(tried).toBeGreaterThan(1_000);
});

test.each([-1, 2 ** 31, 2 ** 53, 2 ** 53 + 2, 1.5, 1e308])(
  "[PROTO17] %d is no whole number of the protocol, in whatever field",
  (number) => {
    for (const frame of [
      { t: "hist", id: 1, room: "a", after: number },
      { t: "hist", id: 1, room: "a", limit: number },
      { t: "sub", id: 1, room: "a", after: number },
      { t: "sub", id: 1, room: "a", after: 0, atLeast: number },
      { t: "read", id: 1, room: "a", seq: number },
      { t: "rooms", id: 1, atLeast: number },
      { t: "send", id: 1, room: "a", cid: "c", body: "", since: number },
      { t: "send", id: 1, room: "a", cid: "c", body: "", ref: number },
    ]) {
      const frames: { t: string }[] = [];
      decodeJson("client", JSON.stringify(frame), limits, frames as never);
      // 2^31 is a whole number like others: nothing is cut to 32 bits.
      const wanted = number === 2 ** 31 ? frame : { t: "refused" };
      expect(frames).toMatchObject([wanted]);
    }
  },
);
