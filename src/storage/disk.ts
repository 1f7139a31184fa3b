import { assert } from "../base/assert.ts";
import type { Brand } from "../base/brand.ts";
import { Fault } from "../base/error-codes.ts";
import { systemCodeOf } from "./file-system.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import { OpenHandles } from "./open-handles.ts";

/** A file under the data directory: lower-case segments joined with "/", as in `journal/0000000001.wal`. */
export type FileName = Brand<string, "FileName">;

const fileNamePattern = /^[a-z0-9][a-z0-9._-]*(\/[a-z0-9][a-z0-9._-]*)*$/;

/** Where files go that can't be trusted (quarantine.ts). No other folder is given files of another. */
export const quarantineFolder = "quarantine";

/** What an unfinished `publish` or `allocate` leaves behind; nobody else may use names that end so. */
const unfinished = ".tmp";

export function fileName(name: string): FileName {
  assert(fileNamePattern.test(name) && name.length < 200, `not a file name: ${JSON.stringify(name.slice(0, 200))}`);
  assert(!name.endsWith(unfinished), `file names ending in ${unfinished} belong to the disk: ${name}`);
  return name as FileName;
}

/**
 * Why the disk could not do it. `full`: no space or quota left; `read-only`: the file system takes no writes;
 * `too-many-files`: the process or the system has no file handle left; `missing`: there is no such file;
 * `failed`: anything else, as a rule the device.
 */
export type DiskFaultKind = "full" | "read-only" | "failed" | "too-many-files" | "missing";

/** The disk refused. The message names the call, the file and the system's code. */
export class DiskFault extends Fault {
  readonly kind: DiskFaultKind;
  readonly file: string;

  constructor(options: { kind: DiskFaultKind; call: string; file: string; cause: unknown }) {
    const { kind, call, file, cause } = options;
    const detail = cause instanceof Error ? cause.message : String(cause);
    super(kind === "full" ? "storage_full" : "unavailable", `${call} ${file}: ${detail} (${kind})`, { cause });
    this.kind = kind;
    this.file = file;
  }
}

/** What reading needs of a disk. */
export type FileBytes = Pick<Disk, "sizeOf" | "read">;

/**
 * Files that survive a crash. Reads see every settled write. Every rejection is a `DiskFault`.
 *
 * The promises hold against power loss, on a file system that honours fdatasync, O_DSYNC and the sync of a folder.
 * A name appears only with its whole content: what `allocate` and `publish` have not finished is invisible, and is
 * removed when the folder is next written to.
 */
export interface Disk {
  /** The files directly in a folder, sorted; [] when the folder is missing. */
  list(folder: string): Promise<FileName[]>;
  /** The names of the folders directly in a folder ("" is the data directory), sorted; [] when it is missing. */
  folders(folder: string): Promise<string[]>;
  /** The size in bytes, or null when there is no such file. */
  sizeOf(file: FileName): Promise<number | null>;
  /** Fresh bytes, owned by the caller; shorter than asked only at the end of the file. */
  read(file: FileName, offset: number, length: number): Promise<Uint8Array>;
  /** Makes or replaces a file of `size` zeros. Settles when file, size and name would survive power loss. */
  allocate(file: FileName, size: number): Promise<void>;
  /**
   * Writes into an existing file. Settles when the bytes would survive power loss, whole: never short. A rejection means
   * that the content of that range is unknown. `bytes` may be reused once this settles. At most one write at a time
   * into one range.
   */
  writeDurable(file: FileName, offset: number, bytes: Uint8Array): Promise<void>;
  /**
   * Makes or replaces a file, whole or not at all. Settles when content and name would survive power loss. After a
   * rejection a new file is not there, unless the disk refused that too; publishing again makes it durable.
   */
  publish(file: FileName, parts: readonly Uint8Array[]): Promise<void>;
  /**
   * Settles when the new name would survive power loss. Replaces `to`. After a rejection the old name holds, unless the
   * disk refused that too, or `to` was there before; power loss may leave either.
   */
  rename(from: FileName, to: FileName): Promise<void>;
  /** Settles when the removal would survive power loss. No error when the file is missing. */
  remove(file: FileName): Promise<void>;
  /** Removes a folder that nothing lies in; does nothing when something does, or when it is missing. */
  removeEmptyFolder(folder: string): Promise<void>;
  space(): Promise<{ freeBytes: number; totalBytes: number }>;
  /** Closes the handles that were kept. Call it when nothing else is under way. */
  close(): Promise<void>;
}

/** Zeros are written in pieces of this size, each synced, so that other writes do not wait behind a whole segment of them. */
const zeroBytes = 1024 * 1024;

/** Parts are written this many bytes at a time: a write waits for a turn of the event loop, and those are long under load. */
const gatheredBytes = 2 * 1024 * 1024;

/** The same bytes in fewer pieces. */
function* gathered(parts: readonly Uint8Array[]): Generator<Uint8Array> {
  let from = 0;
  while (from < parts.length) {
    let to = from;
    let bytes = 0;
    while (to < parts.length && (to === from || bytes + parts[to]!.length <= gatheredBytes))
      bytes += parts[to++]!.length;
    if (to === from + 1) {
      yield parts[from]!;
    } else {
      const piece = new Uint8Array(bytes);
      let at = 0;
      for (const part of parts.slice(from, to)) {
        piece.set(part, at);
        at += part.length;
      }
      yield piece;
    }
    from = to;
  }
}

/** The one implementation, over whatever gives the primitives: the real file system or the simulated one. */
export function openDisk(fileSystem: FileSystem): Disk {
  return new FileSystemDisk(fileSystem);
}

class FileSystemDisk implements Disk {
  readonly #fileSystem: FileSystem;
  readonly #handles: OpenHandles;
  /** Folders known to be there, durable, and free of unfinished files. */
  readonly #entered = new Map<string, Promise<void>>();
  /** Settles when files that an earlier life has moved can't come back; null: not asked for yet. */
  #movesSynced: Promise<void> | null = null;
  /** Unfinished files that somebody is still filling. */
  readonly #drafts = new Set<string>();
  #draftCount = 0;

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
    this.#handles = new OpenHandles(fileSystem);
  }

  async list(folder: string): Promise<FileName[]> {
    const items = await this.#items(folder);
    const names = items.filter((item) => !item.folder && !item.name.endsWith(unfinished)).map((item) => item.name);
    return names.sort(byCodeUnit).map((name) => joined(folder, name) as FileName);
  }

  async folders(folder: string): Promise<string[]> {
    const items = await this.#items(folder);
    const names = items.filter((item) => item.folder).map((item) => item.name);
    return names.sort(byCodeUnit);
  }

  async #items(folder: string): Promise<readonly { name: string; folder: boolean }[]> {
    try {
      return await this.#fileSystem.list(folder);
    } catch (cause) {
      if (systemCodeOf(cause) === "ENOENT") return [];
      throw faultOf("list", folder, cause);
    }
  }

  async sizeOf(file: FileName): Promise<number | null> {
    try {
      return await this.#withHandle(file, "read", "measure", (handle) => handle.size());
    } catch (fault) {
      if (fault instanceof DiskFault && fault.kind === "missing") return null;
      throw fault;
    }
  }

  read(file: FileName, offset: number, length: number): Promise<Uint8Array> {
    return this.#withHandle(file, "read", "read", async (handle) => {
      const into = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const count = await handle.read(done === 0 ? into : into.subarray(done), offset + done);
        if (count === 0) break;
        done += count;
      }
      return done === length ? into : into.slice(0, done);
    });
  }

  async allocate(file: FileName, size: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(size, zeroBytes));
    await this.#replace("allocate", file, async (handle) => {
      for (let at = 0; at < size; at += zeros.length) {
        await writeAll(handle, size - at < zeros.length ? zeros.subarray(0, size - at) : zeros, at);
        if (at + zeros.length < size) await handle.sync();
      }
    });
  }

  async publish(file: FileName, parts: readonly Uint8Array[]): Promise<void> {
    await this.#replace("publish", file, async (handle) => {
      let at = 0;
      for (const bytes of gathered(parts)) {
        await writeAll(handle, bytes, at);
        at += bytes.length;
      }
    });
  }

  /** Content first, under a name nobody reads; then the content is synced; then the name; then the name is synced. */
  async #replace(call: string, file: FileName, fill: (handle: OpenFile) => Promise<void>): Promise<void> {
    const folder = folderOf(file);
    await this.#enter(folder);
    this.#draftCount++;
    const draft = `${file}.${this.#draftCount}${unfinished}`;
    this.#drafts.add(draft);
    const isNew = (await this.sizeOf(file)) === null;
    try {
      const handle = await this.#fileSystem.open(draft, "create");
      try {
        await fill(handle);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await this.#handles.forget(file);
      await this.#fileSystem.rename(draft, file);
      // Without this the name may be gone after power loss, however well the content was synced.
      await this.#fileSystem.syncFolder(folder).catch(async (cause: unknown) => {
        // Syncing again would settle and might bring nothing to the disk. Who tries again gives the name anew, and until
        // then nobody, not the next process either, takes a name for durable that may not be.
        if (isNew) await this.#fileSystem.unlink(file).catch(() => this.#entered.delete(folder));
        throw cause;
      });
    } catch (cause) {
      // The draft may be half of a file on a full disk. If it cannot be removed now, it is when the folder is next entered.
      await this.#fileSystem.unlink(draft).catch(() => this.#entered.delete(folder));
      throw faultOf(call, file, cause);
    } finally {
      this.#drafts.delete(draft);
    }
  }

  async writeDurable(file: FileName, offset: number, bytes: Uint8Array): Promise<void> {
    await this.#enter(folderOf(file));
    await this.#withHandle(file, "durable", "write", (handle) => writeAll(handle, bytes, offset));
  }

  async rename(from: FileName, to: FileName): Promise<void> {
    const source = folderOf(from);
    const target = folderOf(to);
    await this.#enter(target);
    const isNew = (await this.sizeOf(to)) === null;
    try {
      await this.#handles.forget(from);
      await this.#handles.forget(to);
      await this.#fileSystem.rename(from, to);
      // The new name first: in between the file may have both names, and never none.
      await this.#fileSystem.syncFolder(target).catch(async (cause: unknown) => {
        // Like a new file's: what may not be durable is found by nobody, this process included, as if it were. Whoever
        // writes there next syncs the folder first.
        this.#entered.delete(target);
        if (isNew) await this.#fileSystem.rename(to, from).catch(() => this.#entered.delete(source));
        throw cause;
      });
      if (source !== target) await this.#fileSystem.syncFolder(source);
    } catch (cause) {
      throw faultOf("rename", `${from} to ${to}`, cause);
    }
  }

  async remove(file: FileName): Promise<void> {
    const folder = folderOf(file);
    try {
      await this.#handles.forget(file);
      try {
        await this.#fileSystem.unlink(file);
      } catch (cause) {
        // Gone already: perhaps by an unlink that no sync has followed, so the folder is synced all the same.
        if (systemCodeOf(cause) !== "ENOENT") throw cause;
      }
      await this.#fileSystem.syncFolder(folder);
    } catch (cause) {
      if (systemCodeOf(cause) === "ENOENT") return;
      throw faultOf("remove", file, cause);
    }
  }

  async removeEmptyFolder(folder: string): Promise<void> {
    // Whoever writes there next makes it again.
    this.#entered.delete(folder);
    try {
      await this.#fileSystem.removeFolder(folder);
      await this.#fileSystem.syncFolder(folderOf(folder));
    } catch (cause) {
      if (["ENOTEMPTY", "EEXIST", "ENOENT"].includes(systemCodeOf(cause))) return;
      throw faultOf("remove folder", folder, cause);
    }
  }

  async space(): Promise<{ freeBytes: number; totalBytes: number }> {
    try {
      return await this.#fileSystem.space();
    } catch (cause) {
      throw faultOf("space", "of the data directory", cause);
    }
  }

  async close(): Promise<void> {
    this.#entered.clear();
    await this.#handles.close();
  }

  /**
   * Makes sure that the folder is there and durable, once for each life of this disk. What a listing shows after a
   * process was killed may be names that no sync has followed; from here on they are durable.
   */
  #enter(folder: string): Promise<void> {
    let entering = this.#entered.get(folder);
    if (entering === undefined) {
      entering = this.#enterOnce(folder);
      this.#entered.set(folder, entering);
      entering.catch(() => this.#entered.delete(folder));
    }
    return entering;
  }

  async #enterOnce(folder: string): Promise<void> {
    if (folder !== "" && folder !== quarantineFolder) await (this.#movesSynced ??= this.#syncMoves());
    if (folder !== "") {
      const parent = folderOf(folder);
      await this.#enter(parent);
      let isNew = true;
      try {
        await this.#fileSystem.makeFolder(folder);
      } catch (cause) {
        if (systemCodeOf(cause) !== "EEXIST") throw faultOf("make folder", folder, cause);
        isNew = false;
      }
      await this.#fileSystem.syncFolder(parent).catch(async (cause: unknown) => {
        // Like a file's: what may not be durable is made anew, and not found by anybody meanwhile.
        if (isNew) await this.#fileSystem.removeFolder(folder).catch(() => this.#entered.delete(parent));
        throw faultOf("sync folder", parent, cause);
      });
    }
    try {
      for (const item of await this.#fileSystem.list(folder)) {
        const file = joined(folder, item.name);
        if (item.folder || !item.name.endsWith(unfinished) || this.#drafts.has(file)) continue;
        await this.#fileSystem.unlink(file);
      }
      await this.#fileSystem.syncFolder(folder);
    } catch (cause) {
      throw faultOf("enter", folder === "" ? "the data directory" : folder, cause);
    }
  }

  // A process that was killed may have moved a file there, which no sync has followed: after power loss it would be back
  // where it was, though whoever wrote there meanwhile has not seen it.
  async #syncMoves(): Promise<void> {
    try {
      await this.#fileSystem.syncFolder(quarantineFolder);
    } catch (cause) {
      if (systemCodeOf(cause) === "ENOENT") return;
      this.#movesSynced = null;
      throw faultOf("sync folder", quarantineFolder, cause);
    }
  }

  async #withHandle<T>(
    file: FileName,
    mode: "read" | "durable",
    call: string,
    use: (handle: OpenFile) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#handles.use(file, mode, use);
    } catch (cause) {
      throw faultOf(call, file, cause);
    }
  }
}

/** Until every byte is written: a write may be short, above all the last one before the disk is full. */
async function writeAll(handle: OpenFile, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const count = await handle.write(done === 0 ? bytes : bytes.subarray(done), position + done);
    if (count <= 0) throw new Error("a write took no byte and gave no error");
    done += count;
  }
}

function faultOf(call: string, file: string, cause: unknown): DiskFault {
  if (cause instanceof DiskFault) return cause;
  return new DiskFault({ kind: kindOf(systemCodeOf(cause)), call, file, cause });
}

function kindOf(code: string): DiskFaultKind {
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return "full";
    case "EROFS":
      return "read-only";
    case "EMFILE":
    case "ENFILE":
      return "too-many-files";
    case "ENOENT":
      return "missing";
    default:
      return "failed";
  }
}

/** Sorts alike on every machine, whatever its locale. */
function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function folderOf(file: string): string {
  return file.slice(0, Math.max(0, file.lastIndexOf("/")));
}

function joined(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}
