import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { binaryEncoding } from "../../src/client/binary-encoding.ts";
import { jsonEncoding } from "../../src/client/json-encoding.ts";
import { jsonLinesEncoding } from "../../src/client/json-lines-encoding.ts";
import { ProtocolViolation } from "../../src/client/ports.ts";
import { encodeBinaryFrames } from "../../src/protocol/binary-codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { binaryGreeting } from "../../src/protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/schema.ts";

const place = { room: "lobby", line: "l1", first: 1, head: 9 };
const message = {
  seq: 9,
  from: "bob",
  cid: "b-1",
  ts: 1_795_000_000_000,
  epoch: 3,
  kind: "text",
  body: "Grüße \u{1f44b}\n",
};
const limits = { bodyBytesMax: 1, frameBytesMax: 1, histItemsMax: 1, subsMax: 1, roomsMax: 1, sendsInFlightMax: 1_024 };

/** One of every frame that a server may send. */
const samples = [
  {
    t: "welcome",
    v: 1,
    user: "alice",
    session: "s",
    node: "n1",
    cluster: "c",
    topology: "solo",
    heartbeatMs: 25_000,
    servers: ["ws://a"],
    limits,
  },
  { t: "ok", of: "done", id: 1 },
  {
    t: "ok",
    of: "send",
    id: 2,
    room: "lobby",
    cid: "c",
    seq: 9,
    ts: 1,
    epoch: 3,
    line: "l1",
    leader: "n1",
    node: "n1",
    dup: false,
  },
  {
    t: "ok",
    of: "send",
    id: 2,
    room: "lobby",
    cid: "c",
    seq: null,
    ts: 1,
    epoch: 3,
    line: "l1",
    leader: "n1",
    node: "n1",
    dup: true,
  },
  { t: "ok", of: "sub", id: 3, ...place, epoch: 3, node: "n1" },
  { t: "ok", of: "join", id: 4, room: "lobby", line: "l1", head: 9, epoch: 3 },
  { t: "ok", of: "hist", id: 5, ...place, node: "n1", more: true, items: [message, { ...message, ref: 4 }] },
  { t: "ok", of: "lookup", id: 6, room: "lobby", cid: "c", seq: null, head: 9 },
  { t: "ok", of: "rooms", id: 7, rooms: [{ ...place, read: 2, unread: 7 }] },
  { t: "ok", of: "presence", id: 8, room: "lobby", users: ["bob"] },
  {
    t: "err",
    id: 9,
    code: "behind",
    message: "wait",
    definite: true,
    retryable: true,
    retryAfterMs: 5,
    hint: "ws://b",
  },
  { t: "err", code: "too_large", message: "no", definite: true, retryable: false },
  { t: "msg", room: "lobby", ...message },
  { t: "room", ...place, read: 2 },
  { t: "caught-up", room: "lobby", seq: 9 },
  { t: "gap", room: "lobby", from: 1, to: 3, reason: "retention" },
  { t: "read", room: "lobby", user: "bob", seq: 3 },
  { t: "presence", room: "lobby", count: 300 },
  { t: "typing", room: "lobby", user: "bob" },
  { t: "drain", withinMs: 100 },
  { t: "pong", id: 10 },
  { t: "settled", room: "lobby", items: [{ at: [1, "n1", 2], seq: 4 }] },
] as unknown as ServerFrame[];

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The bytes in pieces, cut at these places. */
function pieces(bytes: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, i) => bytes.slice(from, places[i] ?? bytes.length));
}

describe("[SDK8] what the server's codec writes, the SDK reads", () => {
  test("JSON in messages, one frame or many", () => {
    const decoder = jsonEncoding().decoder();
    for (const frame of samples) expect(decoder.push(encodeJson("server", frame))).toEqual([frame]);
    expect(decoder.push(`[${samples.map((frame) => encodeJson("server", frame)).join(",")}]`)).toEqual(samples);
  });

  test("JSON lines, wherever the stream is cut", () => {
    const stream = bytesOf(samples.map((frame) => `${encodeJson("server", frame)}\n`).join(""));
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
        const decoder = jsonLinesEncoding().decoder();
        expect(pieces(stream, cuts).flatMap((piece) => decoder.push(piece))).toEqual(samples);
      }),
      { numRuns: 50 },
    );
  });

  test("a binary stream, wherever it is cut", () => {
    const frames = encodeBinaryFrames("server", samples);
    const stream = Uint8Array.of(binaryGreeting, ...frames);
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
        const decoder = binaryEncoding("stream").decoder();
        expect(pieces(stream, cuts).flatMap((piece) => decoder.push(piece))).toEqual(samples);
      }),
      { numRuns: 50 },
    );
    expect(binaryEncoding("messages").decoder().push(frames)).toEqual(samples);
  });
});

test("[SDK50] a frame that has no form in binary is named, and the others go out", () => {
  const frame = (cid: string) => ({ t: "lookup", id: cid.length, room: "lobby", cid }) as unknown as ClientFrame;
  const [good, bad, other] = [frame("a"), frame("c".repeat(70)), frame("abc")];
  const named: ClientFrame[] = [];
  const encode = (frames: ClientFrame[]) => binaryEncoding("messages").encode(frames, (one) => named.push(one));
  expect(encode([good, bad, other])).toEqual(encodeBinaryFrames("client", [good, other]));
  expect(named).toEqual([bad]);
  expect(encode([bad]).length).toBe(0);
});

describe("[SDK8] what a server takes its readers take: its welcome says how much", () => {
  const body = "\u0001".repeat(3 * 1024 * 1024);
  const welcome = { ...samples[0], limits: { ...limits, bodyBytesMax: 4 * 1024 * 1024 } } as unknown as ServerFrame;
  const large = { t: "msg", room: "lobby", ...message, body } as unknown as ServerFrame;
  const page = { ...samples.find(({ t, of }: { t: string; of?: string }) => t === "ok" && of === "hist")! };
  const largePage = {
    ...page,
    items: [message, message, message].map((item) => ({ ...item, body })),
  } as unknown as ServerFrame;

  test("a body beyond the default, and a page of them", () => {
    const binary = binaryEncoding("messages").decoder();
    const encoded = encodeBinaryFrames("server", [large, largePage]);
    expect(() => binaryEncoding("messages").decoder().push(encoded)).toThrow(ProtocolViolation);
    expect(binary.push(encodeBinaryFrames("server", [welcome]))).toEqual([welcome]);
    expect(binary.push(encoded).length).toBe(2);

    const lines = jsonLinesEncoding().decoder();
    const text = `${encodeJson("server", largePage)}\n`;
    expect(lines.push(`${encodeJson("server", welcome)}\n`)).toEqual([welcome]);
    // More than half of it without its end: it is kept until the end has come.
    expect(lines.push(text.slice(0, -10))).toEqual([]);
    expect(lines.push(text.slice(-10)).length).toBe(1);
    expect(() => jsonLinesEncoding().decoder().push(text.slice(0, -10))).toThrow(ProtocolViolation);
  });

  test("lowered limits do not shut out what was taken before", () => {
    const decoder = binaryEncoding("messages").decoder();
    expect(decoder.push(encodeBinaryFrames("server", samples))).toEqual(samples);
  });
});

describe("[SDK8] what no server may send is a violation, and never anything else", () => {
  test("a field that is missing or of another type", () => {
    const decoder = jsonEncoding().decoder();
    const needed: [string, string][] = [
      ["msg", "body"],
      ["msg", "seq"],
      ["gap", "to"],
      ["welcome", "limits"],
      ["welcome", "servers"],
      ["err", "code"],
      ["room", "head"],
    ];
    for (const [t, name] of needed) {
      const frame = samples.find((sample) => sample.t === t)!;
      for (const value of [undefined, {}, -1, 1.5, true]) {
        expect(() => decoder.push(JSON.stringify({ ...frame, [name]: value }))).toThrow(ProtocolViolation);
      }
    }
    expect(() => decoder.push(JSON.stringify({ t: "ok", of: "rooms", id: 1, rooms: [{}] }))).toThrow(ProtocolViolation);
    expect(() => decoder.push(JSON.stringify({ t: "ok", of: "hist", id: 1, ...place, node: "n", items: [3] }))).toThrow(
      ProtocolViolation,
    );
  });

  test("whatever comes", () => {
    for (const [encoding, wrap] of [
      [jsonEncoding(), (text: string) => text],
      [jsonLinesEncoding(), (text: string) => bytesOf(`${text}\n`)],
      [binaryEncoding("stream"), (text: string) => bytesOf(text)],
      [binaryEncoding("messages"), (text: string) => bytesOf(text)],
    ] as const) {
      fc.assert(
        fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
          try {
            for (const frame of encoding.decoder().push(wrap(text))) expect(typeof frame.t).toBe("string");
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolViolation);
          }
        }),
        { numRuns: 100 },
      );
    }
  });

  test("names that every object has are frames of no kind", () => {
    const decoder = jsonEncoding().decoder();
    for (const t of ["__proto__", "constructor", "toString"]) expect(decoder.push(`{"t":"${t}"}`)).toEqual([]);
  });
});
