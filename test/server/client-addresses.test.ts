import { expect, test } from "vitest";
import { Town } from "./town.ts";

const urlOf = (name: string): string => `tcp://${name}:7403`;
const told = (town: Town, name: string): string[] => [...town.of(name).now.clientAddresses!.all].sort();

/** Everybody names all of these to clients. */
async function allTell(town: Town, names: readonly string[]): Promise<void> {
  const all = names.map(urlOf).sort().join();
  await town.until("everybody names everybody", () =>
    town.residents.every(({ name, runs }) => !runs || told(town, name).join() === all),
  );
}

test("every server names to its clients where all of them are reached; a client that knew one goes on with another", async () => {
  const town = await Town.founded({ advertise: (name) => [urlOf(name)] });
  await allTell(town, ["n1", "n2", "n3"]);
  const alice = town.client("alice", ["n1"]);
  await town.after("stored", alice.room("lobby").send("one"));
  expect([...alice.server!.servers].sort()).toEqual(["n1", "n2", "n3"].map(urlOf));
  expect(alice.server!.servers[0]).toBe(urlOf("n1"));
  town.kill(town.of("n1"));
  expect(await town.after("stored elsewhere", alice.room("lobby").send("two"))).toMatchObject({ seq: 2 });
  expect(alice.server!.node).not.toBe("n1");
});

test("a server that comes later is named too, also by those that start again; one that was removed is not", async () => {
  const town = await Town.founded({ servers: 4, advertise: (name) => [urlOf(name)], absent: ["n4"] });
  await allTell(town, ["n1", "n2", "n3"]);
  town.boot(town.of("n4"));
  await town.until("n4 votes", () => town.voters.includes("n4"));
  await allTell(town, ["n1", "n2", "n3", "n4"]);
  // From the log, and not from hearsay: all start again, and the one that is named does not run.
  for (const resident of town.residents) town.kill(resident);
  for (const name of ["n1", "n2", "n3"]) town.restart(town.of(name));
  await town.until("somebody leads", () => town.leader !== null);
  await allTell(town, ["n1", "n2", "n3", "n4"]);
  town.restart(town.of("n4"));
  await town.until("n4 runs", () => town.of("n4").runs);
  await town.settled();
  const removed = ["n4", "n3"].find((name) => name !== town.leader!.name)!;
  town.kill(town.of(removed));
  await town.after("removed", town.leader!.now.cluster!.remove(removed as never));
  await allTell(
    town,
    ["n1", "n2", "n3", "n4"].filter((name) => name !== removed),
  );
});

test("servers that are given no address put nothing into the log for it", async () => {
  const town = await Town.founded();
  const { lastIndex } = town.leader!.now.driver;
  await town.rest(5_000);
  expect(town.leader!.now.driver.lastIndex).toBe(lastIndex);
  const alice = town.client("alice");
  await town.after("stored", alice.room("lobby").send("one"));
  expect(alice.server!.servers).toEqual([]);
});
