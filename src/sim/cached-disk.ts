import { assert, unreachable } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import type { PowerLossMode } from "./crash-modes.ts";
import {
  apply,
  contentOf,
  cut,
  emptyContent,
  emptyTree,
  fingerprintOf,
  folderOf,
  type Inode,
  pathOf,
  type Pending,
  put,
  reread,
  sectorBytes,
  share,
  type Tree,
  twinOf,
  unshare,
  type WriteOperation,
} from "./disk-image.ts";

/**
 * A disk with a page cache: what the process sees (the cache), what power loss leaves (the platter), and, in order, what
 * was done and not yet synced, which lies between the two.
 *
 * Only `makeDurable` moves anything to the platter, and what power loss, or a failed sync, happens to let through. A name
 * never carries content with it. Whoever calls has looked whether the files and folders are there.
 */
export class CachedDisk {
  #cache: Tree = emptyTree();
  #platter: Tree = emptyTree();
  #pending: Pending[] = [];
  #usedBytes = 0;

  get cache(): Readonly<Tree> {
    return this.#cache;
  }

  /** Bytes of all files in the cache. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How many operations power loss would put at risk now. */
  get unsynced(): number {
    return this.#pending.length;
  }

  // What a process does

  makeFolder(path: string): void {
    this.#do({ kind: "folder", path });
  }

  removeFolder(path: string): void {
    this.#do({ kind: "folder-gone", path });
  }

  create(path: string): Inode {
    const inode: Inode = { cache: emptyContent(), platter: emptyContent() };
    this.#do({ kind: "link", path, inode });
    return inode;
  }

  rename(from: string, to: string): void {
    const inode = this.#inode(from);
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
  }

  unlink(path: string): void {
    this.#usedBytes -= this.#inode(path).cache.size;
    this.#do({ kind: "unlink", path });
  }

  write(inode: Inode, offset: number, bytes: Uint8Array): WriteOperation {
    const before = inode.cache.size;
    const operation: WriteOperation = { kind: "write", inode, offset, bytes: bytes.slice() };
    put(inode.cache, offset, operation.bytes);
    this.#usedBytes += inode.cache.size - before;
    this.#pending.push(operation);
    return operation;
  }

  // What a sync does

  unsyncedWrites(inode: Inode): Pending[] {
    return this.#pending.filter((operation) => operation.kind === "write" && operation.inode === inode);
  }

  unsyncedNames(folder: string): Pending[] {
    return this.#pending.filter((operation) => operation.kind !== "write" && folderOf(pathOf(operation)) === folder);
  }

  makeDurable(operations: readonly Pending[]): void {
    for (const operation of operations) {
      apply(this.#platter, operation);
      if (operation.kind === "write") this.#supersede(operation);
    }
    this.#forget(operations);
  }

  /** After a failed sync: some of it reached the platter, and the rest never will, whoever syncs again. */
  drop(operations: readonly Pending[], random: Random): void {
    for (const operation of operations) {
      if (operation.kind === "write") applySectors(operation, random);
    }
    this.#forget(operations);
  }

  /** Power is lost: what is left is the platter, and of what was not synced what this mode lets through. */
  losePower(random: Random, mode: PowerLossMode): void {
    switch (mode) {
      case "torn": {
        const lastWrite = this.#pending.findLast((operation) => operation.kind === "write");
        for (const operation of this.#pending) {
          if (operation === lastWrite) applySectors(lastWrite, random);
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
          if (operation.kind === "write" && random.whole(3) === 0) applySectors(operation, random);
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
      default:
        unreachable(mode);
    }
    this.#pending = [];
    this.#cache = reread(this.#platter);
    this.#platter = { folders: new Set(this.#cache.folders), names: new Map(this.#cache.names) };
    this.#usedBytes = 0;
    for (const inode of this.#cache.names.values()) this.#usedBytes += inode.cache.size;
  }

  // What nobody on this machine did, in the cache and on the platter alike

  flip(file: string, offset: number, bit: number): void {
    const inode = this.#inode(file);
    assert(offset < inode.cache.size, `no byte ${offset} in ${file}`);
    for (const content of [inode.cache, inode.platter]) {
      unshare(content);
      if (offset < content.size) content.bytes[offset] = content.bytes[offset]! ^ (1 << bit);
    }
  }

  truncate(file: string, size: number): void {
    const inode = this.#inode(file);
    this.#usedBytes -= Math.max(0, inode.cache.size - size);
    for (const content of [inode.cache, inode.platter]) cut(content, size);
  }

  plant(file: string, bytes: Uint8Array): void {
    for (let folder = folderOf(file); folder !== ""; folder = folderOf(folder)) this.#plantFolder(folder);
    const replaced = this.#cache.names.get(file);
    if (replaced !== undefined) this.#usedBytes -= replaced.cache.size;
    this.#plantInode(file, { cache: contentOf(bytes), platter: contentOf(bytes) });
  }

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

  /** A disk with the same files, all of them durable. */
  copy(): CachedDisk {
    const copy = new CachedDisk();
    for (const folder of this.#cache.folders) copy.#plantFolder(folder);
    for (const [path, inode] of this.#cache.names) copy.plant(path, inode.cache.bytes.subarray(0, inode.cache.size));
    return copy;
  }

  /** A disk with what is durable here. */
  durableCopy(): CachedDisk {
    const copy = new CachedDisk();
    for (const folder of this.#platter.folders) copy.#plantFolder(folder);
    for (const [path, { platter }] of this.#platter.names) {
      copy.#plantInode(path, { cache: share(platter), platter: share(platter) });
    }
    return copy;
  }

  /** A disk in the very same state, and which of its inodes stands for which. */
  fork(): { fork: CachedDisk; inodes: ReadonlyMap<Inode, Inode> } {
    const { twin, inodes } = twinOf({ cache: this.#cache, platter: this.#platter, pending: this.#pending });
    const fork = new CachedDisk();
    fork.#cache = twin.cache;
    fork.#platter = twin.platter;
    fork.#pending = [...twin.pending];
    fork.#usedBytes = this.#usedBytes;
    return { fork, inodes };
  }

  /** The same for two disks that no process can tell apart, whatever crashes come: see `fingerprintOf`. */
  fingerprint(): string {
    const image = { cache: this.#cache, platter: this.#platter, pending: this.#pending };
    return `${this.#usedBytes}\n${fingerprintOf(image)}`;
  }

  #plantFolder(folder: string): void {
    this.#cache.folders.add(folder);
    this.#platter.folders.add(folder);
  }

  #plantInode(path: string, inode: Inode): void {
    this.#cache.names.set(path, inode);
    this.#platter.names.set(path, inode);
    this.#usedBytes += inode.cache.size;
  }

  #inode(file: string): Inode {
    const inode = this.#cache.names.get(file);
    assert(inode !== undefined, `no such file in the simulated disk: ${file}`);
    return inode;
  }

  #do(operation: Exclude<Pending, WriteOperation>): void {
    apply(this.#cache, operation);
    this.#pending.push(operation);
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

  #forget(operations: readonly Pending[]): void {
    const gone = new Set(operations);
    this.#pending = this.#pending.filter((operation) => !gone.has(operation));
  }
}

/** A write of which each sector is there or is not. */
function applySectors({ inode, offset, bytes }: WriteOperation, random: Random): void {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes));
    if (random.whole(2) === 0) put(inode.platter, offset + at, bytes.subarray(at, end));
    at = end;
  }
}

function shuffle(list: unknown[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.whole(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
}
