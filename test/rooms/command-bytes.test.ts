import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  areCommands,
  type Command,
  commandTypes,
  encodeCommand,
  isCommand,
  noticeKinds,
  roles,
} from "../../src/rooms/commands.ts";
import { kindOf, messageKinds } from "../../src/rooms/message-kind.ts";
import { decodeSettings, encodeSettings, type Setting, urlsThatFit } from "../../src/rooms/setting.ts";
import { bytesOf, command, record } from "./group-log.ts";

const one: readonly Command[] = [
  command.join("ops", "alice", true),
  command.leave("ops", "alice"),
  command.kick("ops", "alice", "bob"),
  command.kick("ops", "", "bob"),
  command.role("ops", "alice", "bob", roles.moderator),
  command.invite("ops", "alice", "bob"),
  command.read("ops", "alice", 2 ** 47),
  command.retention("ops", "alice", { ageMs: 1, messages: 2, bytes: 3 }),
  command.trim("ops", 9),
  command.deleteRoom("ops", "alice"),
  command.closeRoom("ops"),
  command.notice("ops", "bob", noticeKinds.invited, 4),
  command.acknowledge("ops", "bob", 4),
];

describe("bytes of commands", () => {
  test("[BYTES1] what the encoder writes is a command, and there is one of each type", () => {
    for (const each of one) expect(isCommand(encodeCommand(each), 0, encodeCommand(each).length)).toBe(true);
    const types = new Set<number>([commandTypes.post, ...one.map((each) => each.type)]);
    expect(types).toEqual(new Set(Object.values(commandTypes)));
  });

  test("[BYTES1] cut or stretched anywhere it is none, and neither is an unknown type", () => {
    for (const bytes of [...one.map(encodeCommand), record({ room: "ops", from: "alice", cid: "1", kind: "k" })]) {
      expect(isCommand(bytes, 0, bytes.length)).toBe(true);
      for (let end = 0; end < bytes.length; end++) expect(isCommand(bytes, 0, end)).toBe(false);
      expect(isCommand(bytes.with(0, bytes[0]! + 1), 0, bytes.length)).toBe(false);
      expect(isCommand(bytes.with(0, bytes[0]! - 1), 0, bytes.length)).toBe(false);
      expect(isCommand(bytes.with(4, 99), 0, bytes.length)).toBe(false);
      expect(isCommand(bytes.with(4, 0), 0, bytes.length)).toBe(false);
    }
  });

  test("[BYTES1] a detail, a name or a number where none belongs is refused", () => {
    const leave = encodeCommand(command.leave("ops", "alice"));
    for (const at of [5, 9, 10, 16, 22]) expect(isCommand(leave.with(at, 1), 0, leave.length), `${at}`).toBe(false);
    const role = encodeCommand(command.role("ops", "alice", "bob", roles.owner));
    expect(isCommand(role.with(5, 0), 0, role.length)).toBe(false);
    expect(isCommand(role.with(5, 4), 0, role.length)).toBe(false);
    // The same bytes with the border between two names elsewhere: no user, no room.
    const join = encodeCommand(command.join("ops", "alice"));
    expect(isCommand(join.with(6, 8).with(7, 0), 0, join.length)).toBe(false);
    expect(isCommand(join.with(6, 0).with(7, 8), 0, join.length)).toBe(false);
    expect(isCommand(join.with(6, 2).with(8, 1), 0, join.length)).toBe(false);
    for (const empty of [
      { room: "", from: "a", cid: "1" },
      { room: "r", from: "", cid: "1" },
      { room: "r", from: "a", cid: "" },
    ]) {
      expect(isCommand(record(empty), 0, record(empty).length)).toBe(false);
    }
  });

  test("[BYTES1] several, back to back, and nothing else", () => {
    const whole = new Uint8Array([...encodeCommand(one[0]!), ...encodeCommand(one[1]!)]);
    expect(areCommands(whole, 0, whole.length)).toBe(true);
    expect(areCommands(whole, 0, whole.length - 1)).toBe(false);
    expect(areCommands(whole, 1, whole.length)).toBe(false);
    expect(areCommands(whole, 0, 0)).toBe(true);
  });

  test("[BYTES1] no bytes whatever make the check fail, or read past their end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(12), (noise, type) => {
        const bytes = noise.length > 4 ? noise.with(4, type) : noise;
        if (isCommand(bytes, 0, bytes.length)) expect(bytes[0]).toBeLessThanOrEqual(bytes.length);
        const settings = decodeSettings(noise);
        // What can be read can be written again and is the same then.
        if (settings !== null) expect(decodeSettings(encodeSettings(settings))).toEqual(settings);
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  test("[BYTES1] settings", () => {
    const settings: Setting[] = [
      { kind: "founding" },
      { kind: "timeZone", timeZone: "Europe/Rome" },
      { kind: "retentionDays", days: 30 },
      { kind: "line", number: 3 },
      { kind: "bound", bound: "roomsMax", value: 8 },
      { kind: "address", node: "n2", address: { host: "10.0.0.2", port: 7401 } },
      { kind: "address", node: "n3", address: null },
      { kind: "clients", node: "n2", urls: ["wss://n2.example.org", "tcp://n2.example.org:7403"] },
      { kind: "clients", node: "n3", urls: [] },
    ];
    const bytes = encodeSettings(settings);
    expect(decodeSettings(bytes)).toEqual(settings);
    expect(decodeSettings(bytes.subarray(0, -1))).toBeNull();
    expect(decodeSettings(bytes.with(0, 77))).toBeNull();
    // Longer than any zone's name, and longer than a snapshot takes.
    expect(decodeSettings(encodeSettings([{ kind: "timeZone", timeZone: "x".repeat(65) }]))).toBeNull();
    // A server without a name, a host without a port, a port without a host.
    const named = encodeSettings([{ kind: "address", node: "n", address: { host: "h", port: 1 } }]);
    expect(decodeSettings(named.with(10, 0x3d))).toBeNull();
    expect(decodeSettings(named.with(4, 0))).toBeNull();
    expect(decodeSettings(encodeSettings([{ kind: "address", node: "n", address: { host: "", port: 1 } }]))).toBeNull();
    expect(decodeSettings(encodeSettings([{ kind: "clients", node: "", urls: ["wss://n"] }]))).toBeNull();
    // As many as there is room for.
    const urls = Array.from({ length: 20 }, (_, at) => `wss://server-${at}.example.org`);
    expect(urlsThatFit("n1", urls)).toEqual(urls.slice(0, 9));
    expect(decodeSettings(encodeSettings([{ kind: "clients", node: "n1", urls: urls.slice(0, 9) }]))).not.toBeNull();
    // A window of nothing would let everything through twice.
    expect(decodeSettings(encodeSettings([{ kind: "bound", bound: "idWindowEntries", value: 7 }]))).toBeNull();
    expect(decodeSettings(encodeSettings([{ kind: "bound", bound: "roomsMax", value: 0 }]))).toBeNull();
    expect(decodeSettings(encodeSettings([{ kind: "bound", bound: "roomsMax", value: 1 }]))).not.toBeNull();
  });

  test("[REF3] the kinds that mean something, by their whole name", () => {
    const kind = (name: string): number => kindOf(bytesOf(`x${name}`), 1, bytesOf(name).length);
    expect(["edit", "delete"].map(kind)).toEqual([messageKinds.change, messageKinds.change]);
    expect(["react", "unreact"].map(kind)).toEqual([messageKinds.reaction, messageKinds.reaction]);
    expect(["sys.", "sys.join"].map(kind)).toEqual([messageKinds.system, messageKinds.system]);
    for (const plain of ["", "text", "edi", "edits", "Edit", "deleted", "reacts", "sys", "sysx", "unreac"]) {
      expect([plain, kind(plain)]).toEqual([plain, messageKinds.plain]);
    }
  });
});
