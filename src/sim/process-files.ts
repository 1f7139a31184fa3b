import type { Random } from "../base/random.ts";
import type { FileSystem, FolderItem, OpenFile, OpenMode } from "../storage/file-system.ts";
import type { CachedDisk } from "./cached-disk.ts";
import { folderOf, type Inode, nameOf } from "./disk-image.ts";

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

/** What stands below the calls of a process. */
export interface CallGround {
  readonly disk: CachedDisk;
  /** Bytes that all files together may take. */
  readonly quotaBytes: number;
  /** Decides what a failed call leaves. */
  readonly random: Random;
  /** Whether names whose sync failed wait for the next one. */
  readonly keepsNames: boolean;
  /**
   * The way of every call: it is counted, it may be the last, it may fail. `act` has the effect the process sees; the
   * calls of a life that is over never settle.
   */
  call<T>(life: number, name: CallName, path: string, act: (short: boolean) => T, parts?: CallParts<T>): Promise<T>;
}

/** What a call does besides its effect for the process. */
export interface CallParts<T> {
  readonly byteCount?: number;
  readonly settle?: (result: T) => void;
  readonly fail?: (result: T) => void;
  /** What is written when the process dies in the middle of it. */
  readonly half?: { readonly inode: Inode; readonly position: number; readonly bytes: Uint8Array };
}

/**
 * The file system as one life of a process sees it. `sync` makes a file's bytes durable, `syncFolder` a folder's names, a
 * durable write itself; nothing else does.
 */
export class ProcessFiles implements FileSystem {
  readonly #ground: CallGround;
  readonly #life: number;

  constructor(ground: CallGround, life: number) {
    this.#ground = ground;
    this.#life = life;
  }

  get #disk(): CachedDisk {
    return this.#ground.disk;
  }

  #call<T>(name: CallName, path: string, act: (short: boolean) => T, parts?: CallParts<T>): Promise<T> {
    return this.#ground.call(this.#life, name, path, act, parts);
  }

  list(folder: string): Promise<FolderItem[]> {
    return this.#call("list", folder, () => {
      if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "list", folder);
      const items: FolderItem[] = [];
      for (const path of this.#disk.cache.names.keys()) {
        if (folderOf(path) === folder) items.push({ name: nameOf(path), folder: false });
      }
      for (const path of this.#disk.cache.folders) {
        if (path !== "" && folderOf(path) === folder) items.push({ name: nameOf(path), folder: true });
      }
      return items;
    });
  }

  makeFolder(folder: string): Promise<void> {
    return this.#call("makeFolder", folder, () => {
      if (this.#disk.cache.folders.has(folder)) throw systemError("EEXIST", "makeFolder", folder);
      if (!this.#disk.cache.folders.has(folderOf(folder))) throw systemError("ENOENT", "makeFolder", folder);
      this.#disk.makeFolder(folder);
    });
  }

  removeFolder(folder: string): Promise<void> {
    return this.#call("removeFolder", folder, () => {
      if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "removeFolder", folder);
      const isIn = (path: string): boolean => folderOf(path) === folder;
      const isEmpty = ![...this.#disk.cache.names.keys()].some(isIn) && ![...this.#disk.cache.folders].some(isIn);
      if (!isEmpty) throw systemError("ENOTEMPTY", "removeFolder", folder);
      this.#disk.removeFolder(folder);
    });
  }

  syncFolder(folder: string): Promise<void> {
    return this.#call(
      "syncFolder",
      folder,
      () => {
        if (!this.#disk.cache.folders.has(folder)) throw systemError("ENOENT", "syncFolder", folder);
        return this.#disk.unsyncedNames(folder);
      },
      {
        settle: (operations) => this.#disk.makeDurable(operations),
        fail: (operations) => {
          if (!this.#ground.keepsNames) this.#disk.drop(operations, this.#ground.random);
        },
      },
    ).then(nothing);
  }

  open(file: string, mode: OpenMode): Promise<OpenFile> {
    return this.#call("open", file, () => {
      const existing = this.#disk.cache.names.get(file);
      if (mode === "create") {
        if (existing !== undefined) throw systemError("EEXIST", "open", file);
        if (!this.#disk.cache.folders.has(folderOf(file))) throw systemError("ENOENT", "open", file);
        return this.#openFile(file, this.#disk.create(file), false);
      }
      if (existing === undefined) throw systemError("ENOENT", "open", file);
      return this.#openFile(file, existing, mode === "durable");
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call("rename", `${from} -> ${to}`, () => {
      const { names, folders } = this.#disk.cache;
      if (!names.has(from) || !folders.has(folderOf(to))) throw systemError("ENOENT", "rename", from);
      this.#disk.rename(from, to);
    });
  }

  unlink(file: string): Promise<void> {
    return this.#call("unlink", file, () => {
      if (!this.#disk.cache.names.has(file)) throw systemError("ENOENT", "unlink", file);
      this.#disk.unlink(file);
    });
  }

  space(): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.#call("space", "", () => {
      const totalBytes = Math.min(this.#ground.quotaBytes, 2 ** 50);
      return { freeBytes: Math.max(0, totalBytes - this.#disk.usedBytes), totalBytes };
    });
  }

  #openFile(path: string, inode: Inode, durable: boolean): OpenFile {
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
          { byteCount: into.length },
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
            byteCount: bytes.length,
            settle: (operation) => {
              if (durable) this.#disk.makeDurable([operation]);
            },
            fail: (operation) => {
              if (durable) this.#disk.drop([operation], this.#ground.random);
            },
            half: { inode, position, bytes: bytes.subarray(0, bytes.length >>> 1) },
          },
        ).then((operation) => operation.bytes.length),
      sync: () =>
        this.#call("sync", path, () => this.#disk.unsyncedWrites(inode), {
          settle: (operations) => this.#disk.makeDurable(operations),
          // What the kernel does: the pages are marked clean, so the next sync finds nothing to do and succeeds.
          fail: (operations) => this.#disk.drop(operations, this.#ground.random),
        }).then(nothing),
      size: () => this.#call("size", path, () => inode.cache.size),
      close: () => this.#call("close", path, () => undefined),
    };
  }

  #countThatFits(inode: Inode, position: number, count: number): number {
    const grows = Math.max(0, position + count - inode.cache.size);
    const lacking = Math.max(0, grows - Math.max(0, this.#ground.quotaBytes - this.#disk.usedBytes));
    return Math.max(0, count - lacking);
  }
}

function nothing(): void {
  return undefined;
}

export function systemError(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} ${path}`), { code });
}
