import { expect, test } from "vitest";
import { distrustOf, loopbackHosts, type Trust } from "../../src/doors/trust.ts";

const open: Trust = { origins: ["https://friend.example"], hosts: null };
const says = (trust: Trust, host: string | null, origin: string | null, hasCookie = false): boolean =>
  distrustOf(trust, { host, origin, hasCookie }) === null;

test.each([
  ["chat.example", "https://chat.example"],
  ["chat.example:443", "https://chat.example"],
  ["CHAT.example", "https://chat.example"],
  ["127.0.0.1:7400", "http://127.0.0.1:7400"],
  ["[::1]:7400", "http://[::1]:7400"],
  ["chat.example", "https://friend.example"],
])("[TRUST1] a page of the same host, or of a listed origin, may: %s from %s", (host, origin) => {
  expect(says(open, host, origin)).toBe(true);
});

test.each([
  ["chat.example", "https://evil.example"],
  ["chat.example", "null"],
  ["chat.example", ""],
  ["chat.example", "https://chat.example.evil.example"],
  ["chat.example", "https://evilchat.example"],
  ["chat.example", "https://chat.example@evil.example"],
  ["chat.example", "https://evil.example/chat.example"],
  ["chat.example", "https://chat.example/"],
  ["chat.example", "https://chat.example:8443"],
  ["chat.example", "https://chat.example, https://evil.example"],
  ["chat.example", "file://chat.example"],
  ["chat.example", "https://friend.example.evil.example"],
  ["chat.example", "https://friend.example:444"],
  ["evil.example/chat.example", "https://evil.example"],
  [null, "https://chat.example"],
])("[TRUST1] no other page may: %s from %s", (host, origin) => {
  expect(says(open, host, origin)).toBe(false);
});

test("[TRUST2] without an origin only those who send no cookies may", () => {
  expect(says(open, "chat.example", null)).toBe(true);
  expect(says(open, "chat.example", null, true)).toBe(false);
});

test("[TRUST3] a server that names its hosts answers to no other name, whatever the origin says", () => {
  const loopback: Trust = { origins: [], hosts: loopbackHosts };
  expect(says(loopback, "127.0.0.1:7400", null)).toBe(true);
  expect(says(loopback, "localhost:7400", "http://localhost:7400")).toBe(true);
  expect(says(loopback, "[::1]:7400", "http://[::1]:7400")).toBe(true);
  // A name of the attacker's that points to this machine now.
  expect(says(loopback, "rebound.evil.example:7400", "http://rebound.evil.example:7400")).toBe(false);
  expect(says(loopback, "localhost.evil.example", null)).toBe(false);
  expect(says(loopback, null, null)).toBe(false);
});
