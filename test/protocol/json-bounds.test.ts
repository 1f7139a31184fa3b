import { describe, expect, test } from "vitest";
import type { Refused } from "../../src/protocol/check-frame.ts";
import { decodeJson } from "../../src/protocol/json-codec.ts";
import type { ClientFrame } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { limits } from "./arbitrary-frames.ts";

type Read = ClientFrame | Refused;

function read(text: string | Uint8Array, bounds = limits): Read[] {
  const frames: Read[] = [];
  decodeJson("client", text, bounds, frames);
  return frames;
}

/** The code and id of the only thing in a text, which must be a refusal. */
function refusal(text: string | Uint8Array, bounds = limits): [string, string | number | null] {
  const [only, ...rest] = read(text, bounds);
  expect(rest).toStrictEqual([]);
  if (only === undefined || only.t !== "refused") return expect.fail(`taken: ${JSON.stringify(only)}`);
  return [only.fault.code, only.id];
}

const send = (more: object): string =>
  JSON.stringify({ t: "send", id: 1, room: "lobby", cid: "c1", body: "hi", ...more });

describe("bounds before parsing", () => {
  test("[PROTO5] a hundred thousand nested arrays are refused before they are parsed", () => {
    const deep = "[".repeat(100_000) + "]".repeat(100_000);
    expect(refusal(deep)).toStrictEqual(["too_large", null]);
    expect(refusal(`{"t":"ping","id":1,"x":${deep}}`)).toStrictEqual(["too_large", null]);
    expect(refusal(`${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}`)).toStrictEqual(["too_large", null]);
  });

  test("[PROTO5] sixteen deep is fine, seventeen is not, and brackets inside a text do not count", () => {
    const nested = (depth: number): string =>
      `{"t":"ping","id":1,"x":${"[".repeat(depth - 1)}${"]".repeat(depth - 1)}}`;
    expect(read(nested(16))).toStrictEqual([{ t: "ping", id: 1 }]);
    expect(refusal(nested(17))).toStrictEqual(["too_large", null]);
    const body = `${"[".repeat(1000)}\\"{"\\\\`;
    expect(read(send({ body }))).toStrictEqual([{ t: "send", id: 1, room: "lobby", cid: "c1", body }]);
    expect(read(send({ body: "\\" }))[0]!.t).toBe("send");
    expect(refusal(`{"a":"\\\\","b":${"[".repeat(100)}`)).toStrictEqual(["too_large", null]);
  });

  test("[PROTO5] keys and elements are counted, also where most of them are unknown", () => {
    const keys = (count: number): string =>
      `{"t":"ping","id":1${Array.from({ length: count }, (_, i) => `,"k${i}":0`).join("")}}`;
    const bounds = { ...limits, jsonValuesMax: 100 };
    expect(read(keys(40), bounds)).toStrictEqual([{ t: "ping", id: 1 }]);
    expect(refusal(keys(50), bounds)).toStrictEqual(["too_large", null]);
    expect(refusal(`[${"0,".repeat(200_000)}0]`)).toStrictEqual(["too_large", null]);
  });

  test("[PROTO5] an array takes so many frames and no more; a full one of sends is within the other bounds", () => {
    const frames = (count: number): string => `[${Array.from({ length: count }, () => send({})).join(",")}]`;
    expect(read(frames(limits.framesPerTextMax))).toHaveLength(limits.framesPerTextMax);
    expect(refusal(frames(limits.framesPerTextMax + 1))).toStrictEqual(["too_large", null]);
  });

  test("[PROTO4] a text longer than a frame may be is refused unread", () => {
    const bounds = { ...limits, frameBytesMax: 100 };
    const padded = (length: number): string => `{"t":"ping","id":1}`.padEnd(length);
    expect(read(padded(100), bounds)).toHaveLength(1);
    expect(refusal(padded(101), bounds)).toStrictEqual(["too_large", null]);
    expect(refusal(utf8(padded(101)), bounds)).toStrictEqual(["too_large", null]);
  });

  test("[PROTO4] a body is measured in bytes", () => {
    const bounds = { ...limits, bodyBytesMax: 10 };
    expect(read(send({ body: "öööö!!" }), bounds)[0]!.t).toBe("send");
    expect(refusal(send({ body: "ööööö!" }), bounds)).toStrictEqual(["too_large", 1]);
    expect(refusal(send({ body: "x".repeat(11) }), bounds)).toStrictEqual(["too_large", 1]);
  });

  test("[PROTO5] a megabyte that is no frame is refused", () => {
    const bounds = { ...limits, frameBytesMax: 2_000_000 };
    for (const part of ['"', "\\", '\\"', "[", "{", "a", ",", " ", '"\\']) {
      expect(refusal(part.repeat(1_000_000 / part.length), bounds)[1]).toBe(null);
      expect(refusal(`"${part.repeat(1_000_000 / part.length)}`, bounds)[1]).toBe(null);
    }
  });
});

describe("what is in a frame", () => {
  test("[PROTO6] __proto__ and constructor are unknown fields like any other", () => {
    const text = `{"__proto__":{"room":"evil","admin":true},"constructor":{"prototype":{"x":1}},"toString":1,"t":"join","id":1,"room":"lobby","__proto__":null}`;
    const [frame] = read(text);
    expect(frame).toStrictEqual({ t: "join", id: 1, room: "lobby" });
    expect(Object.getPrototypeOf(frame)).toBe(Object.prototype);
    expect("admin" in {}).toBe(false);
    expect("x" in {}).toBe(false);
  });

  test("[PROTO6] they give no field that was not sent", () => {
    expect(refusal(`{"__proto__":{"room":"lobby"},"t":"join","id":1}`)).toStrictEqual(["bad_request", 1]);
    expect(refusal(`{"__proto__":{"t":"ping"},"id":1}`)).toStrictEqual(["bad_request", 1]);
  });

  test("[PROTO6] as names they are names", () => {
    for (const room of ["__proto__", "constructor", "toString"]) {
      expect(read(send({ room }))[0]).toMatchObject({ t: "send", room });
    }
  });

  test("[PROTO6] unknown fields are left out, null stands for an option that was not given", () => {
    expect(read(send({ later: { x: [1] }, ref: null, prev: null }))).toStrictEqual([
      { t: "send", id: 1, room: "lobby", cid: "c1", body: "hi" },
    ]);
  });

  test("[PROTO7] an unknown t is said with its id, and its neighbours count", () => {
    const frames = read(`[{"t":"ping","id":1},{"t":"dance","id":"x"},{"t":"ping","id":3},7,{"id":5},null,[]]`);
    const seen = frames.map((frame) => (frame.t === "refused" ? [frame.fault.code, frame.id] : [frame.t, frame]));
    expect(seen).toStrictEqual([
      ["ping", { t: "ping", id: 1 }],
      ["unsupported", "x"],
      ["ping", { t: "ping", id: 3 }],
      ["bad_request", null],
      ["bad_request", 5],
      ["bad_request", null],
      ["bad_request", null],
    ]);
  });

  test("[PROTO7] names of the language's own properties are unknown frames", () => {
    for (const t of ["__proto__", "constructor", "toString", "hasOwnProperty", "", "x".repeat(10_000), "\\ud800"]) {
      expect(refusal(`{"t":"${t}","id":1}`)).toStrictEqual(["unsupported", 1]);
    }
    // What only the other side may say is unknown too.
    for (const t of ["welcome", "ok", "msg", "err"])
      expect(refusal(`{"t":"${t}","id":1}`)).toStrictEqual(["unsupported", 1]);
  });

  test("[PROTO8] lone surrogates and invalid UTF-8 are refused, never mended", () => {
    for (const field of ["room", "body", "kind"]) {
      expect(refusal(`{"t":"send","id":1,"room":"lobby","cid":"c","body":"x","${field}":"a\\ud800"}`)).toStrictEqual([
        "bad_request",
        1,
      ]);
    }
    expect(refusal(`{"t":"ping","id":"\\udc00"}`)).toStrictEqual(["bad_request", null]);
    expect(refusal(Uint8Array.of(0x7b, 0xff, 0x7d))).toStrictEqual(["bad_request", null]);
    const bytes = utf8(send({ body: "????" }));
    bytes.set([0xf0, 0x9f, 0x99], bytes.indexOf(0x3f));
    expect(refusal(bytes)).toStrictEqual(["bad_request", null]);
    // A pair written as two escapes is one character.
    expect(read(`{"t":"send","id":1,"room":"lobby","cid":"c","body":"\\ud83d\\ude42"}`)[0]).toMatchObject({
      body: "🙂",
    });
  });

  test("[PROTO9] numbers are whole, from 0 to 2^48 - 1", () => {
    const sub = (after: string): string => `{"t":"sub","id":1,"room":"lobby","after":${after}}`;
    for (const after of ["0", "-0", "1.0", "1e3", "281474976710655", '"latest"'])
      expect(read(sub(after))[0]!.t).toBe("sub");
    for (const after of [
      "-1",
      "0.5",
      "281474976710656",
      "9007199254740993",
      "1e400",
      '"1"',
      '"newest"',
      "null",
      "true",
      "[0]",
      "{}",
    ]) {
      expect(refusal(sub(after))).toStrictEqual(["bad_request", 1]);
    }
    expect(Object.is((read(sub("-0"))[0] as { after: number }).after, 0)).toBe(true);
    expect(refusal(send({ ref: 0 }))).toStrictEqual(["bad_request", 1]);
  });

  test("[PROTO9] an id is a safe integer or up to 64 characters", () => {
    const ping = (id: string): string => `{"t":"ping","id":${id}}`;
    for (const id of ["0", "-5", "9007199254740991", '""', `"${"x".repeat(64)}"`, `"${"🙂".repeat(64)}"`]) {
      expect(read(ping(id))).toStrictEqual([{ t: "ping", id: JSON.parse(id) as unknown }]);
    }
    for (const id of [
      "1.5",
      "9007199254740992",
      `"${"x".repeat(65)}"`,
      `"${"🙂".repeat(65)}"`,
      "null",
      "true",
      "{}",
      "[1]",
    ]) {
      expect(refusal(ping(id))).toStrictEqual(["bad_request", null]);
    }
    expect(refusal(`{"t":"ping"}`)).toStrictEqual(["bad_request", null]);
  });

  test("[PROTO6] a send names a room or a user, and not both; history has one anchor at most", () => {
    expect(refusal(send({ to: "bob" }))).toStrictEqual(["bad_request", 1]);
    expect(refusal(`{"t":"send","id":1,"cid":"c","body":""}`)).toStrictEqual(["bad_request", 1]);
    expect(read(`{"t":"send","id":1,"cid":"c","body":"","to":"bob"}`)[0]!.t).toBe("send");
    expect(refusal(`{"t":"hist","id":1,"room":"lobby","before":1,"after":1}`)).toStrictEqual(["bad_request", 1]);
    expect(refusal(`{"t":"hist","id":1,"room":"lobby","level":"strong"}`)).toStrictEqual(["bad_request", 1]);
  });

  test("[PROTO13] names are checked in what clients send", () => {
    for (const more of [
      { room: "../x" },
      { room: "@b,a" },
      { room: "" },
      { cid: "a b" },
      { cid: "" },
      { kind: "" },
      { prev: "ö" },
    ]) {
      expect(refusal(send(more))).toStrictEqual(["bad_request", 1]);
    }
    expect(refusal(`{"t":"hello","v":1,"user":"a b"}`)).toStrictEqual(["bad_request", null]);
  });

  test("[PROTO5] what is no JSON is a bad request", () => {
    for (const text of [
      "",
      " ",
      "{",
      "{}x",
      "undefined",
      "{'t':'ping'}",
      '{"t":"ping","id":1}{"t":"ping","id":2}',
      "\u0000",
    ]) {
      expect(refusal(text)).toStrictEqual(["bad_request", null]);
    }
    expect(read("[]")).toStrictEqual([]);
  });
});
