import { describe, expect, test } from "vitest";
import type { PeerStream } from "../../src/transport/peer-stream.ts";
import { MemoryWorld } from "./memory-world.ts";
import { bytesFrom, type Heard, hear, isSame, type PeerWorld } from "./peer-world.ts";
import { simWorld } from "./sim-world.ts";
import { socketWorld } from "./socket-world.ts";

const worlds: Record<string, () => PeerWorld> = {
  memory: () => new MemoryWorld({ seed: 1 }),
  "chopped memory": () => new MemoryWorld({ seed: 2, chopped: true }),
  simulator: () => simWorld(3),
  sockets: () => socketWorld(),
};

/** Two hosts, the second of which listens. */
async function town(make: () => PeerWorld): Promise<{ world: PeerWorld; accepted: Heard[]; dial: () => Heard }> {
  const world = make();
  const near = world.host("n1");
  const far = world.host("n2");
  const accepted: Heard[] = [];
  const address = await far.listen((stream: PeerStream) => accepted.push(hear(stream)));
  return { world, accepted, dial: () => hear(near.dialler.dial(address)) };
}

describe.each(Object.entries(worlds))("streams between servers: %s", (_name, make) => {
  test("[PEER1] bytes arrive in order, both ways, and opened is told once to the dialler", async () => {
    const { world, accepted, dial } = await town(make);
    const near = dial();
    await world.until(() => near.events.includes("opened") && accepted.length === 1);
    const far = accepted[0]!;
    const [first, second, third] = [bytesFrom(10), bytesFrom(70_000, 3), bytesFrom(500, 11)];
    near.stream.write([first, second]);
    near.stream.write([third]);
    far.stream.write([third]);
    await world.until(() => far.bytes.length === 70_510 && near.bytes.length === 500);
    expect(isSame(far.bytes, Buffer.concat([first, second, third]))).toBe(true);
    expect(isSame(near.bytes, third)).toBe(true);
    expect(near.events.filter((event) => event === "opened")).toHaveLength(1);
    expect(far.events).not.toContain("opened");
    await world.close();
  });

  test("[PEER1] a machine where nobody listens refuses at once", async () => {
    const world = make();
    const near = world.host("n1");
    const far = world.host("n2");
    const address = await far.listen(() => undefined);
    await far.stopListening();
    const heard = hear(near.dialler.dial(address));
    await world.until(() => heard.events.length > 0);
    expect(heard.events).toEqual(["refused"]);
    await world.close();
  });

  test("[PEER1] an end lets through what was written before it, then both are told", async () => {
    const { world, accepted, dial } = await town(make);
    const near = dial();
    await world.until(() => accepted.length === 1 && near.events.includes("opened"));
    near.stream.write([bytesFrom(30_000)]);
    near.stream.end();
    await world.until(() => accepted[0]!.events.includes("closed") && near.events.includes("closed"));
    expect(accepted[0]!.bytes).toHaveLength(30_000);
    await world.close();
  });

  test("[PEER1] destroy tells the other side and nobody here", async () => {
    const { world, accepted, dial } = await town(make);
    const near = dial();
    await world.until(() => accepted.length === 1 && near.events.includes("opened"));
    near.stream.destroy();
    await world.until(() => accepted[0]!.events.some((event) => event === "closed" || event === "reset"));
    await world.rest();
    expect(near.events.filter((event) => event !== "drained")).toEqual(["opened"]);
    await world.close();
  });
});

// The simulated network has no secrets: whoever is let in there is let in by the greeting alone.
const { simulator: _, ...guarded } = worlds;

describe.each(Object.entries(guarded))("guarded streams between servers: %s", (_name, make) => {
  test("[PEER2] another secret: no stream opens on either side", async () => {
    const world = make();
    const near = world.host("n1", "another secret");
    const far = world.host("n2", "one secret");
    const accepted: Heard[] = [];
    const address = await far.listen((stream) => accepted.push(hear(stream)));
    const heard = hear(near.dialler.dial(address));
    await world.until(() => heard.events.length > 0);
    await world.rest();
    expect(heard.events).toEqual(["unauthenticated"]);
    expect(accepted).toEqual([]);
    await world.close();
  });
});
