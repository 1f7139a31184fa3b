import { assert } from "../base/assert.ts";
import type { FileSystem, OpenFile, OpenMode } from "./file-system.ts";

/** Enough for the journal and the chunks in use, far below any limit of the system. */
const handlesMax = 64;

/** Nobody opens a file for long that is made new: `create` has a handle of its own. */
type KeptMode = Exclude<OpenMode, "create">;

interface Handle {
  readonly key: string;
  readonly opening: Promise<OpenFile>;
  users: number;
  /** No longer in the table; closed when the last user is done. */
  dropped: boolean;
}

/** File handles that are kept open between uses. One that failed is not used again: its error may have been told already. */
export class OpenHandles {
  readonly #fileSystem: FileSystem;
  /** By mode and file, least recently used first. */
  readonly #handles = new Map<string, Handle>();

  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  /** Rejects with what opening or `use` rejects with. */
  async use<T>(file: string, mode: KeptMode, use: (handle: OpenFile) => Promise<T>): Promise<T> {
    const handle = this.#take(file, mode);
    try {
      return await use(await handle.opening);
    } catch (cause) {
      this.#drop(handle);
      throw cause;
    } finally {
      await this.#giveBack(handle);
    }
  }

  /** Before a name gets another content. Who still reads through an old handle reads the old content. */
  async forget(file: string): Promise<void> {
    for (const mode of ["read", "durable"] as const) {
      const handle = this.#handles.get(keyOf(file, mode));
      if (handle === undefined) continue;
      this.#drop(handle);
      if (handle.users === 0) await closeQuietly(handle);
    }
  }

  /** None may be in use. */
  async close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    for (const handle of handles) {
      handle.dropped = true;
      assert(handle.users === 0, `the disk is closed while ${handle.key} is in use`);
      await closeQuietly(handle);
    }
  }

  #take(file: string, mode: KeptMode): Handle {
    const key = keyOf(file, mode);
    let handle = this.#handles.get(key);
    if (handle !== undefined) {
      handle.users++;
      if (mode === "read") {
        this.#handles.delete(key);
        this.#handles.set(key, handle);
      }
      return handle;
    }
    handle = { key, opening: this.#fileSystem.open(file, mode), users: 1, dropped: false };
    this.#handles.set(key, handle);
    if (this.#handles.size > handlesMax) this.#dropLeastUsed();
    return handle;
  }

  #giveBack(handle: Handle): Promise<void> | undefined {
    handle.users--;
    return handle.dropped && handle.users === 0 ? closeQuietly(handle) : undefined;
  }

  #drop(handle: Handle): void {
    handle.dropped = true;
    if (this.#handles.get(handle.key) === handle) this.#handles.delete(handle.key);
  }

  #dropLeastUsed(): void {
    for (const handle of this.#handles.values()) {
      if (handle.users > 0) continue;
      this.#drop(handle);
      void closeQuietly(handle);
      return;
    }
  }
}

const keyOf = (file: string, mode: KeptMode): string => `${mode}:${file}`;

/** Every write through a handle has settled by then, so an error of closing says nothing about any byte. */
async function closeQuietly(handle: Handle): Promise<void> {
  const open = await handle.opening.catch(() => null);
  await open?.close().catch(() => null);
}
