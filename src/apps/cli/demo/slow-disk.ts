import { setTimeout as pause } from "node:timers/promises";
import type { FileSystem, OpenFile } from "../../../storage/file-system.ts";

/**
 * A disk whose flushes take longer. What is written is written as ever, to the real disk, and settles so much later: the
 * server has to wait as it would for a disk that is busy.
 */
export class SlowDisk {
  /** How much longer every flush takes, from now on. */
  delayMs = 0;

  /** `inner`, with slower flushes. */
  over(inner: FileSystem): FileSystem {
    return {
      list: (folder) => inner.list(folder),
      makeFolder: (folder) => inner.makeFolder(folder),
      removeFolder: (folder) => inner.removeFolder(folder),
      syncFolder: (folder) => this.#slowly(inner.syncFolder(folder)),
      rename: (from, to) => inner.rename(from, to),
      unlink: (file) => inner.unlink(file),
      space: () => inner.space(),
      open: async (file, mode) => {
        const opened = await inner.open(file, mode);
        return mode === "read" ? opened : this.#file(opened, mode === "durable");
      },
    };
  }

  #file(inner: OpenFile, isDurable: boolean): OpenFile {
    return {
      read: (into, position) => inner.read(into, position),
      write: (bytes, position) => {
        const written = inner.write(bytes, position);
        return isDurable ? this.#slowly(written) : written;
      },
      sync: () => this.#slowly(inner.sync()),
      size: () => inner.size(),
      close: () => inner.close(),
    };
  }

  async #slowly<T>(done: Promise<T>): Promise<T> {
    const value = await done;
    if (this.delayMs > 0) await pause(this.delayMs);
    return value;
  }
}
