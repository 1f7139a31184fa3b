import { seededRandom } from "../../src/base/random.ts";
import type { CrashMode } from "../../src/sim/crash-modes.ts";
import { crashModes } from "../../src/sim/crash-modes.ts";
import type { ServerLife } from "./server-life.ts";
import type { Act } from "./server-story.ts";

/** One crash: at which call of an act, of which kind, and maybe a second one at a call of the recovery behind it. */
export interface CrashCase {
  readonly at: number;
  readonly mode: CrashMode;
  readonly again?: { readonly call: number; readonly mode: CrashMode };
}

/** How many calls an act makes when nothing happens to it. */
export async function callsOf(act: Act, beginning: ServerLife): Promise<number> {
  const life = beginning.fork(1);
  await act.play(life);
  return life.fileSystem.calls;
}

/** Plays the act until the process dies. The kind of crash decides what is left. */
async function crashed(act: Act, beginning: ServerLife, { at, mode }: CrashCase): Promise<ServerLife> {
  const life = beginning.fork(at);
  life.fileSystem.crashAt(at, mode);
  await Promise.race([act.play(life), life.fileSystem.whenStopped()]);
  if (life.fileSystem.running) throw new Error("the act ended before its crash");
  life.crash(mode, seededRandom(at));
  return life;
}

/**
 * After the crash the server starts, has everything that anybody was told, takes every message again as what it is, and
 * keeps what it showed through a power loss. False when a second crash was asked for and the recovery made no such call.
 */
export async function survives(act: Act, beginning: ServerLife, one: CrashCase): Promise<boolean> {
  const life = await crashed(act, beginning, one);
  if (one.again !== undefined) {
    const { call, mode } = one.again;
    life.fileSystem.crashAt(life.fileSystem.calls + call, mode);
    const isUp = await Promise.race([
      life.start(act.start).then(() => true),
      life.fileSystem.whenStopped().then(() => false),
    ]);
    if (isUp) return false;
    life.crash(mode, seededRandom(call));
  }
  await life.start(act.start);
  await life.check();
  await life.resend();
  life.crash("lost", seededRandom(one.at));
  await life.start(act.start);
  await life.check();
  return true;
}

/** A kind of crash that goes round with the calls. */
export function modeOf(round: number): CrashMode {
  return crashModes[round % crashModes.length]!;
}

/** Says which crash it was, so that a failure can be repeated. */
export async function told(act: Act, one: CrashCase, work: Promise<boolean>): Promise<boolean> {
  try {
    return await work;
  } catch (cause) {
    throw new Error(`act "${act.name}", crash ${JSON.stringify(one)}: ${String(cause)}`, { cause });
  }
}
