import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { FileSystem, FolderItem, OpenFile, OpenMode } from "../storage/file-system.ts";
import { CachedDisk } from "./cached-disk.ts";
import { type CrashMode, isPowerLoss } from "./crash-modes.ts";
import { type CallGround, type CallName, type CallParts, ProcessFiles, systemError } from "./process-files.ts";

/**
 * The file system of one simulated server, on a disk with a page cache that power loss takes away: the calls of the port,
 * each of which may fail, be cut short, or be the last.
 *
 * `sync` makes a file's bytes durable, `syncFolder` a folder's names, a durable write itself; nothing else does.
 *
 * Everything happens in the order of the calls and, where chance decides, from the seed. Without a clock each call
 * settles at once; with one, a call takes effect in the cache when it is made and on the platter when it settles.
 */
export class SimFileSystem implements FileSystem {
  /** How many calls were made, by this process and those before it. */
  calls = 0;
  /** Told before each call, with its number. */
  onCall: ((call: CallNote) => void) | null = null;
  /** Told at each call, when it is done, what every kind of crash in it would leave. It may `stop` the process. */
  onCrashPoint: ((point: CrashPointNote) => void) | null = null;
  /** While true, syncs and durable writes settle and make nothing durable. */
  lies = false;
  /** Bytes that all files together may take. */
  quotaBytes: number;

  readonly #random: Random;
  readonly #keepsNames: boolean;
  readonly #clock: Clock | null;
  readonly #latency: (call: CallName, byteCount: number) => Millis;
  #disk = new CachedDisk();
  #errors: InjectedError[] = [];
  #crashPoint: CrashPoint | null = null;
  /** Grows with every crash; what an older process still holds never answers again. */
  #life = 0;
  #present: ProcessFiles;
  #running = true;
  #tellStopped: (() => void)[] = [];

  constructor(options: SimFileSystemOptions = {}) {
    this.#random = options.random ?? seededRandom(1);
    this.#keepsNames = options.keepsNames ?? false;
    this.#clock = options.clock ?? null;
    this.#latency = options.latency ?? (() => 0 as Millis);
    this.quotaBytes = options.quotaBytes ?? Infinity;
    this.#present = this.#processFiles();
  }

  // The port

  /**
   * The file system as one process sees it: after the next crash its calls never settle. A server of the simulator is
   * given one; who uses the port of this object itself is always the process of the moment.
   */
  attach(): FileSystem {
    return this.#present;
  }

  list(folder: string): Promise<FolderItem[]> {
    return this.#present.list(folder);
  }

  makeFolder(folder: string): Promise<void> {
    return this.#present.makeFolder(folder);
  }

  removeFolder(folder: string): Promise<void> {
    return this.#present.removeFolder(folder);
  }

  syncFolder(folder: string): Promise<void> {
    return this.#present.syncFolder(folder);
  }

  open(file: string, mode: OpenMode): Promise<OpenFile> {
    return this.#present.open(file, mode);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#present.rename(from, to);
  }

  unlink(file: string): Promise<void> {
    return this.#present.unlink(file);
  }

  space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#present.space();
  }

  // Faults

  /** At call number `at` the process dies. What that leaves of the call is decided by the mode; then call `crash`. */
  crashAt(at: number, mode: CrashMode): void {
    this.#crashPoint = { at, mode };
  }

  /** Call number `at` fails with a system code, or, if it reads or writes, is `short`. Persistent: so do all after it. */
  failAt(at: number, code: string, options: { persistent: boolean }): void {
    this.#errors.push({ at, code, persistent: options.persistent });
  }

  /** No more errors and no crash point from here on. */
  heal(): void {
    this.#errors = [];
    this.#crashPoint = null;
  }

  /** The process dies now: the call that is under way, and any other, never settles. Then call `crash`. */
  stop(): void {
    this.#running = false;
    for (const tell of this.#tellStopped) tell();
    this.#tellStopped = [];
  }

  /** False from the crash point on, until `crash` makes room for a new process. */
  get running(): boolean {
    return this.#running;
  }

  /** Settles when the process has died at its crash point. */
  whenStopped(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => {
      this.#tellStopped.push(resolve);
    });
  }

  /**
   * Ends the process that uses this file system, and leaves what a crash of this kind may leave. A new process may use
   * it then; the calls of the old one never settle.
   */
  crash(random: Random, mode: CrashMode): void {
    this.#life++;
    this.#present = this.#processFiles();
    this.#running = true;
    if (isPowerLoss(mode)) this.#disk.losePower(random, mode);
  }

  /** Turns one bit of a file, in the cache and on the platter. */
  flip(file: string, offset: number, bit: number): void {
    this.#disk.flip(file, offset, bit);
  }

  /** Cuts a file off, in the cache and on the platter. */
  truncate(file: string, size: number): void {
    this.#disk.truncate(file, size);
  }

  /** Replaces the content of a file, or makes it, in the cache and on the platter: a restored or misplaced copy. */
  plant(file: string, bytes: Uint8Array): void {
    this.#disk.plant(file, bytes);
  }

  /** Removes a file, in the cache and on the platter. */
  lose(file: string): void {
    this.#disk.lose(file);
  }

  // For whoever looks on

  /** Every file as the process sees it, by name. Fresh bytes. */
  files(): Map<string, Uint8Array> {
    return this.#disk.files();
  }

  /** Another server's disk with the same files, all of them durable. */
  copy(): SimFileSystem {
    const copy = new SimFileSystem({ random: this.#random, quotaBytes: this.quotaBytes });
    copy.#disk = this.#disk.copy();
    return copy;
  }

  /** Another server's disk with what power loss would leave at this moment if nothing unsynced got through (`lost`). */
  durableCopy(): SimFileSystem {
    const copy = new SimFileSystem();
    copy.#disk = this.#disk.durableCopy();
    return copy;
  }

  /** Another server's disk in the very same state, with all that is not yet durable. */
  fork(): SimFileSystem {
    return this.#with(this.#disk.fork().fork);
  }

  #with(disk: CachedDisk): SimFileSystem {
    const other = new SimFileSystem({ keepsNames: this.#keepsNames, quotaBytes: this.quotaBytes });
    other.calls = this.calls;
    other.#disk = disk;
    return other;
  }

  /** The same for two disks that no process can tell apart, whatever crashes come. */
  fingerprint(): string {
    return this.#disk.fingerprint();
  }

  /** How many operations power loss would put at risk now. */
  get unsynced(): number {
    return this.#disk.unsynced;
  }

  #processFiles(): ProcessFiles {
    const disk = (): CachedDisk => this.#disk;
    const quotaBytes = (): number => this.quotaBytes;
    const ground: CallGround = {
      get disk() {
        return disk();
      },
      get quotaBytes() {
        return quotaBytes();
      },
      random: this.#random,
      keepsNames: this.#keepsNames,
      call: (life, name, path, act, parts = {}) => this.#call(life, name, path, act, parts),
    };
    return new ProcessFiles(ground, this.#life);
  }

  // One call

  /** `act` has the effect the process sees. */
  #call<T>(life: number, name: CallName, path: string, act: (short: boolean) => T, more: CallParts<T>): Promise<T> {
    if (!this.#running || life !== this.#life) return never();
    this.calls++;
    const number = this.calls;
    this.onCall?.({ number, name, path });
    if (this.#crashPoint?.at === number) {
      const { mode } = this.#crashPoint;
      this.#crashPoint = null;
      this.#die(mode, act, more);
      return never();
    }
    if (this.onCrashPoint !== null) return this.#toldCall(this.onCrashPoint, { number, act, more });
    const error = this.#errors.find((one) => one.at === number || (one.persistent && number > one.at));
    const short = error?.code === "short";
    let result: T;
    try {
      if (error !== undefined && !short) {
        if (more.fail !== undefined) more.fail(act(false));
        throw systemError(error.code, name, path);
      }
      result = act(short);
    } catch (cause) {
      assert(cause instanceof Error, "only errors are thrown here");
      return this.#later(name, more.byteCount ?? 0, life, () => Promise.reject(cause));
    }
    return this.#later(name, more.byteCount ?? 0, life, () => {
      if (!this.lies) more.settle?.(result);
      return Promise.resolve(result);
    });
  }

  /** A call without faults that settles at once, and what every kind of crash in it leaves. */
  #toldCall<T>(
    tell: (point: CrashPointNote) => void,
    { number, act, more }: { number: number; act: (short: boolean) => T; more: CallParts<T> },
  ): Promise<T> {
    assert(this.#clock === null && this.#errors.length === 0 && !this.lies, "nothing else happens to calls told of");
    const before = this.fork();
    const half = this.#disk.fork();
    const inode = more.half === undefined ? undefined : half.inodes.get(more.half.inode);
    if (inode !== undefined) half.fork.write(inode, more.half!.position, more.half!.bytes);
    // A call that cannot be made has no effect.
    let during = before;
    let outcome: Promise<T>;
    try {
      const result = act(false);
      during = this.fork();
      more.settle?.(result);
      outcome = Promise.resolve(result);
    } catch (cause) {
      assert(cause instanceof Error, "only errors are thrown here");
      outcome = Promise.reject(cause);
    }
    const after = this.fork();
    tell({
      number,
      left: (mode) => {
        if (mode === "before") return before.fork();
        if (mode === "half") return this.#with(half.fork.fork().fork);
        return mode === "after" ? after.fork() : during.fork();
      },
    });
    if (this.#running) return outcome;
    outcome.catch(nothing);
    return never();
  }

  #die<T>(mode: CrashMode, act: (short: boolean) => T, more: CallParts<T>): void {
    try {
      if (mode === "half" && more.half !== undefined) {
        const { inode, position, bytes } = more.half;
        this.#disk.write(inode, position, bytes);
      } else if (mode !== "before" && mode !== "half") {
        const result = act(false);
        if (mode === "after") more.settle?.(result);
      }
    } catch (cause) {
      // The call would have failed, and the process dies anyway.
      assert(cause instanceof Error && "code" in cause, "only system errors are thrown here");
    }
    this.stop();
  }

  #later<T>(name: CallName, byteCount: number, life: number, settle: () => Promise<T>): Promise<T> {
    const delay = this.#latency(name, byteCount);
    if (this.#clock === null || delay === 0) return settle();
    const clock = this.#clock;
    return new Promise((resolve) => {
      clock.after(delay, () => {
        if (this.#running && this.#life === life) resolve(settle());
      });
    });
  }
}

export interface SimFileSystemOptions {
  /** Decides what a failed call leaves. @defaultValue a generator with seed 1 */
  random?: Random;
  /**
   * Whether names whose sync failed wait for the next one, as where a journal of the file system keeps them; else they
   * are lost for good, and no later sync of a server that goes on can bring them back. @defaultValue false
   */
  keepsNames?: boolean;
  /** With a clock, calls take `latency`. @defaultValue none: calls settle at once */
  clock?: Clock;
  /** How long a call takes. @defaultValue no time */
  latency?: (call: CallName, byteCount: number) => Millis;
  /** @defaultValue unlimited */
  quotaBytes?: number;
}

export interface CallNote {
  readonly number: number;
  readonly name: CallName;
  readonly path: string;
}

export interface CrashPointNote {
  readonly number: number;
  /** A disk on which the process died in this call; what that kind of crash does to it is `crash`'s to do. */
  readonly left: (mode: CrashMode) => SimFileSystem;
}

interface CrashPoint {
  readonly at: number;
  readonly mode: CrashMode;
}

interface InjectedError {
  readonly at: number;
  readonly code: string;
  readonly persistent: boolean;
}

function never<T>(): Promise<T> {
  return new Promise<T>(nothing);
}

function nothing(): void {
  return undefined;
}
