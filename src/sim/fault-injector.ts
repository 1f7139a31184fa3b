import { assert, unreachable } from "../base/assert.ts";
import { type Millis, millis, timestamp } from "../base/units.ts";
import type { PowerLossMode } from "./crash-modes.ts";
import { type DiskOperation, type Fault, type FaultKind, type Schedule, whoeverLeads } from "./faults.ts";
import type { SimHost } from "./host.ts";
import type { LinkConditions } from "./link.ts";
import type { Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";

/** What can be done to the disk of a host. The disk draws the details by its own chance. */
export interface DiskControl {
  /** The process was killed: what it wrote stays in the page cache, what it had asked for and not got is gone. */
  killed(): void;
  /** The machine lost power. What is left is decided now. */
  powerLost(mode: PowerLossMode): void;
  /** The next such operation fails; with `persistent` every one, until `heal`. */
  fail(error: { readonly operation: DiskOperation; readonly persistent: boolean }): void;
  /** Every operation takes so much longer; 0 ends it. */
  slowBy(ms: number): void;
  /** Nothing that is asked for from now on ends before so long. */
  stuckFor(ms: number): void;
  /** No space is left, or there is again. */
  full(isFull: boolean): void;
  /** Errors, slowness and lack of space end. What was damaged stays damaged. */
  heal(): void;
}

/** The world that faults happen to. */
export interface FaultWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  /** Null: the host has no disk, as clients. */
  disk(host: SimHost): DiskControl | null;
  /** Starts the program of a host whose new life has just begun. */
  boot(host: SimHost): void;
  /** Asks the program to stop; `ended` is called once it has, if nothing else ends it before. */
  stop(host: SimHost, ended: () => void): void;
  /** A fault begins that these hosts feel, and lasts so long. */
  felt(kind: FaultKind, hosts: readonly string[], forMs: number): void;
  /** Who leads; the first server while nobody does. */
  leader(): SimHost;
  /** Takes everything off the disk of a host that is about to be down. Answers whether that was bearable, and done. */
  wipe(host: SimHost): boolean;
}

/** Makes the faults of a schedule happen, ends those that last, and puts everything right again. */
export class FaultInjector {
  readonly #world: FaultWorld;
  readonly #counts = new Map<FaultKind, number>();
  readonly #diskErrors = new Map<SimHost, number>();
  readonly #diskFull = new Map<SimHost, number>();
  #healed = false;

  constructor(world: FaultWorld) {
    this.#world = world;
  }

  /** Plans every fault from the present moment on. */
  inject(schedule: Schedule): void {
    for (const fault of schedule) {
      this.#later(fault.at, fault.kind, () => {
        this.#counts.set(fault.kind, (this.#counts.get(fault.kind) ?? 0) + 1);
        this.#world.felt(fault.kind, this.#feltBy(fault), lastsMs(fault));
        this.#apply(fault);
      });
    }
  }

  /** How many faults of each kind happened, by kind. */
  counts(): Partial<Record<FaultKind, number>> {
    return Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1)));
  }

  /**
   * The end of the safety phase: nothing planned happens any more, links are as `conditions` says, silently dead
   * connections are reset, hosts run at full speed, those that are down start, disks work, clocks run evenly (with
   * `resetClocks` also rightly; without, they go on from wherever they were pushed).
   */
  heal(options: { readonly conditions?: LinkConditions; readonly resetClocks: boolean }): void {
    const { scheduler, network } = this.#world;
    this.#healed = true;
    network.heal({ resetDead: true, ...(options.conditions === undefined ? {} : { conditions: options.conditions }) });
    for (const host of scheduler.hosts()) {
      host.wall.heal(options.resetClocks ? timestamp(scheduler.trueWall()) : null);
      this.#mend(host);
    }
  }

  /**
   * The same for all but these hosts, for a first proof of progress: they are cut off from everybody, and what was wrong
   * with them stays so. Then `heal` mends them, too.
   */
  healAllBut(broken: readonly SimHost[]): void {
    const { scheduler, network } = this.#world;
    this.#healed = true;
    network.heal({ resetDead: true });
    for (const host of scheduler.hosts()) {
      if (!broken.includes(host)) {
        this.#mend(host);
        continue;
      }
      for (const other of scheduler.hosts()) {
        if (other === host) continue;
        network.block({ from: host.name, to: other.name });
        network.block({ from: other.name, to: host.name });
      }
    }
  }

  #mend(host: SimHost): void {
    this.#world.disk(host)?.heal();
    if (host.alive) {
      host.slow(1);
      host.resume();
    } else {
      this.#start(host);
    }
  }

  #apply(fault: Fault): void {
    const { network } = this.#world;
    switch (fault.kind) {
      case "cut":
        network.cut(fault.one, fault.other);
        return;
      case "clog":
        network.clog(fault);
        return;
      case "block":
        this.#block([fault], fault.forMs);
        return;
      case "partition": {
        const one = fault.one.map((name) => this.#hostOf(name).name);
        const other = fault.other.filter((name) => !one.includes(name));
        const ways = one.flatMap((from) =>
          other.flatMap((to) => [
            { from, to },
            { from: to, to: from },
          ]),
        );
        this.#block(ways, fault.forMs);
        return;
      }
      case "flip":
        network.flip(fault);
        return;
      case "half-open":
        network.halfOpen(fault);
        return;
      default:
        this.#applyToHost(fault, this.#hostOf(fault.host));
    }
  }

  #feltBy(fault: Fault): string[] {
    if ("host" in fault) return [this.#hostOf(fault.host).name];
    if ("from" in fault) return [fault.from, fault.to];
    return fault.kind === "cut" ? [fault.one, fault.other] : fault.one.map((name) => this.#hostOf(name).name);
  }

  #hostOf(name: string): SimHost {
    return name === whoeverLeads ? this.#world.leader() : this.#world.scheduler.hostNamed(name);
  }

  #applyToHost(fault: Extract<Fault, { host: string }>, host: SimHost): void {
    const disk = this.#world.disk(host);
    switch (fault.kind) {
      case "kill":
        if (!host.alive) return;
        host.crash("killed");
        disk?.killed();
        this.#startLater(host, fault.downMs);
        return;
      case "power-loss":
        if (!host.alive) return;
        host.crash("powerLoss");
        disk?.powerLost(fault.mode);
        this.#startLater(host, fault.downMs);
        return;
      case "pause":
        if (host.alive) host.pause(fault.forMs);
        return;
      case "slow":
        host.slow(fault.factor);
        this.#later(fault.forMs, "slow end", () => host.slow(1));
        return;
      case "clock-jump":
        host.wall.jump(fault.byMs);
        return;
      case "clock-midnight":
        host.wall.jumpToMidnight(fault.beforeMs);
        return;
      case "clock-freeze":
        host.wall.freeze();
        this.#later(fault.forMs, "clock runs", () => host.wall.heal());
        return;
      case "clock-strobe":
        host.wall.strobe(fault);
        this.#later(fault.forMs, "clock runs", () => host.wall.heal());
        return;
      case "clock-drift":
        host.wall.drift(fault.perMillion);
        return;
      case "disk-error":
        disk?.fail({ operation: fault.operation, persistent: fault.forMs > 0 });
        if (fault.forMs > 0) this.#while(this.#diskErrors, host, fault.forMs, () => disk?.heal());
        return;
      case "disk-slow":
        disk?.slowBy(fault.byMs);
        this.#later(fault.forMs, "disk fast", () => disk?.slowBy(0));
        return;
      case "disk-stuck":
        disk?.stuckFor(fault.forMs);
        return;
      case "stop":
        if (!host.alive) return;
        this.#world.stop(host, () => {
          host.crash("killed");
          disk?.killed();
          if (this.#healed) this.#start(host);
          else this.#startLater(host, fault.downMs);
        });
        return;
      case "wipe":
        if (!host.alive || !this.#world.wipe(host)) return;
        this.#startLater(host, fault.downMs);
        return;
      case "disk-full":
        disk?.full(true);
        this.#while(this.#diskFull, host, fault.forMs, () => disk?.full(false));
        return;
      default:
        unreachable(fault);
    }
  }

  #block(ways: readonly { readonly from: string; readonly to: string }[], forMs: number): void {
    const { network } = this.#world;
    for (const way of ways) network.block(way);
    this.#later(forMs, "unblock", () => {
      for (const way of ways) network.unblock(way);
    });
  }

  /** Where several such faults overlap, the last one ends them. */
  #while(running: Map<SimHost, number>, host: SimHost, forMs: number, end: () => void): void {
    running.set(host, (running.get(host) ?? 0) + 1);
    this.#later(forMs, "disk well", () => {
      const left = (running.get(host) ?? 1) - 1;
      running.set(host, left);
      if (left === 0) end();
    });
  }

  #startLater(host: SimHost, downMs: number): void {
    const { life } = host;
    this.#later(downMs, "start", () => {
      // Somebody else may have started it, and it may even have crashed again since.
      if (!host.alive && host.life === life) this.#start(host);
    });
  }

  #start(host: SimHost): void {
    host.start();
    this.#world.boot(host);
  }

  #later(delayMs: number, kind: string, task: () => void): void {
    this.#world.scheduler.after(millis(delayMs), kind, () => {
      if (!this.#healed) task();
    });
  }
}

function lastsMs(fault: Fault): number {
  if ("forMs" in fault) return fault.forMs;
  return "downMs" in fault ? fault.downMs : 0;
}

/**
 * Safety, then liveness: runs the world under its faults for `safetyMs`, heals everything, and then demands that `done`
 * comes true within `livenessMs`. Answers how long that took, or null when it did not happen in time.
 */
export async function safetyThenLiveness(options: {
  readonly scheduler: Scheduler;
  readonly injector: FaultInjector;
  readonly safetyMs: Millis;
  readonly livenessMs: Millis;
  /** What is to be shown before everything is healed. @defaultValue nothing */
  readonly beforeHealing?: () => Promise<void>;
  /** What is asked for when all is well; called once, right after the healing. */
  readonly afterHealing: () => void;
  readonly done: () => boolean;
  readonly eventsMax?: number;
}): Promise<Millis | null> {
  const { scheduler, injector, safetyMs, livenessMs, afterHealing, done } = options;
  assert(safetyMs >= 0 && livenessMs > 0, "both phases take time");
  const guard = options.eventsMax === undefined ? {} : { eventsMax: options.eventsMax };
  const start = scheduler.now();
  await scheduler.run({ until: millis(start + safetyMs), ...guard });
  await options.beforeHealing?.();
  injector.heal({ resetClocks: false });
  afterHealing();
  const healedAt = scheduler.now();
  const reached = await scheduler.runUntil(done, { until: millis(healedAt + livenessMs), ...guard });
  return reached ? millis(scheduler.now() - healedAt) : null;
}
