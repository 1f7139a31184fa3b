import { Fault } from "../base/error-codes.ts";
import { millis } from "../base/units.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { Log } from "../server/log.ts";
import { Clients } from "./clients.ts";
import { FaultInjector, safetyThenLiveness } from "./fault-injector.ts";
import type { Schedule } from "./faults.ts";
import type { Chop } from "./link.ts";
import { Network } from "./network.ts";
import { Oracle } from "./oracle.ts";
import { RunMarks } from "./run-marks.ts";
import type { RunOptions, RunResult } from "./run-seed.ts";
import { drawScenario, type Scenario } from "./scenario.ts";
import { Scheduler } from "./scheduler.ts";
import { type Member, SimCluster } from "./sim-cluster.ts";
import { SimOperator } from "./sim-operator.ts";
import { roomContents, sealedDifferences, verifyFindings } from "./white-box.ts";
import { WorkloadPlayer } from "./workload-player.ts";

const livenessMs = 60_000;
const lookEveryMs = 4_000;
const eventsMax = 40_000_000;
const violationsMax = 50;
const coarseBytes = 64;

/** Runs a seed with several servers. */
export class ClusterRun {
  readonly #seed: number;
  readonly #forMs: number;
  readonly #violations: string[] = [];
  readonly #marks = new RunMarks();
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #scenario: Scenario;
  readonly #cluster: SimCluster;
  readonly #operator: SimOperator;
  readonly #oracle: Oracle;
  readonly #clients: Clients;
  readonly #player: WorkloadPlayer;
  readonly #injector: FaultInjector;
  readonly #schedule: Schedule;
  #looks = 0;
  #isOver = false;

  constructor(options: RunOptions & { readonly servers: number; readonly forMs: number; readonly log: Log }) {
    const { seed, servers, forMs } = options;
    this.#seed = seed;
    this.#forMs = forMs;
    this.#scenario = drawScenario(seed, { forMs, servers });
    const { random, workload, operatorPlan: plan } = this.#scenario;
    this.#scheduler = new Scheduler({ random: random.scheduler });
    this.#network = new Network({ scheduler: this.#scheduler, random: random.network });
    this.#network.shape(this.#scenario.link);
    const { privateRooms } = plan;
    this.#oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null, privateRooms, mayLag: true });
    this.#cluster = new SimCluster({
      seed,
      scheduler: this.#scheduler,
      network: this.#network,
      scenario: this.#scenario,
      marks: this.#marks,
      log: (node) => this.#logOf(node, options.log),
      violated: (what) => this.#violated(what),
      beforeStart: () => this.#operator.update(),
    });
    this.#chopCoarsely(this.#scenario.link.chop);
    this.#operator = new SimOperator({
      plan,
      scheduler: this.#scheduler,
      oracle: this.#oracle,
      users: workload.users,
      server: () => this.#cluster.leader ?? this.#cluster.running[0]?.server ?? null,
      head: (room) => this.#cluster.head(room),
      isCertain: (error) => error instanceof Fault && error.definite,
    });
    this.#clients = new Clients({
      scheduler: this.#scheduler,
      network: this.#network,
      scenario: this.#scenario,
      oracle: this.#oracle,
      marks: this.#marks,
      beforeNews: () => this.#operator.update(),
    });
    this.#player = new WorkloadPlayer({
      scheduler: this.#scheduler,
      oracle: this.#oracle,
      workload,
      mayLag: true,
      client: (index) => this.#clients.at(index),
    });
    this.#injector = new FaultInjector({
      scheduler: this.#scheduler,
      network: this.#network,
      boot: (host) => {
        const member = this.#cluster.of(host);
        if (member !== undefined) this.#cluster.boot(member);
      },
      disk: (host) => this.#cluster.of(host)?.disk ?? null,
      stop: (host, ended) => this.#cluster.of(host)?.program?.stop(1_000, ended),
      wipe: (host) => this.#cluster.wipe(host),
    });
    this.#schedule = options.schedule ?? this.#scenario.schedule;
  }

  async run(): Promise<RunResult> {
    try {
      await this.#play();
    } catch (cause) {
      // A task that throws would have ended a process: that is a finding of this seed, like any other.
      this.#violated(`thrown: ${cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)}`);
    }
    return this.#result();
  }

  async #play(): Promise<void> {
    this.#cluster.start();
    this.#clients.start();
    this.#injector.inject(this.#schedule);
    this.#player.play();
    this.#operator.start();
    this.#lookLater();
    if (this.#scenario.crashesClient) {
      this.#scheduler.after(millis(this.#forMs / 2), "client crash", () => {
        this.#clients.crash(1, () => this.#player.clientCrashed(1));
      });
    }
    const tookMs = await safetyThenLiveness({
      scheduler: this.#scheduler,
      injector: this.#injector,
      safetyMs: millis(this.#forMs),
      livenessMs: millis(livenessMs),
      afterHealing: () => {
        this.#clients.reconnect();
        for (let index = 0; index < this.#clients.count; index++) this.#player.beginCatchUp(index);
      },
      done: () =>
        this.#player.isCaughtUp && this.#clients.owedDirectly().length === 0 && this.#cluster.apart().length === 0,
      eventsMax,
    });
    if (tookMs === null) {
      const waits = [...this.#player.unfinished(), ...this.#clients.owedDirectly(), ...this.#cluster.apart()];
      this.#violated(`no progress ${livenessMs / 1_000} s after everything was healed: ${waits.join("; ")}`);
    }
    this.#player.endCatchUp();
    this.#clients.endDirect({ complete: tookMs !== null });
    this.#operator.update();
    await this.#stopAndStartAgain();
  }

  /**
   * Servers say ten times a second that they are there: cut into single bytes, that would be nearly all that happens. Fine
   * pieces stay between the first two servers, and between all and the clients.
   */
  #chopCoarsely(chop: Chop): void {
    if (chop.kind !== "pieces" || chop.bytesMax >= coarseBytes) return;
    const { servers } = this.#scenario;
    for (const [at, from] of servers.entries()) {
      for (const [other, to] of servers.entries()) {
        if (at === other || at + other === 1) continue;
        this.#network.shape({ chop: { kind: "pieces", bytesMax: coarseBytes } }, { from, to });
      }
    }
  }

  /** What one of several servers logs says which, and when. */
  #logOf(node: string, log: Log): Log {
    const told = (event: string, given?: Readonly<Record<string, unknown>>): Record<string, unknown> => {
      if (event === "members.changed") this.#marks.count("members changed");
      else if (event === "snapshot.taken") this.#marks.count("snapshot from another");
      else if (event === "catch-up.taken" && given?.["kind"] === "chunk") this.#marks.count("chunk from another");
      return { node, at: Math.round(this.#scheduler.now()), ...given };
    };
    return {
      info: (event, given) => log.info(event, told(event, given)),
      warn: (event, given) => log.warn(event, told(event, given)),
      error: (event, given) => log.error(event, told(event, given)),
    };
  }

  #violated(what: string): void {
    if (this.#violations.length < violationsMax) {
      this.#violations.push(`${what} (at ${Math.round(this.#scheduler.now())} ms)`);
    }
  }

  /** Each server in its turn. */
  #lookLater(): void {
    this.#scheduler.after(millis(lookEveryMs), "look", () => {
      if (this.#isOver) return;
      const { members } = this.#cluster;
      const member = members[this.#looks++ % members.length]!;
      if (this.#cluster.serverOf(member) !== null) member.box.look();
      this.#lookLater();
    });
  }

  /** Everybody has the same; a clean stop of all loses nothing, and the next start has the same content everywhere. */
  async #stopAndStartAgain(): Promise<void> {
    this.#isOver = true;
    const { members, leader } = this.#cluster;
    if (leader === null) {
      this.#violated("nobody leads in the end");
      return;
    }
    for (const room of leader.state.rooms()) {
      if (this.#scenario.operatorPlan.privateRooms.has(room.name)) continue;
      for (const user of this.#clients.users) {
        this.#oracle.finalMark({ user, room: room.name, seq: room.readMark(user) });
      }
    }
    this.#clients.kill();
    // What the crashed clients had sent may still be on its way into the log.
    await this.#scheduler.run({ until: millis(this.#scheduler.now() + 2_000), eventsMax });
    const before = await this.#contents("reading all rooms");
    if (before === null) return;
    for (const member of members) await this.#stopInOrder(member);
    for (const { host, disk } of members) {
      host.crash("powerLoss");
      disk.powerLost("lost");
    }
    for (const member of members) {
      member.host.start();
      this.#cluster.boot(member);
    }
    const until = millis(this.#scheduler.now() + livenessMs);
    const together = (): boolean => this.#cluster.apart().length === 0;
    if (!(await this.#scheduler.runUntil(together, { until, eventsMax })) && !together()) {
      this.#violated(`after a clean stop of all: ${this.#cluster.apart().join("; ")}`);
      return;
    }
    const after = await this.#contents("reading all rooms again");
    if (after === null) return;
    for (const [room, content] of before) {
      if (after.get(room) !== content) this.#violated(`${room} was ${content} and is ${after.get(room) ?? "gone"}`);
    }
    this.#marks.count("clean restart compared");
    this.#scheduler.traceBytes(utf8([...after.values()].join("\n")));
  }

  /** What every server says its rooms hold, and that it is the same. */
  async #contents(what: string): Promise<ReadonlyMap<string, string> | null> {
    let all: ReadonlyMap<string, string> | null = null;
    for (const { member, server } of this.#cluster.running) {
      member.box.look();
      const contents = await this.#settled(`${what} of ${member.host.name}`, roomContents(server));
      if (contents === null) return null;
      all ??= contents;
      for (const room of new Set([...all.keys(), ...contents.keys()])) {
        if (all.get(room) === contents.get(room)) continue;
        const [one, other] = [all.get(room) ?? "nothing", contents.get(room) ?? "nothing"];
        this.#violated(`${room} is ${one} for the first server and ${other} for ${member.host.name}`);
      }
    }
    return all;
  }

  async #stopInOrder({ host, disk, box, server }: Member): Promise<void> {
    if (server === null || !host.alive) return;
    await this.#settled(`a clean stop of ${host.name}`, server.stop(1_000));
    box.look();
    const files = disk.fileSystem.durableCopy();
    const found = await this.#settled("verify", verifyFindings(server, files, this.#scenario.limits));
    for (const finding of found ?? []) this.#violated(`${host.name}: ${finding}`);
    const differences = await this.#settled("reading chunks", sealedDifferences(server, files));
    for (const difference of differences ?? []) this.#violated(`${host.name}: ${difference}`);
  }

  /** What became of something that takes virtual time; null and a violation when it fails or does not end. */
  async #settled<T>(what: string, promise: Promise<T>): Promise<T | null> {
    const outcome: { value: T | null; isOver: boolean } = { value: null, isOver: false };
    promise.then(
      (value) => {
        outcome.value = value;
        outcome.isOver = true;
      },
      (cause: unknown) => {
        outcome.isOver = true;
        this.#violated(`${what} failed: ${String(cause)}`);
      },
    );
    const until = millis(this.#scheduler.now() + livenessMs);
    await this.#scheduler.runUntil(() => outcome.isOver, { until, eventsMax });
    if (!outcome.isOver) this.#violated(`${what} did not end`);
    return outcome.value;
  }

  #result(): RunResult {
    const verdict = this.#oracle.finish({ at: this.#scheduler.now() });
    this.#marks.count("outsider refused", verdict.seen.outsidersRefused);
    const { members, watch } = this.#cluster;
    this.#marks.count("another leader", watch.leaders - 1);
    return {
      seed: this.#seed,
      servers: members.length,
      virtualSeconds: Math.round(this.#scheduler.now() / 1_000),
      events: this.#scheduler.events,
      faults: this.#injector.counts(),
      schedule: this.#schedule,
      traceHash: this.#scheduler.traceHash(),
      violations: [...this.#violations, ...verdict.anomalies.map((anomaly) => JSON.stringify(anomaly))],
      seen: verdict.seen,
      marks: this.#marks.counts(),
      seals: Math.max(...members.map(({ box }) => box.seals)),
      starts: members.reduce((sum, { starts }) => sum + starts, 0),
    };
  }
}
