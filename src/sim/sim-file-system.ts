import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { seededRandom } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { FileSystem, FolderItem, OpenFile, OpenMode } from "../storage/file-system.ts";
import {
  apply,
  contentOf,
  emptyContent,
  emptyTree,
  folderOf,
  nameOf,
  pathOf,
  put,
  reread,
  sectorBytes,
  share,
  unshare,
} from "./disk-image.ts";
import type { Inode, Pending, Tree, WriteOperation } from "./disk-image.ts";

/**
 * The file system of one simulated server, with a page cache that power loss takes away.
 *
 * Two images: what the process sees (the cache), and what the platter has (durable). What was done and not yet synced
 * is an ordered list of pending operations between the two. `sync` moves a file's bytes, `syncFolder` a folder's names,
 * a durable write itself; nothing else moves anything, and a name never carries content with it.
 *
 * Everything happens in the order of the calls and, where chance decides, from the seed. Without a clock each call
 * settles at once; with one, a call takes effect in the cache when it is made and on the platter when it settles.
 */
export class SimFileSystem implements FileSystem {
  /** How many calls were made, by this process and those before it. */
  calls = 0;
  /** Told before each call, with its number. */
  onCall: ((call: CallNote) => void) | null = null;
  /** While true, syncs and durable writes settle and make nothing durable. */
  lies = false;
  /** Bytes that all files together may take. */
  quotaBytes: number;

  readonly #random: Random;
  readonly #keepsNames: boolean;
  readonly #clock: Clock | null;
  readonly #latency: (call: CallName, byteCount: number) => Millis;
  #cache: Tree = emptyTree();
  #platter: Tree = emptyTree();
  #pending: Pending[] = [];
  #usedBytes = 0;
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
        if (!this.#cache.folders.has(folder)) throw systemError("ENOENT", "list", folder);
        const items: FolderItem[] = [];
        for (const path of this.#cache.names.keys()) {
          if (folderOf(path) === folder) items.push({ name: nameOf(path), folder: false });
        }
        for (const path of this.#cache.folders) {
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
        if (this.#cache.folders.has(folder)) throw systemError("EEXIST", "makeFolder", folder);
        if (!this.#cache.folders.has(folderOf(folder))) throw systemError("ENOENT", "makeFolder", folder);
        this.#do({ kind: "folder", path: folder });
      },
      { life },
    );
  }

  #removeFolder(folder: string, life: number): Promise<void> {
    return this.#call(
      "removeFolder",
      folder,
      () => {
        if (!this.#cache.folders.has(folder)) throw systemError("ENOENT", "removeFolder", folder);
        const isIn = (path: string): boolean => folderOf(path) === folder;
        const isEmpty = ![...this.#cache.names.keys()].some(isIn) && ![...this.#cache.folders].some(isIn);
        if (!isEmpty) throw systemError("ENOTEMPTY", "removeFolder", folder);
        this.#do({ kind: "folder-gone", path: folder });
      },
      { life },
    );
  }

  #syncFolder(folder: string, life: number): Promise<void> {
    return this.#call(
      "syncFolder",
      folder,
      () => {
        if (!this.#cache.folders.has(folder)) throw systemError("ENOENT", "syncFolder", folder);
        return this.#pending.filter(
          (operation) => operation.kind !== "write" && folderOf(pathOf(operation)) === folder,
        );
      },
      {
        life,
        settle: (operations) => this.#makeDurable(operations),
        fail: (operations) => {
          if (!this.#keepsNames) this.#dropPending(operations);
        },
      },
    ).then(nothing);
  }

  #open(file: string, mode: OpenMode, life: number): Promise<OpenFile> {
    return this.#call(
      "open",
      file,
      () => {
        const existing = this.#cache.names.get(file);
        if (mode === "create") {
          if (existing !== undefined) throw systemError("EEXIST", "open", file);
          if (!this.#cache.folders.has(folderOf(file))) throw systemError("ENOENT", "open", file);
          const created: Inode = { cache: emptyContent(), platter: emptyContent() };
          this.#do({ kind: "link", path: file, inode: created });
          return this.#openFile(file, created, false, life);
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
        const inode = this.#cache.names.get(from);
        if (inode === undefined || !this.#cache.folders.has(folderOf(to))) throw systemError("ENOENT", "rename", from);
        const replaced = this.#cache.names.get(to);
        if (replaced !== undefined) this.#usedBytes -= replaced.cache.size;
        if (folderOf(from) === folderOf(to)) {
          this.#do({ kind: "rename", from, path: to, inode });
        } else {
          // Two folders, two syncs. Until the second the file may have both names; it never has none.
          const added: Pending = { kind: "rename", from: null, path: to, inode };
          this.#do(added);
          this.#do({ kind: "unlink", path: from, after: added });
        }
      },
      { life },
    );
  }

  #unlink(file: string, life: number): Promise<void> {
    return this.#call(
      "unlink",
      file,
      () => {
        const inode = this.#cache.names.get(file);
        if (inode === undefined) throw systemError("ENOENT", "unlink", file);
        this.#usedBytes -= inode.cache.size;
        this.#do({ kind: "unlink", path: file });
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
        return { freeBytes: Math.max(0, totalBytes - this.#usedBytes), totalBytes };
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
            return this.#write(inode, position, bytes.subarray(0, count));
          },
          {
            life,
            byteCount: bytes.length,
            settle: (operation) => {
              if (durable) this.#makeDurable([operation]);
            },
            fail: (operation) => {
              if (durable) this.#dropPending([operation]);
            },
            half: () => this.#write(inode, position, bytes.subarray(0, bytes.length >>> 1)),
          },
        ).then((operation) => operation.bytes.length),
      sync: () =>
        this.#call(
          "sync",
          path,
          () => this.#pending.filter((operation) => operation.kind === "write" && operation.inode === inode),
          {
            life,
            settle: (operations) => this.#makeDurable(operations),
            // What the kernel does: the pages are marked clean, so the next sync finds nothing to do and succeeds.
            fail: (operations) => this.#dropPending(operations),
          },
        ).then(nothing),
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
    switch (mode) {
      case "before":
      case "after":
      case "half":
      case "cached":
        // Only the process died: the page cache is still there, synced or not.
        return;
      case "torn": {
        const lastWrite = this.#pending.findLastIndex((operation) => operation.kind === "write");
        for (const [index, operation] of this.#pending.entries()) {
          if (index === lastWrite) this.#applySectors(operation, random);
          else apply(this.#platter, operation);
        }
        break;
      }
      case "lost":
        break;
      case "subset": {
        const kept = this.#pending.filter(() => random.whole(2) === 0);
        shuffle(kept, random);
        for (const operation of kept) {
          if (operation.kind === "write" && random.whole(3) === 0) this.#applySectors(operation, random);
          else apply(this.#platter, operation);
        }
        break;
      }
      case "renames-undone":
        for (const operation of this.#pending) if (operation.kind !== "rename") apply(this.#platter, operation);
        break;
      case "names-lost":
        for (const operation of this.#pending) {
          if (operation.kind === "write" || operation.kind === "unlink") apply(this.#platter, operation);
        }
        break;
    }
    this.#pending = [];
    this.#cache = reread(this.#platter);
    this.#platter = { folders: new Set(this.#cache.folders), names: new Map(this.#cache.names) };
    this.#usedBytes = 0;
    for (const inode of this.#cache.names.values()) this.#usedBytes += inode.cache.size;
  }

  /** Turns one bit of a file, in the cache and on the platter. */
  flip(file: string, offset: number, bit: number): void {
    const inode = this.#inode(file);
    assert(offset < inode.cache.size, `no byte ${offset} in ${file}`);
    for (const content of [inode.cache, inode.platter]) {
      unshare(content);
      if (offset < content.size) content.bytes[offset] = content.bytes[offset]! ^ (1 << bit);
    }
  }

  /** Cuts a file off, in the cache and on the platter. */
  truncate(file: string, size: number): void {
    const inode = this.#inode(file);
    this.#usedBytes -= Math.max(0, inode.cache.size - size);
    for (const content of [inode.cache, inode.platter]) content.size = Math.min(content.size, size);
  }

  /** Replaces the content of a file, or makes it, in the cache and on the platter: a restored or misplaced copy. */
  plant(file: string, bytes: Uint8Array): void {
    for (let folder = folderOf(file); folder !== ""; folder = folderOf(folder)) {
      this.#cache.folders.add(folder);
      this.#platter.folders.add(folder);
    }
    const replaced = this.#cache.names.get(file);
    if (replaced !== undefined) this.#usedBytes -= replaced.cache.size;
    const inode: Inode = { cache: contentOf(bytes), platter: contentOf(bytes) };
    this.#cache.names.set(file, inode);
    this.#platter.names.set(file, inode);
    this.#usedBytes += bytes.length;
  }

  /** Removes a file, in the cache and on the platter. */
  lose(file: string): void {
    this.#usedBytes -= this.#inode(file).cache.size;
    this.#cache.names.delete(file);
    this.#platter.names.delete(file);
  }

  // For whoever looks on

  /** Every file as the process sees it, by name. Fresh bytes. */
  files(): Map<string, Uint8Array> {
    const files = new Map<string, Uint8Array>();
    for (const [path, inode] of [...this.#cache.names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      files.set(path, inode.cache.bytes.slice(0, inode.cache.size));
    }
    return files;
  }

  /** Another server's disk with the same files, all of them durable. */
  copy(): SimFileSystem {
    const copy = new SimFileSystem({ random: this.#random, quotaBytes: this.quotaBytes });
    for (const folder of this.#cache.folders) {
      copy.#cache.folders.add(folder);
      copy.#platter.folders.add(folder);
    }
    for (const [path, inode] of this.#cache.names) copy.plant(path, inode.cache.bytes.subarray(0, inode.cache.size));
    return copy;
  }

  /** Another server's disk with what power loss would leave at this moment if nothing unsynced got through (`lost`). */
  durableCopy(): SimFileSystem {
    const copy = new SimFileSystem({ random: seededRandom(1) });
    for (const folder of this.#platter.folders) {
      copy.#cache.folders.add(folder);
      copy.#platter.folders.add(folder);
    }
    for (const [path, { platter }] of this.#platter.names) {
      const inode: Inode = { cache: share(platter), platter: share(platter) };
      copy.#cache.names.set(path, inode);
      copy.#platter.names.set(path, inode);
      copy.#usedBytes += platter.size;
    }
    return copy;
  }

  /** How many operations power loss would put at risk now. */
  get unsynced(): number {
    return this.#pending.length;
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

  #die<T>(mode: CrashMode, act: (short: boolean) => T, more: CallParts<T>): void {
    try {
      if (mode === "half" && more.half !== undefined) more.half();
      else if (mode === "after") more.settle?.(act(false));
      else if (mode !== "before" && mode !== "half") act(false);
    } catch (cause) {
      // The call would have failed, and the process dies anyway.
      assert(cause instanceof Error && "code" in cause, "only system errors are thrown here");
    }
    this.#stop();
  }

  #stop(): void {
    this.#running = false;
    for (const tell of this.#tellStopped) tell();
    this.#tellStopped = [];
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

  #inode(file: string): Inode {
    const inode = this.#cache.names.get(file);
    assert(inode !== undefined, `no such file in the simulated disk: ${file}`);
    return inode;
  }

  #countThatFits(inode: Inode, position: number, count: number): number {
    const grows = Math.max(0, position + count - inode.cache.size);
    const lacking = Math.max(0, grows - Math.max(0, this.quotaBytes - this.#usedBytes));
    return Math.max(0, count - lacking);
  }

  #write(inode: Inode, offset: number, bytes: Uint8Array): WriteOperation {
    const before = inode.cache.size;
    const operation: WriteOperation = { kind: "write", inode, offset, bytes: bytes.slice() };
    put(inode.cache, offset, operation.bytes);
    this.#usedBytes += inode.cache.size - before;
    this.#pending.push(operation);
    return operation;
  }

  #do(operation: Exclude<Pending, WriteOperation>): void {
    apply(this.#cache, operation);
    this.#pending.push(operation);
  }

  #makeDurable(operations: readonly Pending[]): void {
    for (const operation of operations) {
      apply(this.#platter, operation);
      if (operation.kind === "write") this.#supersede(operation);
    }
    this.#forget(operations);
  }

  /** What an older write put in the same place is not in the cache any more, so it cannot reach the platter later. */
  #supersede(newer: WriteOperation): void {
    for (const older of this.#pending) {
      if (older === newer) return;
      if (older.kind !== "write" || older.inode !== newer.inode) continue;
      const from = Math.max(older.offset, newer.offset);
      const to = Math.min(older.offset + older.bytes.length, newer.offset + newer.bytes.length);
      if (from < to) older.bytes.set(newer.bytes.subarray(from - newer.offset, to - newer.offset), from - older.offset);
    }
  }

  /** After a failed sync: some of it reached the platter, and the rest never will, whoever syncs again. */
  #dropPending(operations: readonly Pending[]): void {
    for (const operation of operations) {
      if (operation.kind === "write") this.#applySectors(operation, this.#random);
    }
    this.#forget(operations);
  }

  #forget(operations: readonly Pending[]): void {
    const gone = new Set(operations);
    this.#pending = this.#pending.filter((operation) => !gone.has(operation));
  }

  /** A write of which each sector is there or is not. */
  #applySectors(operation: Pending, random: Random): void {
    assert(operation.kind === "write", "only writes have sectors");
    const { inode, offset, bytes } = operation;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes));
      if (random.whole(2) === 0) put(inode.platter, offset + at, bytes.subarray(at, end));
      at = end;
    }
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

/**
 * What a crash leaves. The first four end only the process, and its page cache lives on, still unsynced:
 * - `before`, `after`: the call did not happen at all, or whole;
 * - `half`: of a write the first half of the bytes;
 * - `cached`: all of it is in the cache, and nothing of it on the platter, though a durable write was asked for.
 *
 * The others are power loss, during the call, which had begun:
 * - `torn`: everything unsynced happens to be there, but the last write only in some of its 512-byte sectors;
 * - `lost`: nothing unsynced is there;
 * - `subset`: any part of what was unsynced, applied in any order;
 * - `renames-undone`: everything but the unsynced renames;
 * - `names-lost`: everything but the unsynced new names.
 */
export const crashModes = [
  "before",
  "after",
  "half",
  "cached",
  "torn",
  "lost",
  "subset",
  "renames-undone",
  "names-lost",
] as const;

export type CrashMode = (typeof crashModes)[number];

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

interface CallParts<T> {
  readonly life: number;
  readonly byteCount?: number;
  readonly settle?: (result: T) => void;
  readonly fail?: (result: T) => void;
  readonly half?: () => void;
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

function shuffle(list: unknown[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.whole(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
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
