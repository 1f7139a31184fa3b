import { describe, expect, test } from "vitest";
import { putU16, putU32, putU48 } from "../../src/base/byte-order.ts";
import { Fault } from "../../src/base/error-codes.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { layoutByKind } from "../../src/protocol/layout.ts";
import type { Layout } from "../../src/protocol/layout.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/schema.ts";
import { utf8 } from "../../src/protocol/utf8.ts";
import { isSend } from "../../src/protocol/send-bytes.ts";
import { limits } from "./arbitrary-frames.ts";

const client = (frame: object): Uint8Array => encodeBinary("client", frame as unknown as ClientFrame);
const server = (frame: object): Uint8Array => encodeBinary("server", frame as unknown as ServerFrame);
const send = (more: object = {}): Uint8Array =>
  client({ t: "send", id: 1, room: "lobby", cid: "c1", body: "hi", ...more });

function refusal(bytes: Uint8Array, bounds = limits): [string, string | number | null] {
  const read = decodeBinary("client", bytes, 0, bytes.length, bounds);
  expect(isSend(bytes, 0, bytes.length, bounds)).toBe(false);
  if (read.t !== "refused") return expect.fail(`taken: ${JSON.stringify(read)}`);
  return [read.fault.code, read.id];
}

function layout(t: string): Layout {
  return layoutByKind("client", t, undefined) ?? expect.fail(`no frame ${t}`);
}

const at = (t: string, field: string): number => layout(t).slots.find((slot) => slot.name === field)!.at;
const bit = (t: string, field: string): number => layout(t).slots.find((slot) => slot.name === field)!.presence;

/** A copy with a change, its length put right when the change made it longer. */
function changed(
  bytes: Uint8Array,
  change: (copy: Uint8Array) => void,
  more: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const copy = new Uint8Array(bytes.length + more.length);
  copy.set(bytes);
  copy.set(more, bytes.length);
  putU32(copy, 0, copy.length - 4);
  change(copy);
  return copy;
}

describe("lengths", () => {
  test("[PROTO4] a body or text longer than its frame is refused without being read", () => {
    for (const length of [3, 100, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) {
      expect(refusal(changed(send(), (copy) => putU32(copy, at("send", "body"), length)))).toStrictEqual([
        "bad_request",
        null,
      ]);
    }
    for (const field of ["room", "to", "cid", "kind", "prev", "seen"]) {
      expect(refusal(changed(send(), (copy) => putU16(copy, at("send", field), 0xffff)))).toStrictEqual([
        "bad_request",
        null,
      ]);
    }
  });

  test("[PROTO4] a frame whose length is not its size is refused", () => {
    for (const length of [0, 9, 10, send().length - 5, send().length - 3, 2 ** 31, 2 ** 32 - 1]) {
      expect(refusal(changed(send(), (copy) => putU32(copy, 0, length)))).toStrictEqual(["bad_request", null]);
    }
  });

  test("[PROTO4] body and frame of exactly the bound pass, one byte more does not", () => {
    const bounds = { ...limits, bodyBytesMax: 10 };
    const full = send({ body: "ööööö" });
    expect(decodeBinary("client", full, 0, full.length, bounds).t).toBe("send");
    expect(isSend(full, 0, full.length, bounds)).toBe(true);
    expect(refusal(send({ body: "ööööö!" }), bounds)).toStrictEqual(["too_large", 1]);
    expect(decodeBinary("client", full, 0, full.length, { ...limits, frameBytesMax: full.length }).t).toBe("send");
    expect(refusal(full, { ...limits, frameBytesMax: full.length - 1 })).toStrictEqual(["too_large", null]);
  });

  test("[PROTO13] a room of 128 bytes passes, one of 129 does not, and names are checked", () => {
    expect(
      decodeBinary("client", send({ room: "r".repeat(128) }), 0, send({ room: "r".repeat(128) }).length, limits).t,
    ).toBe("send");
    const long = changed(send({ room: "r".repeat(128) }), () => undefined, utf8("x"));
    putU16(long, at("send", "room"), 129);
    expect(refusal(long)).toStrictEqual(["bad_request", 1]);
    for (const more of [
      { room: "a b" },
      { room: "." },
      { room: "@b,a" },
      { room: "é".normalize("NFD") },
      { cid: "a b" },
      { prev: "a/b" },
    ]) {
      expect(refusal(send(more))).toStrictEqual(["bad_request", 1]);
    }
    expect(refusal(client({ t: "send", id: 1, to: "@a,b", cid: "c", body: "" }))).toStrictEqual(["bad_request", 1]);
  });
});

describe("bits", () => {
  test("[PROTO6] a presence bit or flag that the table does not know is refused", () => {
    expect(refusal(changed(send(), (copy) => (copy[7] = 0x80)))).toStrictEqual(["bad_request", 1]);
    expect(refusal(changed(send(), (copy) => (copy[5] = 2)))).toStrictEqual(["bad_request", 1]);
  });

  test("[PROTO6] what is absent is zero, and a name that is there is not empty", () => {
    expect(refusal(changed(send({ ref: 5 }), (copy) => putU16(copy, 6, bit("send", "room"))))).toStrictEqual([
      "bad_request",
      1,
    ]);
    expect(refusal(changed(send({ since: 5 }), (copy) => putU16(copy, 6, bit("send", "room"))))).toStrictEqual([
      "bad_request",
      1,
    ]);
    expect(refusal(changed(send({ prev: "c0" }), (copy) => putU16(copy, 6, bit("send", "room"))))).toStrictEqual([
      "bad_request",
      1,
    ]);
    for (const field of ["kind", "prev", "to", "ref", "seen"]) {
      const presence = bit("send", "room") | bit("send", field);
      expect(refusal(changed(send(), (copy) => putU16(copy, 6, presence)))).toStrictEqual(["bad_request", 1]);
    }
    expect(refusal(changed(send(), (copy) => putU16(copy, 6, 0)))).toStrictEqual(["bad_request", 1]);
    const since = changed(send(), (copy) => putU16(copy, 6, bit("send", "room") | bit("send", "since")));
    expect(decodeBinary("client", since, 0, since.length, limits)).toMatchObject({ t: "send", since: 0 });
    expect(isSend(since, 0, since.length, limits)).toBe(true);
  });

  test("[PROTO6] a send names a room or a user, and not both", () => {
    expect(refusal(send({ to: "bob" }))).toStrictEqual(["bad_request", 1]);
    expect(refusal(client({ t: "send", id: 1, cid: "c1", body: "hi" }))).toStrictEqual(["bad_request", 1]);
  });

  test("[PROTO9] a request needs an id, hello and typing take none, and an id is a number or a text", () => {
    expect(refusal(changed(send(), (copy) => putU48(copy, 8, 0)))).toStrictEqual(["bad_request", null]);
    expect(refusal(changed(client({ t: "typing", room: "lobby" }), (copy) => putU48(copy, 8, 1)))).toStrictEqual([
      "bad_request",
      1,
    ]);
    expect(refusal(changed(send({ id: "x" }), (copy) => putU48(copy, 8, 1)))).toStrictEqual(["bad_request", null]);
    expect(refusal(changed(send({ id: "x".repeat(64) }), () => undefined, utf8("x")))).toStrictEqual([
      "bad_request",
      null,
    ]);
    expect(refusal(changed(send({ id: "x" }), () => undefined, Uint8Array.of(0xff)))).toStrictEqual([
      "bad_request",
      null,
    ]);
  });

  test("[PROTO7] an unknown type is unsupported, with its id when that is a number", () => {
    for (const code of [0, 99, 128, 139, 255]) {
      expect(refusal(changed(send(), (copy) => (copy[4] = code)))).toStrictEqual(["unsupported", 1]);
      expect(refusal(changed(send({ id: "x" }), (copy) => (copy[4] = code)))).toStrictEqual(["unsupported", null]);
    }
  });

  test("[PROTO8] invalid UTF-8 is refused in every text", () => {
    const bytes = send({ body: "????", room: "rooom", kind: "kkkk" });
    for (const place of [bytes.length - 1, bytes.length - 4, layout("send").headerBytes]) {
      expect(refusal(changed(bytes, (copy) => (copy[place] = 0xff)))).toStrictEqual(["bad_request", 1]);
    }
  });
});

describe("structures", () => {
  test("[PROTO5] JSON inside a binary frame is bounded like any other", () => {
    const deep = utf8(`${"[".repeat(10_000)}${"]".repeat(10_000)}`);
    const bytes = changed(send(), () => undefined, deep);
    putU16(bytes, at("send", "seen"), deep.length);
    putU16(bytes, 6, bit("send", "room") | bit("send", "seen"));
    // The texts stand in their order, so what is `seen` begins where the body was; the body takes the last two bytes.
    const read = decodeBinary("client", bytes, 0, bytes.length, limits);
    expect(read.t).toBe("refused");
    bytes.set(bytes.subarray(layout("send").headerBytes + 7, layout("send").headerBytes + 7 + 2), bytes.length - 2);
    bytes.set(deep, layout("send").headerBytes + 7);
    expect(refusal(bytes)).toStrictEqual(["too_large", 1]);
  });

  test("[PROTO4] a page with a message that is cut, named, numbered or of another kind is refused", () => {
    const message = { seq: 1, from: "alice", cid: "c", ts: 1, epoch: 1, kind: "text", body: "hello" };
    const page = {
      t: "ok",
      of: "hist",
      id: 1,
      room: "r",
      line: "l",
      first: 1,
      head: 2,
      node: "n",
      more: false,
      items: [message, message],
    };
    const bytes = server(page);
    expect(decodeBinary("server", bytes, 0, bytes.length, limits)).toStrictEqual(page);
    const itemAt = bytes.length - 2 * ((bytes.length - server({ ...page, items: [] }).length) / 2);
    const changes: readonly ((copy: Uint8Array) => void)[] = [
      (copy) => putU32(copy, itemAt, 0),
      (copy) => putU32(copy, itemAt, 2 ** 32 - 1),
      (copy) => putU32(copy, itemAt, copy.length),
      (copy) => (copy[itemAt + 4] = 7),
      (copy) => (copy[itemAt + 5] = 1),
      (copy) => putU48(copy, itemAt + 8, 1),
      (copy) => putU16(copy, itemAt + 44, 1),
    ];
    for (const change of changes) {
      const read = decodeBinary("server", changed(bytes, change), 0, bytes.length, limits);
      expect(read.t).toBe("refused");
    }
  });

  test("[PROTO8] what cannot be written is a coded fault, not a broken frame", () => {
    expect(() => send({ body: "a\ud800" })).toThrow(Fault);
    expect(() => send({ room: "x".repeat(129) })).toThrow(Fault);
    expect(() => send({ prev: "x".repeat(100_000) })).toThrow(Fault);
  });
});
