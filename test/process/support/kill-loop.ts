import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import type { Verdict } from "../../../src/sim/oracle.ts";
import { sdkClient, ways } from "./chat-clients.ts";
import { Person, Witness } from "./person.ts";
import { type Ending, runCommand, ServerProcess, until } from "./server-process.ts";
import { smallLimits } from "./small-limits.ts";

/** When a server is killed, seen from its own life. */
const moments = [
  /** Anywhere in the first 200 ms of the process. */
  "at start",
  /** After it has taken the directory, while it reads what the last life left. */
  "in recovery",
  /** 0 to 200 ms after clients can connect. */
  "just open",
  /** Clients have been answered again, and go on. */
  "under load",
  /** A chunk or a snapshot is being written. */
  "in a seal",
] as const;
export type Moment = (typeof moments)[number];

export interface KillReport {
  readonly kills: Record<Moment, number>;
  readonly verdict: Verdict;
  /** Of sends with an id that had been sent before. */
  readonly repeats: number;
  /** Of sends with another body under an id that had been sent before. */
  readonly conflicts: number;
  /** Sends refused for another reason than such a conflict. */
  readonly refusedCodes: readonly string[];
  /** What stood in the rooms at the end, read by somebody who had seen none of it. */
  readonly stored: number;
  readonly ending: Ending;
  /** What `synod verify` said of the directory that is left. */
  readonly verified: { readonly code: number | null; readonly chunks: number; readonly damage: number };
  /** Lines of the servers' logs that must not be there. */
  readonly faults: readonly string[];
}

/**
 * One server, killed again and again while four clients (WebSocket and TCP, JSON and binary) send to several rooms
 * and read all of them from the first message on. Settles when everything that was sent has an outcome and everything
 * that is stored was read, by the four and by a fifth who came last. All that happened is told to the oracle.
 */
export async function killLoop(options: {
  kills: number;
  seed: number;
  said?: (line: string) => void;
}): Promise<KillReport> {
  const random = seededRandom(options.seed);
  const server = await ServerProcess.start({ limits: smallLimits() });
  const people: Person[] = [];
  try {
    const witness = new Witness(random);
    for (const [at, way] of ways.entries()) people.push(new Person(witness, sdkClient(server, `user${at}`, way), way));
    await Promise.all(people.map((person) => person.enter()));
    for (const person of people) person.talk();

    const killed: Record<Moment, number> = {
      "at start": 0,
      "in recovery": 0,
      "just open": 0,
      "under load": 0,
      "in a seal": 0,
    };
    for (let kill = 0; kill < options.kills; kill++) {
      const moment = await waitFor(drawMoment(random), { server, witness, random });
      await server.kill();
      killed[moment]++;
      server.spawn();
      if ((kill + 1) % 100 === 0) {
        options.said?.(`${kill + 1} kills, ${witness.acknowledged} acknowledged`);
      }
    }

    await server.listening();
    await Promise.all(people.map((person) => person.settle()));
    await Promise.all(people.map((person) => person.catchUp()));
    // Whoever comes last has nothing to go by but what is stored.
    const last = new Person(witness, sdkClient(server, "last", "WebSocket binary"), "the last");
    people.push(last);
    last.read();
    await last.catchUp();
    const stored = last.position;
    for (const person of people) await person.leave();
    const ending = await server.stop();
    const verdict = witness.oracle.finish({ at: performance.now() });
    const { code, output } = await runCommand(["verify", server.data, "-o", "json"]);
    const found = JSON.parse(output) as { damage: unknown[]; totals: { chunks: number } };
    return {
      kills: killed,
      verdict,
      repeats: witness.repeats,
      conflicts: witness.conflicts,
      refusedCodes: witness.refusedCodes,
      stored,
      ending,
      verified: { code, chunks: found.totals.chunks, damage: found.damage.length },
      faults: server.faults(),
    };
  } finally {
    for (const person of people) await person.leave();
    await server.dispose();
  }
}

function drawMoment(random: Random): Moment {
  const die = random.whole(20);
  if (die < 5) return "at start";
  if (die < 9) return "in recovery";
  if (die < 12) return "just open";
  return die < 16 ? "under load" : "in a seal";
}

/** Waits for the moment; what it says when the moment did not come, or another came first, is the one that did. */
async function waitFor(
  moment: Moment,
  { server, witness, random }: { server: ServerProcess; witness: Witness; random: Random },
): Promise<Moment> {
  switch (moment) {
    case "at start":
      await pause(random.whole(201));
      return server.isListening() ? "just open" : "at start";
    case "in recovery":
      await until(() => holdsDirectory(server) || !server.isRunning, 1);
      await pause(random.whole(60));
      return server.isListening() ? "just open" : "in recovery";
    case "just open":
      await server.listening();
      await pause(random.whole(201));
      return "just open";
    case "under load":
    case "in a seal": {
      await server.listening();
      const enough = witness.acknowledged + 1 + random.whole(100);
      await witness.reached(() => witness.acknowledged >= enough);
      if (moment === "under load") {
        await pause(random.whole(100));
        return moment;
      }
      const givenUpAt = performance.now() + 400;
      while (performance.now() < givenUpAt) {
        if (isSealing(server.data)) return "in a seal";
        await pause(0);
      }
      return "under load";
    }
    default:
      return moment satisfies never;
  }
}

/** Whether this life has taken the directory. */
function holdsDirectory(server: ServerProcess): boolean {
  return existsSync(server.data) && readdirSync(server.data).some((name) => name.includes(`.${server.pid}.`));
}

function isSealing(data: string): boolean {
  const history = join(data, "history");
  const days = existsSync(history) ? readdirSync(history).map((day) => join(history, day)) : [];
  return [join(data, "snapshot"), ...days].some(
    (folder) => existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".tmp")),
  );
}
