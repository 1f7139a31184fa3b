import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { FileSystem, FolderItem, OpenFile, OpenMode } from "../storage/file-system.ts";
import { CachedDisk } from "./cached-disk.ts";
import { type CrashMode, isPowerLoss } from "./crash-modes.ts";
import { folderOf, type Inode, nameOf } from "./disk-image.ts";

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
  #running = true;
  #tellStopped: (() => void)[] = [];

  constructor(options: SimFileSystemOptions = {}) {
    this.#random = options.random ?? seededRandom(1);
    this.#keepsNames = options.keepsNames ?? false;
    this.#clock = options.clock ?? null;
    this.#latency = options.latency ?? (() => 0 as Millis);
    this.quotaBytes = options.quotaBytes ?? Infinity;
  }

  // The port

  /**
   * The file system as one process sees it: after the next crash its calls never settle. A server of the simulator is
   * given one; who uses the port of this object itself is always the process of the moment.
   */
  attach(): FileSystem {
    const life = this.#life;
    return {
      list: (folder) => this.#list(folder, life),
      makeFolder: (folder) => this.#makeFolder(folder, life),
      removeFolder: (folder) => this.#removeFolder(folder, life),
      syncFolder: (folder) => this.#syncFolder(folder, life),
      open: (file, mode) => this.#open(file, mode, life),
      rename: (from, to) => this.#rename(from, to, life),
      unlink: (file) => this.#unlink(file, life),
      space: () => this.#space(life),
    };
  }

  list(folder: string): Promise<FolderItem[]> {
    return this.#list(folder, this.#life);
  }

  makeFolder(folder: string): Promise<void> {
    return this.#makeFolder(folder, this.#life);
  }

  removeFolder(folder: string): Promise<void> {
    return this.#removeFolder(folder, this.#life);
  }

  syncFolder(folder: string): Promise<void> {
    return this.#syncFolder(folder, this.#life);
  }

  open(file: string, mode: OpenMode): Promise<OpenFile> {
    return this.#open(file, mode, this.#life);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#rename(from, to, this.#life);
  }

  unlink(file: string): Promise<void> {
    return this.#unlink(file, this.#life);
  }

  space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#space(this.#life);
  }

  #list(folder: string, life: number): Promise<FolderItem[]> {
    return this.#call(
      "list",
      folder,
      () => {
        if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "list", folder);
        const items: FolderItem[] = [];
        for (const path of this.#disk.cache.names.keys()) {
          if (folderOf(path) === folder) items.push({ name: nameOf(path), folder: false });
        }
        for (const path of this.#disk.cache.folders) {
          if (path !== "" && folderOf(path) === folder) items.push({ name: nameOf(path), folder: true });
        }
        return items;
      },
      { life },
    );
  }

  #makeFolder(folder: string, life: number): Promise<void> {
    return this.#call(
      "makeFolder",
      folder,
      () => {
        if (this.#disk.cache.folders.has(folder)) throw systemError("EEXIST", "makeFolder", folder);
        if (!this.#disk.cache.folders.has(folderOf(folder))) throw systemError("ENOENT", "makeFolder", folder);
        this.#disk.makeFolder(folder);
      },
      { life },
    );
  }

  #removeFolder(folder: string, life: number): Promise<void> {
    return this.#call(
      "removeFolder",
      folder,
      () => {
        if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "removeFolder", folder);
        const isIn = (path: string): boolean => folderOf(path) === folder;
        const isEmpty = ![...this.#disk.cache.names.keys()].some(isIn) && ![...this.#disk.cache.folders].some(isIn);
        if (!isEmpty) throw systemError("ENOTEMPTY", "removeFolder", folder);
        this.#disk.removeFolder(folder);
      },
      { life },
    );
  }

  #syncFolder(folder: string, life: number): Promise<void> {
    return this.#call(
      "syncFolder",
      folder,
      () => {
        if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "syncFolder", folder);
        return this.#disk.unsyncedNames(folder);
      },
      {
        life,
        settle: (operations) => this.#disk.makeDurable(operations),
        fail: (operations) => {
          if (!this.#keepsNames) this.#disk.drop(operations, this.#random);
        },
      },
    ).then(nothing);
  }

  #open(file: string, mode: OpenMode, life: number): Promise<OpenFile> {
    return this.#call(
      "open",
      file,
      () => {
        const existing = this.#disk.cache.names.get(file);
        if (mode === "create") {
          if (existing !== undefined) throw systemError("EEXIST", "open", file);
          if (!this.#disk.cache.folders.has(folderOf(file))) throw systemError("ENOENT", "open", file);
          return this.#openFile(file, this.#disk.create(file), false, life);
        }
        if (existing === undefined) throw systemError("ENOENT", "open", file);
        return this.#openFile(file, existing, mode === "durable", life);
      },
      { life },
    );
  }

  #rename(from: string, to: string, life: number): Promise<void> {
    return this.#call(
      "rename",
      `${from} -> ${to}`,
      () => {
        const { names, folders } = this.#disk.cache;
        if (!names.has(from) || !folders.has(folderOf(to))) throw systemError("ENOENT", "rename", from);
        this.#disk.rename(from, to);
      },
      { life },
    );
  }

  #unlink(file: string, life: number): Promise<void> {
    return this.#call(
      "unlink",
      file,
      () => {
        if (!this.#disk.cache.names.has(file)) throw systemError("ENOENT", "unlink", file);
        this.#disk.unlink(file);
      },
      { life },
    );
  }

  #space(life: number): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#call(
      "space",
      "",
      () => {
        const totalBytes = Math.min(this.quotaBytes, 2 ** 50);
        return { freeBytes: Math.max(0, totalBytes - this.#disk.usedBytes), totalBytes };
      },
      { life },
    );
  }

  #openFile(path: string, inode: Inode, durable: boolean, life: number): OpenFile {
    return {
      read: (into, position) =>
        this.#call(
          "read",
          path,
          (short) => {
            const count = Math.max(0, Math.min(into.length, inode.cache.size - position));
            const given = short && count > 1 ? count >>> 1 : count;
            into.set(inode.cache.bytes.subarray(position, position + given));
            return given;
          },
          { life, byteCount: into.length },
        ),
      write: (bytes, position) =>
        this.#call(
          durable ? "writeDurable" : "write",
          path,
          (short) => {
            const count = this.#countThatFits(inode, position, short ? Math.max(1, bytes.length >>> 1) : bytes.length);
            if (count === 0 && bytes.length > 0) throw systemError("ENOSPC", "write", path);
            return this.#disk.write(inode, position, bytes.subarray(0, count));
          },
          {
            life,
            byteCount: bytes.length,
            settle: (operation) => {
              if (durable) this.#disk.makeDurable([operation]);
            },
            fail: (operation) => {
              if (durable) this.#disk.drop([operation], this.#random);
            },
            half: { inode, position, bytes: bytes.subarray(0, bytes.length >>> 1) },
          },
        ).then((operation) => operation.bytes.length),
      sync: () =>
        this.#call("sync", path, () => this.#disk.unsyncedWrites(inode), {
          life,
          settle: (operations) => this.#disk.makeDurable(operations),
          // What the kernel does: the pages are marked clean, so the next sync finds nothing to do and succeeds.
          fail: (operations) => this.#disk.drop(operations, this.#random),
        }).then(nothing),
      size: () => this.#call("size", path, () => inode.cache.size, { life }),
      close: () => this.#call("close", path, () => undefined, { life }),
    };
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

  // One call

  /**
   * The way of every call: it is counted, it may be the last, it may fail. `act` has the effect the process sees;
   * `settle` the effect on the platter; `fail` follows `act` when the call is to fail in its second half.
   */
  #call<T>(name: CallName, path: string, act: (short: boolean) => T, more: CallParts<T>): Promise<T> {
    if (!this.#running || more.life !== this.#life) return never();
    this.calls++;
    const number = this.calls;
    this.onCall?.({ number, name, path });
    const life = this.#life;
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

  #countThatFits(inode: Inode, position: number, count: number): number {
    const grows = Math.max(0, position + count - inode.cache.size);
    const lacking = Math.max(0, grows - Math.max(0, this.quotaBytes - this.#disk.usedBytes));
    return Math.max(0, count - lacking);
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

export type CallName =
  | "list"
  | "makeFolder"
  | "removeFolder"
  | "syncFolder"
  | "open"
  | "rename"
  | "unlink"
  | "space"
  | "read"
  | "write"
  | "writeDurable"
  | "sync"
  | "size"
  | "close";

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

interface CallParts<T> {
  readonly life: number;
  readonly byteCount?: number;
  readonly settle?: (result: T) => void;
  readonly fail?: (result: T) => void;
  /** What is written when the process dies in the middle of it. */
  readonly half?: { readonly inode: Inode; readonly position: number; readonly bytes: Uint8Array };
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

function systemError(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} ${path}`), { code });
}
