import { millis } from "../base/units.ts";
import type { Log } from "../server/log.ts";
import { Clients } from "./clients.ts";
import { Coverage, type OperationName } from "./coverage.ts";
import { FaultInjector, safetyThenLiveness } from "./fault-injector.ts";
import type { Schedule } from "./faults.ts";
import { LastRestart, nowAndThen } from "./last-restart.ts";
import type { Chop } from "./link.ts";
import { Network } from "./network.ts";
import { Oracle } from "./oracle.ts";
import { type MarkName, RunMarks } from "./run-marks.ts";
import type { RunOptions, RunResult } from "./run-seed.ts";
import { drawScenario, type Scenario } from "./scenario.ts";
import { Scheduler } from "./scheduler.ts";
import { SimCluster } from "./sim-cluster.ts";
import { SimOperator } from "./sim-operator.ts";
import { WorkloadPlayer } from "./workload-player.ts";

const livenessMs = 60_000;
const lookEveryMs = 4_000;
const eventsMax = 40_000_000;
const violationsMax = 50;
const coarseBytes = 64;

/** What servers log that is worth counting. */
const toldMarks: Readonly<Record<string, { readonly mark: MarkName; readonly operation: OperationName }>> = {
  "members.changed": { mark: "members changed", operation: "member admitted" },
  "snapshot.taken": { mark: "snapshot from another", operation: "catch-up by snapshot" },
  "catch-up.taken chunk": { mark: "chunk from another", operation: "catch-up by chunk" },
};

/** One run of one seed, with however many servers. Play it once. */
export class Run {
  readonly #seed: number;
  readonly #forMs: number;
  readonly #isAlone: boolean;
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
  readonly #coverage: Coverage;
  #looks = 0;
  #isOver = false;

  constructor(options: RunOptions & { readonly servers: number; readonly forMs: number; readonly log: Log }) {
    const { seed, servers, forMs } = options;
    this.#seed = seed;
    this.#forMs = forMs;
    this.#isAlone = servers === 1;
    this.#scenario = drawScenario(seed, { forMs, servers });
    const { random, workload, operatorPlan: plan } = this.#scenario;
    this.#scheduler = new Scheduler({ random: random.scheduler });
    this.#network = new Network({ scheduler: this.#scheduler, random: random.network });
    this.#network.shape(this.#scenario.link);
    this.#coverage = new Coverage(this.#scheduler);
    const { privateRooms } = plan;
    const mayLag = !this.#isAlone;
    // The outbox tries for as long as it takes; a request that meets a server that is down ends by its own time-out.
    this.#oracle = new Oracle({ sendWithinMs: null, requestWithinMs: null, privateRooms, mayLag });
    this.#cluster = new SimCluster({
      seed,
      scheduler: this.#scheduler,
      network: this.#network,
      scenario: this.#scenario,
      marks: this.#marks,
      coverage: this.#coverage,
      log: (node) => this.#logOf(node, options.log),
      violated: (what) => this.#violated(what),
      beforeStart: () => this.#operator.serverStarts(),
    });
    this.#operator = new SimOperator({
      plan,
      scheduler: this.#scheduler,
      oracle: this.#oracle,
      users: workload.users,
      server: () => this.#cluster.leader ?? this.#cluster.running[0]?.server ?? null,
      head: (room) => this.#cluster.head(room),
      isAlone: this.#isAlone,
      over: (operation, since) => {
        if (operation === "member removed") this.#marks.count("server removed");
        this.#coverage.over(operation, () => [this.#cluster.hostThatLeads.name], since);
      },
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
      mayLag,
      client: (index) => this.#clients.at(index),
      over: (operation, index, since) => {
        const parties = (): (string | null)[] => {
          const { host, client } = this.#clients.at(index);
          return [host.name, client.server, this.#cluster.hostThatLeads.name];
        };
        this.#coverage.over(operation, parties, since);
      },
    });
    this.#injector = new FaultInjector({
      scheduler: this.#scheduler,
      network: this.#network,
      boot: (host) => {
        const member = this.#cluster.of(host);
        if (member !== undefined) this.#cluster.boot(member);
      },
      disk: (host) => this.#cluster.of(host)?.disk ?? null,
      stop: (host, ended) => this.#cluster.stop(host, ended),
      wipe: (host) => this.#cluster.wipe(host),
      felt: (kind, hosts, forMs) => this.#coverage.fault(kind, hosts, forMs),
      leader: () => this.#cluster.hostThatLeads,
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
    if (!this.#isAlone) this.#chopCoarsely(this.#scenario.link.chop);
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
      beforeHealing: () => this.#majorityGoesOn(),
      afterHealing: () => {
        this.#clients.reconnect();
        for (let index = 0; index < this.#clients.count; index++) this.#player.beginCatchUp(index);
      },
      done: nowAndThen(
        this.#scheduler,
        () =>
          this.#player.isCaughtUp && this.#clients.owedDirectly().length === 0 && this.#cluster.apart().length === 0,
      ),
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
   * While a minority is cut off, and as broken as it was, the others elect a leader, and whatever was sent by then is
   * stored or refused.
   */
  async #majorityGoesOn(): Promise<void> {
    const broken = this.#scenario.healsMajorityFirst ? this.#cluster.minority(this.#scenario.random.faults) : [];
    if (broken.length === 0) return;
    this.#injector.healAllBut(broken);
    this.#clients.reconnect();
    const names = broken.map(({ name }) => name);
    const goesOn = (): boolean => this.#player.openSends === 0 && this.#cluster.leaderBut(broken) !== null;
    const until = millis(this.#scheduler.now() + livenessMs);
    if (await this.#scheduler.runUntil(nowAndThen(this.#scheduler, goesOn), { until, eventsMax })) {
      this.#marks.count("majority went on");
    } else {
      const waits = this.#player.unfinished().join("; ");
      this.#violated(`without ${names.join(" and ")} nothing went on for ${livenessMs / 1_000} s: ${waits}`);
    }
  }

  /**
   * Servers say ten times a second that they are there, and every message goes to all: cut into single bytes, that would
   * be nearly all that happens. Fine pieces stay between the first two servers, and between the first two clients and all.
   */
  #chopCoarsely(chop: Chop): void {
    if (chop.kind !== "pieces" || chop.bytesMax >= coarseBytes) return;
    const { servers, workload } = this.#scenario;
    const clients = workload.users.map((_, index) => `client${index}`);
    const coarse = { chop: { kind: "pieces", bytesMax: coarseBytes } } as const;
    for (const [at, from] of servers.entries()) {
      for (const [other, to] of servers.entries()) {
        if (at !== other && at + other !== 1) this.#network.shape(coarse, { from, to });
      }
      for (const client of clients.slice(2)) {
        this.#network.shape(coarse, { from, to: client });
        this.#network.shape(coarse, { from: client, to: from });
      }
    }
  }

  /** What one of several servers logs says which, and when. */
  #logOf(node: string, log: Log): Log {
    const told = (event: string, given?: Readonly<Record<string, unknown>>): Record<string, unknown> => {
      const came = toldMarks[event === "catch-up.taken" ? `${event} ${String(given?.["kind"])}` : event];
      if (came !== undefined) {
        this.#marks.count(came.mark);
        this.#coverage.over(came.operation, () => [node]);
      }
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
    const { leader } = this.#cluster;
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
    const restart = new LastRestart({
      scheduler: this.#scheduler,
      scenario: this.#scenario,
      cluster: this.#cluster,
      violated: (what) => this.#violated(what),
      withinMs: livenessMs,
      eventsMax,
    });
    if (await restart.play()) this.#marks.count("clean restart compared");
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
      coverage: this.#coverage.counts(),
      seals: Math.max(...members.map(({ box }) => box.seals)),
      starts: members.reduce((sum, { starts }) => sum + starts, 0),
    };
  }
}
