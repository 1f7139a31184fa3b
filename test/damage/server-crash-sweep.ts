import { createHash } from "node:crypto";
import { seededRandom } from "../../src/base/random.ts";
import { type CrashMode, crashModes } from "../../src/sim/crash-modes.ts";
import type { CrashPointNote, SimFileSystem } from "../../src/sim/sim-file-system.ts";
import type { ServerLife } from "./server-life.ts";
import type { Act } from "./server-story.ts";

/** One crash: at which call of an act, of which kind, and maybe a second one at a call of the recovery behind it. */
export interface CrashCase {
  readonly at: number;
  readonly mode: CrashMode;
  readonly again?: { readonly call: number; readonly mode: CrashMode };
}

/** A crash, and the world as it is before anybody starts the server again. */
export interface CrashedWorld {
  readonly one: CrashCase;
  readonly life: ServerLife;
}

export interface SweepOptions {
  /** Of every life in it. */
  readonly seed: number;
  /** Which kinds of crash there are in a call of a recovery. The calls of all recoveries of a sweep are numbered, from 1. */
  readonly modesIn: (number: number) => readonly CrashMode[];
  /** Told of each case that was not survived, and what it was. */
  readonly onFailed: (text: string) => void;
}

/** How many calls an act makes when nothing happens to it. */
export async function callsOf(act: Act, beginning: ServerLife): Promise<number> {
  const life = beginning.fork(1);
  await act.play(life);
  return life.fileSystem.calls;
}

/**
 * Crashes in the calls of an act, and in the calls of the recoveries behind them, of every kind.
 *
 * The act is played once for each of its calls, and a recovery once for all of its calls: in each call the disk is copied
 * as each kind of crash leaves it. Many crashes leave the same world: the same files, the same operations that are not
 * yet durable, the same promises to clients, at the same time. What follows depends on nothing else, so of equal worlds
 * one is tried.
 */
export class CrashSweep {
  /** Crashes in the act, and how many worlds they left. */
  crashes = 0;
  worlds = 0;
  /** Calls in the recoveries of those worlds, crashes in them, and how many more worlds these left. */
  recoveryCalls = 0;
  recoveryCrashes = 0;
  recoveryWorlds = 0;
  readonly #act: Act;
  readonly #beginning: ServerLife;
  readonly #options: SweepOptions;
  /** How thoroughly each world was tried. */
  readonly #tried = new Map<string, Thoroughness>();

  constructor(act: Act, beginning: ServerLife, options: SweepOptions) {
    this.#act = act;
    this.#beginning = beginning;
    this.#options = options;
  }

  /** Every kind of crash in one call of the act. */
  async crashIn(at: number): Promise<void> {
    const { seed, modesIn } = this.#options;
    for (const world of await worldsAfterCrash(this.#act, this.#beginning, { at, seed })) {
      this.crashes++;
      const promises = digestOf(world.life.ledger.fingerprint());
      if (!this.#isNew(thoroughness.withCrashes, promises, world.life)) continue;
      this.worlds++;
      const more: CrashedWorld[] = [];
      await this.#try(world, {
        modesIn: () => modesIn(++this.recoveryCalls),
        onCrashed: (one, fileSystem) => {
          this.recoveryCrashes++;
          if (this.#isNew(thoroughness.whole, promises, world.life, fileSystem))
            more.push({ one, life: world.life.withDisk(fileSystem, lifeSeed(seed, 2)) });
        },
      });
      for (const one of more) {
        this.recoveryWorlds++;
        await this.#try(one, null);
      }
    }
  }

  /**
   * The server has started: it has everything that anybody was told, takes every message again as what it is, and keeps
   * what it showed through a power loss.
   */
  async #survives(life: ServerLife): Promise<void> {
    await life.check();
    await life.resend();
    life.crash("lost");
    if (!this.#isNew(thoroughness.read, digestOf(life.ledger.fingerprint()), life)) return;
    await life.start(this.#act.start);
    await life.check();
  }

  /** Whether this world was not yet tried so thoroughly; from now on it counts as tried. */
  #isNew(wanted: Thoroughness, promises: string, { wall, fileSystem: own }: ServerLife, fileSystem = own): boolean {
    const key = digestOf(`${promises} ${wall} ${fileSystem.fingerprint()}`);
    if ((this.#tried.get(key) ?? -1) >= wanted) return false;
    this.#tried.set(key, wanted);
    return true;
  }

  async #try({ one, life }: CrashedWorld, inRecovery: RecoveryCrashes | null): Promise<void> {
    try {
      if (inRecovery === null) await life.start(this.#act.start);
      else await startWithCrashes(this.#act, { one, life }, inRecovery);
      await this.#survives(life);
    } catch (cause) {
      this.#options.onFailed(`act "${this.#act.name}", crash ${JSON.stringify(one)}: ${String(cause)}`);
    }
  }
}

/** The server started and everything was read; sends and a power loss behind that; crashes in the start as well. */
const thoroughness = { read: 0, whole: 1, withCrashes: 2 } as const;
type Thoroughness = (typeof thoroughness)[keyof typeof thoroughness];

interface RecoveryCrashes {
  /** Asked in each call of the recovery. */
  readonly modesIn: () => readonly CrashMode[];
  /** Told of a disk as it is after a crash in the recovery. */
  readonly onCrashed: (one: CrashCase, fileSystem: SimFileSystem) => void;
}

/** Starts the server of a crashed world, and tells what crashes on the way would leave. */
export async function startWithCrashes(act: Act, { one, life }: CrashedWorld, crashes: RecoveryCrashes): Promise<void> {
  const { fileSystem } = life;
  const callsBefore = fileSystem.calls;
  let modes: readonly CrashMode[] = [];
  const tell = ({ number, left }: CrashPointNote): void => {
    const call = number - callsBefore;
    for (const mode of modes) {
      crashes.onCrashed({ ...one, again: { call, mode } }, crashed(left(mode), { call, mode }));
    }
  };
  fileSystem.onCall = () => {
    modes = crashes.modesIn();
    fileSystem.onCrashPoint = modes.length > 0 ? tell : null;
  };
  await life.start(act.start);
  fileSystem.onCall = null;
  fileSystem.onCrashPoint = null;
}

/** The worlds that the kinds of crash in one call of the act leave. */
export async function worldsAfterCrash(
  act: Act,
  beginning: ServerLife,
  { at, seed }: { at: number; seed: number },
): Promise<CrashedWorld[]> {
  const life = beginning.fork(lifeSeed(seed, 0));
  const { fileSystem } = life;
  const disks: { mode: CrashMode; disk: SimFileSystem }[] = [];
  fileSystem.onCall = ({ number }) => {
    if (number !== at) return;
    fileSystem.onCrashPoint = ({ left }) => {
      for (const mode of crashModes) disks.push({ mode, disk: crashed(left(mode), { call: at, mode }) });
      fileSystem.stop();
    };
  };
  await Promise.race([act.play(life), fileSystem.whenStopped()]);
  if (fileSystem.running) throw new Error("the act ended before its crash");
  // What was under way beside the call may still reach clients, and binds those who told them.
  await life.silence();
  return disks.map(({ mode, disk }) => ({ one: { at, mode }, life: life.withDisk(disk, lifeSeed(seed, 1)) }));
}

/** The same for one kind of crash and the slow way: the process dies in the call, and maybe again in its recovery. */
export async function worldAfter(
  act: Act,
  beginning: ServerLife,
  { one, seed }: { one: CrashCase; seed: number },
): Promise<CrashedWorld> {
  const life = beginning.fork(lifeSeed(seed, 0));
  life.fileSystem.crashAt(one.at, one.mode);
  await Promise.race([act.play(life), life.fileSystem.whenStopped()]);
  if (life.fileSystem.running) throw new Error("the act ended before its crash");
  await life.silence();
  const world = life.withDisk(crashed(life.fileSystem, { call: one.at, mode: one.mode }), lifeSeed(seed, 1));
  if (one.again === undefined) return { one, life: world };
  world.fileSystem.crashAt(world.fileSystem.calls + one.again.call, one.again.mode);
  await Promise.race([world.start(act.start), world.fileSystem.whenStopped()]);
  if (world.fileSystem.running) throw new Error("the recovery ended before its crash");
  return { one, life: world.withDisk(crashed(world.fileSystem, one.again), lifeSeed(seed, 2)) };
}

/** Lives that follow each other never draw the same numbers: the journal tells its lives apart by them. */
function lifeSeed(seed: number, crashes: 0 | 1 | 2): number {
  return (seed % 2 ** 24) + 2 ** 24 * (crashes + 1);
}

function crashed(fileSystem: SimFileSystem, { call, mode }: { call: number; mode: CrashMode }): SimFileSystem {
  fileSystem.crash(seededRandom(call), mode);
  return fileSystem;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}
