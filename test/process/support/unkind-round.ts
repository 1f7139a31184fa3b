import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../../src/base/random.ts";
import type { Verdict } from "../../../src/sim/oracle.ts";
import { ways } from "./chat-clients.ts";
import { afflict, type FaultName, faultNames } from "./nemesis.ts";
import { type Habits, Person, Witness } from "./person.ts";
import type { UnkindCluster } from "./unkind-cluster.ts";

/** Of a hundred faults, so many come while another one is there. */
const togetherPerHundred = 35;

export interface RoundReport {
  readonly verdict: Verdict;
  /** How often each thing went wrong. */
  readonly faults: Partial<Record<FaultName, number>>;
  readonly repeats: number;
  readonly conflicts: number;
  readonly refusedCodes: readonly string[];
  /** What stood in the rooms at the end, read by somebody who had seen none of it. */
  readonly stored: number;
}

/**
 * Four clients (WebSocket and TCP, JSON and binary) send to some rooms of three servers and read them from the first message
 * on, while things go wrong. Then all is healed, everything that was sent has its outcome, everything that is stored
 * is read by the four and by a fifth who comes last, and the oracle judges.
 */
export async function unkindRound(
  world: UnkindCluster,
  options: {
    readonly random: Random;
    readonly habits: Partial<Habits>;
    /** What goes wrong, in order; or until how many are acknowledged something or other does. */
    readonly faults: readonly FaultName[] | { readonly acknowledged: number };
    /** Between one and the next, as many are acknowledged at most. @defaultValue 400 */
    readonly calmMax?: number;
    readonly said?: (line: string) => void;
  },
): Promise<RoundReport> {
  const { random, calmMax = 400, said = () => undefined } = options;
  const witness = new Witness(random, { stuckAfterMs: 60_000, ...options.habits });
  const counts: Partial<Record<FaultName, number>> = {};
  try {
    for (const [at, way] of ways.entries()) {
      new Person(witness, await world.chat(`user${at}`, way), way);
    }
    await Promise.all(witness.people.map((person) => person.enter()));
    for (const person of witness.people) person.talk();
    await answeredAgain(witness, calmMax);

    const goWrong = async (name: FaultName): Promise<void> => {
      counts[name] = (counts[name] ?? 0) + 1;
      said(`${name}, ${witness.acknowledged} acknowledged`);
      await afflict(world, name, random);
    };
    const draw = (): FaultName => faultNames[random.whole(faultNames.length)]!;
    if ("acknowledged" in options.faults) {
      const { acknowledged } = options.faults;
      while (witness.acknowledged < acknowledged) {
        const together = random.whole(100) < togetherPerHundred;
        await Promise.all([
          goWrong(draw()),
          ...(together ? [pause(random.whole(1_000)).then(() => goWrong(draw()))] : []),
        ]);
        await answeredAgain(witness, calmMax);
      }
    } else {
      for (const name of options.faults) {
        await goWrong(name);
        await answeredAgain(witness, calmMax);
      }
    }

    await world.heal();
    await Promise.all(witness.people.map((person) => person.settle()));
    await Promise.all(witness.people.map((person) => person.catchUp()));
    // Whoever comes last has nothing to go by but what is stored.
    const last = new Person(witness, await world.chat("last", "WebSocket binary"), "the last");
    last.read();
    await last.catchUp();
    const stored = last.position;
    for (const person of witness.people) await person.leave();
    const verdict = witness.oracle.finish({ at: performance.now() });
    const { repeats, conflicts, refusedCodes } = witness;
    return { verdict, faults: counts, repeats, conflicts, refusedCodes, stored };
  } finally {
    for (const person of witness.people) await person.leave();
    await world.forgetClients();
  }
}

/** Somebody is answered, after what went wrong is over or nearly so, and then a while more. */
async function answeredAgain(witness: Witness, calmMax: number): Promise<void> {
  const enough = witness.acknowledged + 1 + witness.random.whole(calmMax);
  await witness.reached(() => witness.acknowledged >= enough);
}
