import { millis } from "../base/units.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { Scenario } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Member, SimCluster } from "./sim-cluster.ts";
import { roomContents, sealedDifferences, verifyFindings } from "./white-box.ts";

export interface LastRestartOptions {
  readonly scheduler: Scheduler;
  readonly scenario: Scenario;
  readonly cluster: SimCluster;
  readonly violated: (what: string) => void;
  /** So long each step may take. */
  readonly withinMs: number;
  readonly eventsMax: number;
}

/**
 * The end of a run: every server has the same content, is stopped in good order, and leaves files that verify; after a
 * loss of power all start again and have the same content as before, wherever they read it.
 */
export class LastRestart {
  readonly #options: LastRestartOptions;

  constructor(options: LastRestartOptions) {
    this.#options = options;
  }

  /** Answers whether everything could be compared. */
  async play(): Promise<boolean> {
    const { scheduler, cluster, violated, withinMs, eventsMax } = this.#options;
    const before = await this.#contents("reading all rooms");
    if (before === null) return false;
    for (const member of cluster.members) await this.#stopInOrder(member);
    for (const { host, disk } of cluster.members) {
      host.crash("powerLoss");
      disk.powerLost("lost");
    }
    for (const member of cluster.members) {
      member.host.start();
      cluster.boot(member);
    }
    const until = millis(scheduler.now() + withinMs);
    const together = nowAndThen(scheduler, () => cluster.apart().length === 0);
    if (!(await scheduler.runUntil(together, { until, eventsMax })) && cluster.apart().length > 0) {
      violated(`after a clean stop of all: ${cluster.apart().join("; ")}`);
      return false;
    }
    const after = await this.#contents("reading all rooms again");
    if (after === null) return false;
    for (const [room, content] of before) {
      if (after.get(room) !== content) violated(`${room} was ${content} and is ${after.get(room) ?? "gone"}`);
    }
    scheduler.traceBytes(utf8([...after.values()].join("\n")));
    return true;
  }

  /** What every server says its rooms hold, and that it is the same. */
  async #contents(what: string): Promise<ReadonlyMap<string, string> | null> {
    let all: ReadonlyMap<string, string> | null = null;
    for (const { member, server } of this.#options.cluster.running) {
      member.box.look();
      const contents = await this.#settled(`${what} of ${member.host.name}`, roomContents(server));
      if (contents === null) return null;
      all ??= contents;
      for (const room of new Set([...all.keys(), ...contents.keys()])) {
        if (all.get(room) === contents.get(room)) continue;
        const [one, other] = [all.get(room) ?? "nothing", contents.get(room) ?? "nothing"];
        this.#options.violated(`${room} is ${one} for the first server and ${other} for ${member.host.name}`);
      }
    }
    return all;
  }

  async #stopInOrder({ host, disk, box, server }: Member): Promise<void> {
    if (server === null || !host.alive) return;
    await this.#settled(`a clean stop of ${host.name}`, server.stop(1_000));
    box.look();
    const files = disk.fileSystem.durableCopy();
    const found = await this.#settled("verify", verifyFindings(server, files, this.#options.scenario.limits));
    const differences = await this.#settled("reading chunks", sealedDifferences(server, files));
    for (const flaw of [...(found ?? []), ...(differences ?? [])]) this.#options.violated(`${host.name}: ${flaw}`);
  }

  /** What became of something that takes virtual time; null and a violation when it fails or does not end. */
  async #settled<T>(what: string, promise: Promise<T>): Promise<T | null> {
    const { scheduler, violated, withinMs, eventsMax } = this.#options;
    const outcome: { value: T | null; isOver: boolean } = { value: null, isOver: false };
    promise.then(
      (value) => {
        outcome.value = value;
        outcome.isOver = true;
      },
      (cause: unknown) => {
        outcome.isOver = true;
        violated(`${what} failed: ${String(cause)}`);
      },
    );
    const until = millis(scheduler.now() + withinMs);
    await scheduler.runUntil(() => outcome.isOver, { until, eventsMax });
    if (!outcome.isOver) violated(`${what} did not end`);
    return outcome.value;
  }
}

/** What costs too much to be asked at every event, asked a hundred times a second. */
export function nowAndThen(scheduler: Scheduler, isSo: () => boolean): () => boolean {
  let askedAt = -Infinity;
  return () => {
    if (scheduler.now() - askedAt < 10) return false;
    askedAt = scheduler.now();
    return isSo();
  };
}
