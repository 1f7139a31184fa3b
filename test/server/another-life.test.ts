import { expect, test } from "vitest";
import type { NodeName } from "../../src/base/ids.ts";
import { getU32 } from "../../src/base/byte-order.ts";
import { seededRandom } from "../../src/base/random.ts";
import { removeServer } from "../../src/server/cluster-operations.ts";
import { SimDisk } from "../../src/sim/sim-disk.ts";
import { fileName } from "../../src/storage/disk.ts";
import { type Resident, Town } from "./town.ts";

/** Journals of several segments, and little that is let go of. */
const small = { bodyBytesMax: 2_048, entryBytesMax: 16 * 1024, segmentBytes: 64 * 1024 } as const;

async function talk(town: Town, name: string, count: number, servers?: readonly string[]): Promise<void> {
  const room = town.client("zoe", servers).room("lobby");
  for (let at = 0; at < count; at++) {
    await town.after("stored", room.send(`|${name} ${at} ${"x".repeat(500)}`), 60_000);
  }
}

/** What everybody who runs has in the lobby, which is the same on all. */
async function heard(town: Town): Promise<string[]> {
  await town.settled();
  expect(new Set(town.hashes()).size).toBe(1);
  const { state, history } = town.leader!.now;
  const room = state.room("lobby")!;
  const wanted = { from: 1, to: room.head, direction: "up", itemsMax: 1_000, bytesMax: 10_000_000 } as const;
  const page = await town.after("read", history.page(room, wanted));
  return page.map(({ bytes, offset }) => {
    const record = Buffer.from(bytes.subarray(offset, offset + getU32(bytes, offset))).toString("latin1");
    return /\|(\w+ \d+)/.exec(record)![1]!;
  });
}

const names = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name} ${at}`);

function journalOf({ disk }: Resident): string[] {
  return [...disk.fileSystem.files().keys()].filter((file) => /^journal\/\d+\.wal$/.test(file)).sort();
}

/** Bytes in the midst of what was flushed, with whole batches behind them. */
function spoil(resident: Resident, at = 0.5): { file: string; offset: number } {
  const file = journalOf(resident).at(-1)!;
  const { fileSystem } = resident.disk;
  const bytes = fileSystem.files().get(file)!;
  const end = bytes.findLastIndex((byte: number) => byte !== 0);
  const offset = Math.floor(end * at);
  fileSystem.flip(file, offset, 1);
  return { file, offset };
}

function contentOf({ disk }: Resident): string {
  const files = [...disk.fileSystem.files()].sort(([one], [other]) => (one < other ? -1 : 1));
  return files.map(([file, bytes]) => `${file} ${Buffer.from(bytes).toString("base64")}`).join("\n");
}

test.each(["n1", "n3"])(
  "a member whose journal is damaged comes back by itself, and nothing is lost: %s",
  async (who) => {
    const lines: string[] = [];
    const town = await Town.founded({ limits: small, heard: (line) => lines.push(line) });
    await talk(town, "before", 60);
    const damaged = town.of(who);
    const { incarnation } = damaged.now;
    await town.rest(500);
    town.kill(damaged);
    const { file } = spoil(damaged);
    const kept = Buffer.from(damaged.disk.fileSystem.files().get(file)!).toString("base64");
    town.restart(damaged);
    await talk(
      town,
      "meanwhile",
      20,
      ["n1", "n2", "n3"].filter((name) => name !== who),
    );
    await town.until("it votes again", () => damaged.runs && town.voters.filter((name) => name === who).length === 1);
    await town.until("its former life is gone", () => town.leader?.now.driver.engine.members.length === 3);
    expect(damaged.now.incarnation).not.toBe(incarnation);
    await talk(town, "after", 5, [who]);
    expect(await heard(town)).toEqual([...names("before", 60), ...names("meanwhile", 20), ...names("after", 5)]);
    // Said loudly, with the place, and nothing was thrown away.
    expect(lines.some((line) => line.includes(`${who} member.damaged`) && line.includes(file))).toBe(true);
    expect(lines.some((line) => line.includes(`${who} life.begun`))).toBe(true);
    const aside = [...damaged.disk.fileSystem.files()].filter(([name]) => name.startsWith("quarantine/"));
    expect(aside.some(([, bytes]) => Buffer.from(bytes).toString("base64") === kept)).toBe(true);
  },
);

test("[LIF4] while the others are no quorum nothing is changed, every place is named, and one that is mended is enough", async () => {
  const lines: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => lines.push(line) });
  await talk(town, "before", 40);
  await town.rest(500);
  const [second, third] = [town.of("n2"), town.of("n3")];
  for (const resident of [second, third]) town.kill(resident);
  const places = [spoil(second), spoil(third)] as const;
  const untouched = [contentOf(second), contentOf(third)];
  for (const resident of [second, third]) town.restart(resident);
  await town.rest(130_000);
  expect([contentOf(second), contentOf(third)]).toEqual(untouched);
  expect(town.leader).toBe(null);
  for (const [at, who] of ["n2", "n3"].entries()) {
    expect(lines.some((line) => line.includes(`${who} member.damaged`) && line.includes(places[at]!.file))).toBe(true);
    expect(lines.filter((line) => line.includes(`${who} member.waits`))).toHaveLength(2);
  }
  // The disk was put right: this one goes on as who it was, and is the quorum that the other needs.
  town.kill(second);
  second.disk.fileSystem.flip(places[0].file, places[0].offset, 1);
  town.restart(second);
  await town.until("both vote", () => third.runs && town.voters.length === 3);
  await talk(town, "after", 5);
  expect(await heard(town)).toEqual([...names("before", 40), ...names("after", 5)]);
  expect(second.reborn).toBe(null);
});

test("[LIF1] whoever waits to begin another life is no part of any quorum", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, "before", 20);
  await town.rest(500);
  const [first, second, third] = [town.of("n1"), town.of("n2"), town.of("n3")];
  town.kill(third);
  spoil(third);
  town.kill(second);
  town.restart(third);
  await town.rest(20_000);
  // n1 and the silent one are two of three, and nobody leads.
  expect(town.leader).toBe(null);
  const sent = town.client("amy", ["n1"]).room("lobby").send("|later 0");
  await town.rest(5_000);
  expect(first.now.state.room("lobby")!.head).toBe(20);
  expect(third.reborn).toBe(null);
  town.restart(second);
  await town.after("stored", sent);
  await town.until("all vote", () => third.runs && town.voters.length === 3);
  expect(await heard(town)).toEqual([...names("before", 20), "later 0"]);
});

/** A directory as it was, and what became of it meanwhile: the copy is put in its place. */
async function olderCopy(town: Town, who: string): Promise<Resident> {
  await talk(town, "before", 20);
  await town.rest(500);
  const restored = town.of(who);
  town.kill(restored);
  const copy = new Map([...restored.disk.fileSystem.files()].map(([file, bytes]) => [file, bytes.slice()]));
  town.restart(restored);
  await town.settled();
  await talk(town, "gone", 30);
  await town.rest(500);
  town.kill(restored);
  restored.disk = new SimDisk(restored.host, seededRandom(99));
  restored.host.start();
  const disk = restored.disk.attach();
  for (const [file, bytes] of copy) await town.after("copied", disk.publish(fileName(file), [bytes]));
  return restored;
}

test("an older copy of a member's directory does not go on as who it was, when it is said to be one", async () => {
  const town = await Town.founded({ limits: small });
  const restored = await olderCopy(town, "n3");
  await town.after("it serves", town.startedWith(restored, { restored: true }));
  expect(restored.reborn).not.toBe(null);
  await town.until("it votes", () => town.voters.length === 3 && town.leader!.now.driver.engine.members.length === 3);
  expect(await heard(town)).toEqual([...names("before", 20), ...names("gone", 30)]);
});

test("[LIF5] an older copy that nobody spoke of is known by what it has acknowledged, and goes the same way", async () => {
  const lines: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => lines.push(line) });
  const restored = await olderCopy(town, "n3");
  await town.after("it serves", town.startedWith(restored, {}));
  await town.until("it is another life", () => restored.reborn !== null && restored.runs);
  expect(lines.filter((line) => line.includes("n3 member.forgot"))).toHaveLength(1);
  expect(lines.filter((line) => line.includes("n3 member.silent") && line.includes("restored"))).toHaveLength(1);
  await town.until("it votes", () => town.voters.length === 3 && town.leader!.now.driver.engine.members.length === 3);
  expect(await heard(town)).toEqual([...names("before", 20), ...names("gone", 30)]);
  expect([...restored.disk.fileSystem.files().keys()]).not.toContain("older-copy");
});

test("[LIF5] who is only behind, or comes back after others have led, is taken for no older copy", async () => {
  const lines: string[] = [];
  const town = await Town.founded({ limits: small, heard: (line) => lines.push(line) });
  for (const who of ["n1", "n2", "n3", "n1"]) {
    town.powerLoss(town.of(who));
    await talk(town, "without one", 10);
    town.restart(town.of(who));
    await town.rest(7_000);
  }
  await town.settled();
  expect(lines.filter((line) => line.includes("member.forgot"))).toEqual([]);
  expect(town.residents.map(({ reborn }) => reborn)).toEqual([null, null, null]);
});

test.each(["n1", "n2"])(
  "a journal that rots under a server that runs is found, and mended while the others are a quorum: %s",
  async (who) => {
    const lines: string[] = [];
    const town = await Town.founded({ limits: small, heard: (line) => lines.push(line) });
    await talk(town, "before", 60);
    const damaged = town.of(who);
    const { incarnation } = damaged.now;
    const away = town.of("n3");
    town.kill(away);
    spoil(damaged);
    const found = (): boolean => lines.some((line) => line.includes(`${who} journal.damaged`));
    await town.until("it is found", found, 60_000);
    // Nobody but it and one other is there: it goes on with what it has in memory.
    await talk(town, "meanwhile", 5, [who]);
    await town.rest(30_000);
    expect([damaged.now.incarnation, lines.filter((line) => line.includes(`${who} journal.damaged`)).length]).toEqual([
      incarnation,
      1,
    ]);
    town.restart(away);
    await town.until(
      "another life votes",
      () => damaged.reborn !== null && damaged.runs && town.voters.length === 3,
      60_000,
    );
    await town.until("its former life is gone", () => town.leader?.now.driver.engine.members.length === 3);
    expect(await heard(town)).toEqual([...names("before", 60), ...names("meanwhile", 5)]);
  },
);

test("who accepts the loss of a member's journal is refused: others rely on it", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, "before", 20);
  await town.rest(500);
  const damaged = town.of("n2");
  town.kill(damaged);
  spoil(damaged);
  damaged.host.start();
  const accepting = town.startedWith(damaged, { acceptLoss: true });
  await expect(town.after("refused", accepting)).rejects.toMatchObject({ code: "unsupported" });
});

test("[LIF1] nobody is removed beside one who has had all that there was, and is silent now", async () => {
  const town = await Town.founded({ limits: small });
  await talk(town, "before", 20);
  await town.rest(500);
  const leader = town.leader!.now;
  const [other, silent] = town.followers as [(typeof town.followers)[0], (typeof town.followers)[0]];
  town.kill(silent);
  spoil(silent);
  await town.rest(3_000);
  town.restart(silent);
  const isLinked = (): boolean =>
    leader.cluster!.peers.transport.status().some(({ name, state }) => name === silent.name && state === "linked");
  await town.until("it is linked", isLinked);
  await town.after(
    "answered",
    removeServer(leader, other.name as NodeName).catch((cause: unknown) => cause),
  );
  // Removed or not, those who stay can decide.
  await talk(town, "after", 5);
});
