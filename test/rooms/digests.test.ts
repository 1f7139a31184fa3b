import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Command, commandTypes, encodeCommand, isCommand } from "../../src/rooms/commands.ts";
import { DigestLink, linkMessages, noDigest } from "../../src/rooms/digest-link.ts";
import type { DigestStep } from "../../src/rooms/kept-digests.ts";
import { putRecord, recordBytes } from "../../src/rooms/message-record.ts";
import { Sha256 } from "../../src/base/sha256.ts";
import { bytesOf, GroupLog } from "./group-log.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function trim(first: number, digests: DigestStep): Command {
  return { type: commandTypes.trim, room: bytesOf("lobby"), first, digests };
}

/** A half-way link of any content: `apply` keeps what the orderer computed. */
function saved(text: string): Uint8Array {
  const hash = new Sha256();
  hash.add(noDigest, 0, noDigest.length);
  hash.add(bytesOf(text), 0, bytesOf(text).length);
  return hash.save();
}

const links = (count: number): Uint8Array => new Uint8Array(count * 32).map((_, i) => i + 1);

describe("digests", () => {
  test("[DIGEST1] the hash is SHA-256, also when it was put aside between any two bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(400), { maxLength: 4 }), (bytes, cuts) => {
        const places = [...cuts.map((cut) => Math.min(cut, bytes.length)), 0, bytes.length].sort((a, b) => a - b);
        let hash = new Sha256();
        for (let i = 1; i < places.length; i++) {
          hash.add(bytes, places[i - 1]!, places[i]! - places[i - 1]!);
          hash = Sha256.resume(hash.save());
        }
        expect(hex(hash.digest())).toBe(createHash("sha256").update(bytes).digest("hex"));
      }),
    );
    // Around the border where length and padding take a block of their own.
    for (let length = 0; length < 200; length++) {
      const bytes = new Uint8Array(length).fill(length);
      const hash = new Sha256();
      hash.add(bytes, 0, length);
      expect(hex(hash.digest())).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  });

  test("[DIGEST1] what is put aside has the form that snapshots and logs of earlier versions hold", () => {
    const hash = new Sha256().update(bytesOf("abc".repeat(25)));
    expect(hex(hash.save())).toBe(
      // 75 bytes taken in, the eight words behind the first 64 of them, the 11 bytes left.
      "4b0000000000" + "06a2af476edfa21c8799eb3c8e5ffb96502518d8615687367579e8590413e8cb" + "6263616263616263616263",
    );
  });

  test("[DIGEST2] a link is the hash that PROTOCOL.md says", () => {
    const parts = {
      room: bytesOf("lobby"),
      from: bytesOf("zoë"),
      cid: bytesOf("c1"),
      kind: bytesOf(""),
      prev: bytesOf("c0"),
      refFrom: bytesOf(""),
      refKind: bytesOf(""),
      body: bytesOf("hello"),
      ref: 0,
      checked: 9,
      prevSeq: 2,
      seq: 3,
      ts: 2 ** 41 + 5,
      epoch: 7,
    };
    const record = new Uint8Array(recordBytes(parts) + 5);
    putRecord(record, 5, parts);
    const u64 = (value: number): Buffer => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64BE(BigInt(value));
      return bytes;
    };
    const text = (value: string): Buffer => {
      const bytes = Buffer.from(value);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return Buffer.concat([length, bytes]);
    };
    const said = [u64(3), u64(2 ** 41 + 5), text("zoë"), text("c1"), text("text"), u64(0), text("hello")];
    const link = DigestLink.behind(noDigest);
    link.add(record, 5);
    const expected = createHash("sha256").update(Buffer.concat([Buffer.alloc(32), ...said]));
    expect(hex(DigestLink.resume(link.save()).end())).toBe(expected.digest("hex"));
  });

  test("[DIGEST3] a trim's digests are kept with the room, through a snapshot, and a further trim adds to them", () => {
    const log = new GroupLog();
    log.set({ kind: "founding" });
    for (let n = 0; n < linkMessages + 10; n++) log.post({ room: "lobby", from: "zoe", cid: `z${n}` });
    expect(log.do(trim(5, { base: 0, links: links(0), saved: saved("four") }))).toBe("done");
    log.restart();
    const digests = () => log.state.room("lobby")!.digests;
    expect(digests()).toEqual({ through: 4, links: links(0), saved: saved("four") });
    expect(log.do(trim(linkMessages + 3, { base: 4, links: links(1), saved: saved("more") }))).toBe("done");
    const before = digests();
    expect(before).toEqual({ through: linkMessages + 2, links: links(1), saved: saved("more") });
    log.restart();
    expect(digests()).toEqual(before);
    expect(log.state.room("lobby")!.first).toBe(linkMessages + 3);
  });

  test("[DIGEST3] a trim that another one overtook removes nothing: no message goes without its digest", () => {
    const log = new GroupLog();
    log.set({ kind: "founding" });
    for (let n = 0; n < 9; n++) log.post({ room: "lobby", from: "zoe", cid: `z${n}` });
    log.do(trim(5, { base: 0, links: links(0), saved: saved("four") }));
    const before = log.state.hash();
    const applied = log.state.appliedIndex;
    expect(log.do(trim(8, { base: 0, links: links(0), saved: saved("seven") }))).toBe("overloaded");
    expect(log.do(trim(12, { base: 4, links: links(0), saved: saved("beyond the head") }))).toBe("overloaded");
    // What is removed already needs nothing.
    expect(log.do(trim(4, { base: 0, links: links(0), saved: saved("three") }))).toBe("done");
    expect(log.state.room("lobby")).toMatchObject({ first: 5, digests: { through: 4 } });
    expect([before === log.state.hash(), log.state.appliedIndex - applied]).toEqual([false, 3]);
  });

  test("[DIGEST4] digests of another length than the two places call for are no command", () => {
    const fits = encodeCommand(trim(linkMessages + 3, { base: 4, links: links(1), saved: saved("x") }));
    expect(isCommand(fits, 0, fits.length)).toBe(true);
    for (const [first, base, count] of [
      [linkMessages + 3, 4, 0],
      [linkMessages + 3, 4, 2],
      [linkMessages + 3, linkMessages, 1],
      [5, 4, 0],
      [1, 4, 0],
      [0, 4, 0],
      [linkMessages * 258, 0, 257],
    ] as const) {
      const bytes = encodeCommand(trim(first, { base, links: links(count), saved: saved("x") }));
      expect(isCommand(bytes, 0, bytes.length), `${first} ${base} ${count}`).toBe(false);
    }
    for (const wrong of [
      new Uint8Array(0),
      new Uint8Array(38),
      saved("x").subarray(1),
      new Uint8Array([...saved("x"), 1]),
    ]) {
      const bytes = encodeCommand(trim(3, { base: 0, links: links(0), saved: wrong }));
      expect(isCommand(bytes, 0, bytes.length) && wrong.length > 0).toBe(false);
    }
    for (let end = 0; end < fits.length; end++) expect(isCommand(fits, 0, end)).toBe(false);
  });
});
