import { expect, test } from "vitest";
import { millis } from "../../src/base/units.ts";
import { flagPassedOn, flagPassOn, frameTypes, putFrameHeader } from "../../src/transport/peer-frame.ts";
import type { LinkLimits } from "../../src/transport/link-limits.ts";
import { type Citizen, LinkTown, named } from "./link-town.ts";

/** n1 and n3 have links with n2 and none with each other. */
function bridge(limits: Partial<LinkLimits> = {}): [LinkTown, Citizen, Citizen, Citizen] {
  const town = new LinkTown({ seed: 4, limits });
  const [one, two, three] = [town.start("n1"), town.start("n2"), town.start("n3")];
  town.know(one, "n2");
  town.know(three, "n2");
  town.settle();
  return [town, one, two, three];
}

function sendThrough(town: LinkTown, from: Citizen, relay: Citizen, to: string, bytes: number): string {
  const frame = { lane: "control", kind: 5, payload: new Uint8Array(bytes), tag: 3, subject: null } as const;
  const outcome = from.links.sendThrough(relay.name, named(to), frame);
  from.dirty.add(from.links.connectionOf(relay.name)!);
  town.settle();
  return outcome;
}

test("[PEER22] a frame reaches a server that has no link with its sender, and says who sent it and who passed it on", () => {
  const [town, one, two, three] = bridge();
  expect(sendThrough(town, one, two, "n3", 10)).toBe("relayed");
  expect(town.frames(three)).toMatchObject([{ from: "n1", via: "n2", lane: "control", kind: 5 }]);
  expect(town.frames(three)[0]!.payload).toHaveLength(10);
  expect(town.frames(two), "the relay's own layers hear nothing of it").toEqual([]);
});

test("[PEER22] a frame that was passed on is not passed on again, whomever it names", () => {
  const [town, one, two, three] = bridge();
  const connection = two.links.connectionOf(one.name)!;
  for (const [flags, name] of [
    [flagPassedOn, "n3"],
    [flagPassedOn, "n2"],
    [flagPassOn, "n2"],
  ] as const) {
    const bytes = new Uint8Array(8 + 3 + 4);
    putFrameHeader(bytes, 0, { type: frameTypes.append, flags, kind: 5, payloadBytes: 7 });
    bytes.set([2, ...Buffer.from(name)], 8);
    town.step(two, { type: "received", now: town.now, connection, bytes });
    town.settle();
  }
  expect(town.frames(three)).toEqual([]);
  expect(town.frames(two).map(({ from, via }) => [from, via])).toEqual([
    ["n3", "n1"],
    ["n2", "n1"],
    ["n1", null],
  ]);
});

test("[PEER22] without a link to the target the relay drops the frame and says so", () => {
  const [town, one, two] = bridge();
  sendThrough(town, one, two, "n9", 10);
  expect(town.told(two, "relay-dropped")).toMatchObject([{ from: "n1", to: "n9" }]);
});

test("[PEER22] what waits at a relay for one server is bounded, and leaves its own frames their place", () => {
  const [town, one, two, three] = bridge({ relayedQueueBytesMax: 100_000 });
  const toThree = two.links.connectionOf(three.name)!;
  // The relay's socket to n3 is full: what it is to pass on waits.
  for (let count = 0; count < 50; count++) {
    one.links.sendThrough(two.name, three.name, {
      lane: "append",
      kind: 1,
      payload: new Uint8Array(10_000),
      tag: 0,
      subject: null,
    });
  }
  const toTwo = one.links.connectionOf(two.name)!;
  for (let times = 0; times < 5; times++) {
    one.dirty.add(toTwo);
    town.flush(one);
  }
  while (town.deliverOne()) two.dirty.delete(toThree);
  expect(town.told(two, "relay-dropped")).toHaveLength(40);
  expect(two.links.status().find(({ name }) => name === "n3")!.waitingBytes).toBe(100_000);
  expect(town.send(two, "n3", { payload: new Uint8Array(10_000) })).toBe("taken");
  town.settle();
  expect(town.frames(three)).toHaveLength(11);
  expect(sendThrough(town, one, two, "n3", 10), "there is room again").toBe("relayed");
  expect(town.frames(three)).toHaveLength(12);
});

test("[PEER22] bulk is not passed on: who tries is ended", () => {
  const [town, one, two] = bridge();
  const connection = two.links.connectionOf(one.name)!;
  const bytes = new Uint8Array(8 + 3);
  putFrameHeader(bytes, 0, { type: frameTypes.bulk, flags: flagPassOn, kind: 0, payloadBytes: 3 });
  bytes.set([2, 0x6e, 0x33], 8);
  town.step(two, { type: "received", now: town.now, connection, bytes });
  expect(town.told(two, "down")).toMatchObject([{ end: { refusal: { code: "malformed" } } }]);
  expect(() =>
    one.links.sendThrough(two.name, named("n3"), {
      lane: "bulk",
      kind: 0,
      payload: new Uint8Array(1),
      tag: 0,
      subject: null,
    }),
  ).toThrow("bulk is not passed on");
});

test("[PEER22] the loss of a passed-on frame is not told among the sender's own", () => {
  const [town, one, two] = bridge();
  town.send(one, "n2", { tag: 8, payload: new Uint8Array(1) });
  one.links.sendThrough(two.name, named("n3"), {
    lane: "append",
    kind: 1,
    payload: new Uint8Array(1),
    tag: 9,
    subject: null,
  });
  town.kill(two);
  town.settle();
  town.now = millis(town.now + 1);
  expect(town.told(one, "down")[0]!.lost.append).toEqual([8]);
});
