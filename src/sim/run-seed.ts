import { millis } from "../base/units.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { Log } from "../server/log.ts";
import type { Server } from "../server/server.ts";
import { ClusterRun } from "./cluster-run.ts";
import { Clients } from "./clients.ts";
import { FaultInjector, safetyThenLiveness } from "./fault-injector.ts";
import type { FaultKind, Schedule } from "./faults.ts";
import type { SimHost } from "./host.ts";
import { Network } from "./network.ts";
import { Oracle, type Verdict } from "./oracle.ts";
import { type MarkName, RunMarks } from "./run-marks.ts";
import { drawScenario, type Scenario } from "./scenario.ts";
import { Scheduler } from "./scheduler.ts";
import { SimDisk } from "./sim-disk.ts";
import { SimOperator } from "./sim-operator.ts";
import { restartAfter, SimServer } from "./sim-server.ts";
import { roomContents, sealedDifferences, verifyFindings, WhiteBox } from "./white-box.ts";
import { WorkloadPlayer } from "./workload-player.ts";

export interface RunOptions {
  readonly seed: number;
  /** How many servers order messages together, one of them elected. @defaultValue 1: it is alone */
  readonly servers?: 1 | 3 | 5;
  /** How long faults go on, in virtual milliseconds. @defaultValue 120000 for a server alone, 300000 for several */
  readonly forMs?: number;
  /** Instead of what the seed draws: to repeat a shrunken run. */
  readonly schedule?: Schedule;
  readonly log?: Log;
}

/** What became of one seed. */
export interface RunResult {
  readonly seed: number;
  readonly servers: number;
  readonly virtualSeconds: number;
  readonly events: number;
  readonly faults: Readonly<Partial<Record<FaultKind, number>>>;
  readonly schedule: Schedule;
  readonly traceHash: string;
  /** Empty, or the run has found something. */
  readonly violations: readonly string[];
  readonly seen: Verdict["seen"];
  readonly marks: Readonly<Partial<Record<MarkName, number>>>;
  readonly seals: number;
  readonly starts: number;
}

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const clusterForMs = 300_000;
const livenessMs = 60_000;
const lookEveryMs = 4_000;
const eventsMax = 20_000_000;
const violationsMax = 50;

/**
 * Runs the shipped server and the shipped SDK in the world that a seed draws: first with faults, when nothing wrong may
 * happen, then without, when everything must get done; in the end the server is stopped in good order and started
 * again, and must have kept everything. The same seed gives the same run.
 */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const { servers = 1 } = options;
  if (servers > 1) {
    const { forMs = clusterForMs, log = silent } = options;
    return new ClusterRun({ ...options, servers, forMs, log }).run();
  }
  const run = new SeedRun(options);
  return run.run();
}

class SeedRun {
  readonly #seed: number;
  readonly #forMs: number;
  readonly #log: Log;
  readonly #violations: string[] = [];
  readonly #marks = new RunMarks();
  readonly #scheduler: Scheduler;
  readonly #network: Network;
  readonly #host: SimHost;
  readonly #disk: SimDisk;
  readonly #scenario: Scenario;
  readonly #operator: SimOperator;
  readonly #whiteBox: WhiteBox;
  readonly #oracle: Oracle;
  readonly #player: WorkloadPlayer;
  readonly #injector: FaultInjector;
  readonly #schedule: Schedule;
  readonly #clients: Clients;
  #program: SimServer | null = null;
  #server: Server | null = null;
  #starts = 0;
  #isOver = false;

  constructor(options: RunOptions) {
    this.#seed = options.seed;
    this.#forMs = options.forMs ?? 120_000;
    this.#log = options.log ?? silent;
    this.#scenario = drawScenario(options.seed, { forMs: this.#forMs, servers: 1 });
    const { random, limits, workload, operatorPlan: plan } = this.#scenario;
    const { users } = workload;
    this.#scheduler = new Scheduler({ random: random.scheduler });
    this.#network = new Network({ scheduler: this.#scheduler, random: random.network });
    this.#network.shape(this.#scenario.link);
    this.#host = this.#scheduler.host("n1");
    this.#disk = new SimDisk(this.#host, random.disk);
    // The outbox tries for as long as it takes; a request that meets a server that is down ends by its own time-out.
    const { privateRooms } = plan;
    this.#oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null, privateRooms });
    const server = (): Server | null => (this.#host.alive ? this.#server : null);
    this.#operator = new SimOperator({
      plan,
      scheduler: this.#scheduler,
      oracle: this.#oracle,
      users,
      server,
    });
    this.#whiteBox = new WhiteBox({
      disk: () => this.#disk,
      limits,
      marks: this.#marks,
      violated: (what) => this.#violated(what),
    });
    this.#player = new WorkloadPlayer({
      scheduler: this.#scheduler,
      oracle: this.#oracle,
      workload,
      mayLag: false,
      client: (index) => this.#clients.at(index),
    });
    this.#clients = new Clients({
      scheduler: this.#scheduler,
      network: this.#network,
      scenario: this.#scenario,
      oracle: this.#oracle,
      marks: this.#marks,
      beforeNews: () => this.#operator.update(),
    });
    this.#injector = new FaultInjector({
      scheduler: this.#scheduler,
      network: this.#network,
      boot: (host) => {
        if (host === this.#host) this.#boot();
      },
      disk: (host) => (host === this.#host ? this.#disk : null),
      stop: (host, ended) => {
        if (host === this.#host) this.#program?.stop(1_000, ended);
      },
      wipe: () => false,
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
    this.#boot();
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
      done: () => this.#player.isCaughtUp && this.#clients.owedDirectly().length === 0,
      eventsMax,
    });
    if (tookMs === null) {
      const waits = [...this.#player.unfinished(), ...this.#clients.owedDirectly()];
      this.#violated(`no progress ${livenessMs / 1_000} s after everything was healed: ${waits.join("; ")}`);
    }
    this.#player.endCatchUp();
    this.#clients.endDirect({ complete: tookMs !== null });
    this.#operator.update();
    await this.#stopAndStartAgain();
  }

  #violated(what: string): void {
    if (this.#violations.length < violationsMax) {
      this.#violations.push(`${what} (at ${Math.round(this.#scheduler.now())} ms)`);
    }
  }

  #boot(): void {
    const host = this.#host;
    const { limits, settings, random } = this.#scenario;
    this.#starts++;
    this.#program = new SimServer({
      host,
      network: this.#network,
      disk: this.#disk,
      random: random.server,
      limits,
      settings,
      log: this.#log,
      peers: null,
      onStarted: (server) => {
        this.#server = server;
        this.#operator.serverStarted();
        this.#whiteBox.started(server);
      },
      onDamaged: (damage) => this.#violated(`damaged without damage: ${damage.message}`),
      onExit: () => {
        host.crash("killed");
        this.#disk.killed();
        this.#scheduler.after(restartAfter, "restart", () => {
          if (host.alive) return;
          host.start();
          this.#boot();
        });
      },
    });
    this.#program.start();
  }

  #lookLater(): void {
    this.#scheduler.after(millis(lookEveryMs), "look", () => {
      if (this.#isOver) return;
      if (this.#host.alive) this.#whiteBox.look();
      this.#lookLater();
    });
  }

  /** A clean stop loses nothing, leaves no damage, and the next start has the same content, wherever it reads it. */
  async #stopAndStartAgain(): Promise<void> {
    this.#isOver = true;
    const server = this.#server;
    if (server === null || !this.#host.alive) {
      this.#violated("there is no server in the end");
      return;
    }
    for (const room of server.state.rooms()) {
      if (this.#scenario.operatorPlan.privateRooms.has(room.name)) continue;
      for (const user of this.#clients.users) {
        this.#oracle.finalMark({ user, room: room.name, seq: room.readMark(user) });
      }
    }
    this.#clients.kill();
    // What the crashed clients had sent may still be on its way into the log.
    await this.#scheduler.run({ until: millis(this.#scheduler.now() + 2_000), eventsMax });
    this.#whiteBox.look();
    const before = await this.#settled("reading all rooms", roomContents(server));
    if (before === null) return;
    await this.#settled("a clean stop", server.stop(1_000));
    this.#whiteBox.look();
    const files = this.#disk.fileSystem.durableCopy();
    for (const found of (await this.#settled("verify", verifyFindings(server, files, this.#scenario.limits))) ?? []) {
      this.#violated(found);
    }
    const differences = await this.#settled("reading chunks", sealedDifferences(server, files));
    for (const difference of differences ?? []) this.#violated(difference);
    this.#host.crash("powerLoss");
    this.#disk.powerLost("lost");
    this.#server = null;
    this.#host.start();
    this.#boot();
    const until = millis(this.#scheduler.now() + livenessMs);
    const restarted = (): Server | null => this.#server;
    await this.#scheduler.runUntil(() => restarted() !== null, { until, eventsMax });
    const again = restarted();
    if (again === null) {
      this.#violated("the server does not start again after a clean stop");
      return;
    }
    const after = await this.#settled("reading all rooms again", roomContents(again));
    if (after === null) return;
    for (const [room, content] of before) {
      if (after.get(room) !== content) this.#violated(`${room} was ${content} and is ${after.get(room) ?? "gone"}`);
    }
    this.#marks.count("clean restart compared");
    this.#scheduler.traceBytes(utf8([...after.values()].join("\n")));
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
    return {
      seed: this.#seed,
      servers: 1,
      virtualSeconds: Math.round(this.#scheduler.now() / 1_000),
      events: this.#scheduler.events,
      faults: this.#injector.counts(),
      schedule: this.#schedule,
      traceHash: this.#scheduler.traceHash(),
      violations: [...this.#violations, ...verdict.anomalies.map((anomaly) => JSON.stringify(anomaly))],
      seen: verdict.seen,
      marks: this.#marks.counts(),
      seals: this.#whiteBox.seals,
      starts: this.#starts,
    };
  }
}
