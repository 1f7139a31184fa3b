import { expect, test } from "vitest";
import { defaultLimits } from "../../src/base/limits.ts";
import { makePublishWire, makeReaderWire } from "../../src/apps/bench/make-wire.ts";
import { bodyAt, getDigits, numberDigits, putDigits, sentAtDigits } from "../../src/apps/bench/message-body.ts";
import type { ReaderWire, WireName } from "../../src/apps/bench/wires/wire.ts";
import { decodeBinary } from "../../src/protocol/binary-codec.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";

const target = { host: "127.0.0.1", rooms: ["bench"], proof: null };
const sentAt = Buffer.from("1234567890123456");
const answering: WireName[] = ["redis-stream", "redis-pubsub", "nats-jetstream", "etcd", "synod-binary", "synod-json"];
const reading: WireName[] = ["redis-pubsub", "nats-core", "synod-binary", "synod-websocket", "socket-io"];

/** Some answers as a null server gives them, to requests 1 … count. */
function answers(wire: ReturnType<typeof makePublishWire>, count: number): Uint8Array {
  const plan = wire.nullAnswer!;
  const request = Buffer.alloc(wire.requestBytes);
  const all: Uint8Array[] = [];
  for (let number = 1; number <= count; number += 1) {
    wire.putRequest(request, 0, number, sentAt);
    const answer = Buffer.from(plan.answer);
    request.copy(answer, plan.copyTo, plan.copyFrom, plan.copyFrom + plan.copyBytes);
    all.push(answer);
  }
  return Buffer.concat(all);
}

test.each(answering)("%s: answers are read the same wherever the stream is cut", (name) => {
  const bytesOf = (): { wire: ReturnType<typeof makePublishWire>; bytes: Uint8Array } => {
    const wire = makePublishWire(name, target, { client: 3, clients: 4, bodyBytes: 128 });
    return { wire, bytes: answers(wire, 3) };
  };
  const { length } = bytesOf().bytes;
  for (let cut = 0; cut <= length; cut += 1) {
    const { wire, bytes } = bytesOf();
    const seen: number[] = [];
    const sink = { acknowledged: (n: number) => seen.push(n), refused: (_: number, why: string) => expect.fail(why) };
    const used = wire.readAnswers(bytes, 0, cut, sink);
    expect(used).toBeLessThanOrEqual(cut);
    expect(wire.readAnswers(bytes, used, length, sink)).toBe(length);
    expect(seen).toEqual([1, 2, 3]);
  }
});

test.each(reading)("%s: deliveries are read the same wherever the stream is cut", (name) => {
  const options = { reader: 1, rooms: ["bench"], bodyBytes: 128 };
  const example = makeReaderWire(name, target, options).nullDelivery;
  const bytes = Buffer.concat([example.bytes, example.bytes, example.bytes]);
  for (let number = 1; number <= 3; number += 1) {
    putDigits(bytes, (number - 1) * example.bytes.length + example.bodyAt + bodyAt.number, numberDigits, number);
  }
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const wire: ReaderWire = makeReaderWire(name, target, options);
    const seen: number[] = [];
    const sink = {
      delivered: (from: Uint8Array, at: number) => seen.push(getDigits(from, at + bodyAt.number, numberDigits)),
    };
    const used = wire.readDeliveries(bytes, 0, cut, sink);
    expect(wire.readDeliveries(bytes, used, bytes.length, sink)).toBe(bytes.length);
    expect(seen).toEqual([1, 2, 3]);
  }
});

test.each([...answering, "nats-core", "socket-io"] as WireName[])(
  "%s: requests of all clients have one length",
  (name) => {
    const lengths = [0, 7, 42, 9999].map(
      (client) => makePublishWire(name, target, { client, clients: 4, bodyBytes: 1024 }).requestBytes,
    );
    expect(new Set(lengths).size).toBe(1);
  },
);

test.each([...answering, "nats-core"] as WireName[])(
  "%s: a request carries its number and its time in the body",
  (name) => {
    const wire = makePublishWire(name, target, { client: 5, clients: 4, bodyBytes: 1024 });
    const block = Buffer.alloc(wire.requestBytes * 2);
    wire.putRequest(block, wire.requestBytes, 77, sentAt);
    const body = wire.requestBytes + wire.bodyInRequest;
    expect(getDigits(block, body + bodyAt.number, numberDigits)).toBe(77);
    expect(block.subarray(body, body + sentAtDigits).toString()).toBe(sentAt.toString());
  },
);

test("a binary send is the frame the protocol's own codec reads, linked to the one before", () => {
  const wire = makePublishWire("synod-binary", target, { client: 0, clients: 4, bodyBytes: 128 });
  const request = Buffer.alloc(wire.requestBytes);
  wire.readAnswers(answers(wire, 1), 0, answers(wire, 1).length, { acknowledged: () => 0, refused: () => 0 });
  wire.putRequest(request, 0, 12, sentAt);
  const frame = decodeBinary("client", request, 0, request.length, defaultLimits);
  if (frame.t !== "send") return expect.fail(`decoded to ${frame.t}`);
  expect(frame).toMatchObject({ id: 12, room: "bench", since: 1 });
  // The first cid is that of the message which the first request names as the one before it.
  expect(frame.cid).toMatch(/-0000000013$/);
  expect(frame.prev).toBe(frame.cid.replace(/13$/, "12"));
  expect(frame.body).toMatch(new RegExp(`^${sentAt.toString()}0000000012x{102}$`));
});

test("a JSON send is the frame the protocol's own codec reads, with the head that was acknowledged", () => {
  const wire = makePublishWire("synod-json", target, { client: 0, clients: 4, bodyBytes: 128 });
  const request = Buffer.alloc(wire.requestBytes);
  const answer = Buffer.from(Buffer.from(answers(wire, 1)).toString().replace('"seq":1,', '"seq":4711,'));
  const sink = { acknowledged: () => 0, refused: () => 0 };
  expect(wire.readAnswers(Buffer.concat([answers(wire, 1), answer]).subarray(0, -1), 0, 10_000, sink)).toBe(
    answers(wire, 1).length,
  );
  wire.readAnswers(answers(wire, 1), 0, answers(wire, 1).length, sink);
  wire.putRequest(request, 0, 12, sentAt);
  expect(request.at(-1)).toBe(0x0a);
  const frames: ReturnType<typeof decodeBinary<"client">>[] = [];
  decodeJson("client", request.subarray(0, -1), defaultLimits, frames);
  const frame = frames[0]!;
  if (frame.t !== "send") return expect.fail(JSON.stringify(frame));
  expect(frame).toMatchObject({ id: "0000000012", room: "bench", since: 1 });
  expect(frame.prev).toBe(frame.cid.replace(/12$/, "11"));
});

test.each([
  ["redis-stream", "-ERR no space left\r\n", 1],
  ["nats-jetstream", "-ERR 'Maximum Payload Violation'\r\n", 0],
] as const)("%s: a refusal is a refusal", (name, answer, number) => {
  const wire = makePublishWire(name, target, { client: 0, clients: 4, bodyBytes: 128 });
  const refusals: number[] = [];
  const bytes = Buffer.from(answer);
  wire.readAnswers(bytes, 0, bytes.length, {
    acknowledged: () => expect.fail("it was not acknowledged"),
    refused: (which) => refusals.push(which),
  });
  expect(refusals).toEqual([number]);
});

test.each([1, 2])("JetStream's answers are read with %i spaces in front of their length", (spaces) => {
  const wire = makePublishWire("nats-jetstream", target, { client: 0, clients: 4, bodyBytes: 128 });
  const inbox = /_INBOX\.\S+/.exec(Buffer.from(answers(wire, 1)).toString())![0];
  const stored = '{"stream":"BENCH", "seq":1}';
  const full = '{"error":{"code":503,"description":"insufficient resources"}}';
  const gap = " ".repeat(spaces);
  const second = inbox.replace(/1$/, "2");
  const text = `MSG ${inbox} 1${gap}${stored.length}\r\n${stored}\r\nMSG ${second} 1${gap}${full.length}\r\n${full}\r\n`;
  const seen: string[] = [];
  wire.readAnswers(Buffer.from(text), 0, text.length, {
    acknowledged: (number) => seen.push(`stored ${number}`),
    refused: (number) => seen.push(`refused ${number}`),
  });
  expect(seen).toEqual(["stored 1", "refused 2"]);
});

test("with more rooms than clients a binary publisher goes round its share, each message linked in its own room", () => {
  const rooms = ["r-0", "r-1", "r-2", "r-3", "r-4", "r-5"];
  const wire = makePublishWire("synod-binary", { ...target, rooms }, { client: 1, clients: 2, bodyBytes: 128 });
  const request = Buffer.alloc(wire.requestBytes);
  const seen = [1, 2, 3, 4, 5].map((number) => {
    wire.putRequest(request, 0, number, sentAt);
    const frame = decodeBinary("client", request, 0, request.length, defaultLimits);
    if (frame.t !== "send") return expect.fail(`decoded to ${frame.t}`);
    return { room: frame.room, cid: Number(frame.cid.slice(-2)), prev: Number(frame.prev?.slice(-2)) };
  });
  // Cids 1 to 3 are those of the greeting, one for each room.
  expect(seen).toEqual([
    { room: "r-1", cid: 4, prev: 1 },
    { room: "r-3", cid: 5, prev: 2 },
    { room: "r-5", cid: 6, prev: 3 },
    { room: "r-1", cid: 7, prev: 4 },
    { room: "r-3", cid: 8, prev: 5 },
  ]);
});
