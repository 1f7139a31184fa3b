/**
 * Raw primitives of a file system, as narrow as what Node gives and what the simulator can take apart. Only `Disk`
 * (disk.ts) uses it: there the primitives become promises about power loss. Every call is a place where the process
 * may die and where the call may fail, so there is one call for each thing that can go wrong by itself.
 *
 * Paths are relative to the data directory, parts joined with "/"; "" is the data directory. A failed call rejects with
 * an error that carries the system's code (`ENOENT`, `ENOSPC` …) as `code`.
 */
export interface FileSystem {
  /** What lies directly in a folder, in no order. Rejects with ENOENT when the folder is missing. */
  list(folder: string): Promise<FolderItem[]>;
  /** Makes one folder. Rejects with EEXIST when it is there, with ENOENT when its parent is not. */
  makeFolder(folder: string): Promise<void>;
  /** Removes an empty folder. Rejects with ENOTEMPTY when something lies in it. */
  removeFolder(folder: string): Promise<void>;
  /** Settles when the names in the folder would survive power loss. */
  syncFolder(folder: string): Promise<void>;
  open(file: string, mode: OpenMode): Promise<OpenFile>;
  /** Replaces `to` if it is there. Survives power loss only when both folders have been synced. */
  rename(from: string, to: string): Promise<void>;
  unlink(file: string): Promise<void>;
  /** Of the file system that holds the data directory. `freeBytes` is what this user may still write. */
  space(): Promise<{ freeBytes: number; totalBytes: number }>;
}

/**
 * - `read`: an existing file, only to be read.
 * - `create`: a new file, to be written; rejects with EEXIST when it is there.
 * - `durable`: an existing file, whose writes settle when they would survive power loss (O_DSYNC where it exists).
 */
export type OpenMode = "read" | "create" | "durable";

export interface FolderItem {
  readonly name: string;
  readonly folder: boolean;
}

export interface OpenFile {
  /** Reads into the whole of `into`. Settles with the count of bytes read, which may be short; 0 is the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /**
   * Settles with the count of bytes written, at least 1 and maybe short. Opened as `durable`, those bytes would survive
   * power loss then. A rejection means that the content of the whole range is unknown.
   */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** fdatasync: settles when content and size would survive power loss. A rejection is final: what was not synced is lost. */
  sync(): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** The system's code of a failed call, or "" when it carries none. */
export function systemCodeOf(cause: unknown): string {
  if (typeof cause !== "object" || cause === null || !("code" in cause) || typeof cause.code !== "string") return "";
  if ("errno" in cause && cause.code.startsWith("Unknown system error")) {
    return quotaErrors.includes(cause.errno) ? "EDQUOT" : cause.code;
  }
  return cause.code;
}

/** A quota that is used up: Node knows no name for it, so the number must do, that of Linux or of macOS and the BSDs. */
const quotaErrors: readonly unknown[] = [-122, -69];
