import { Worker } from "node:worker_threads";
import type { ChunkImage } from "../../storage/chunk/build-chunk.ts";
import type { BuildOrder, ChunkBuilder } from "../../storage/chunk/chunk-builder.ts";
import type { ChunkMeta } from "../../storage/chunk/chunk-layout.ts";
import type { RecordPart } from "../../storage/chunk/record-parts.ts";

/** A thread that has had nothing to do for so long is ended: it holds as much memory as it last needed. */
const idleMs = 10_000;

/**
 * Builds chunks in a thread of its own, which runs `program` (apps/cli/chunk-thread.ts). The thread is there while there
 * is something to build, and for a while after; it keeps no process alive.
 */
export function nodeChunkBuilder(program: URL): ChunkBuilder {
  return new NodeChunkBuilder(program);
}

interface Waiting {
  resolve(image: ChunkImage): void;
  reject(cause: unknown): void;
}

class NodeChunkBuilder implements ChunkBuilder {
  readonly #program: URL;
  #thread: Worker | null = null;
  #waiting: Waiting | null = null;
  #idle: NodeJS.Timeout | null = null;

  constructor(program: URL) {
    this.#program = program;
  }

  build(meta: ChunkMeta, records: readonly RecordPart[]): Promise<ChunkImage> {
    return new Promise((resolve, reject) => {
      if (this.#waiting !== null) {
        reject(new Error("a chunk is being built"));
        return;
      }
      // Both may throw: no thread may be had now. Then nobody waits, and the next order is tried anew.
      this.#thread ??= this.#begin();
      this.#thread.postMessage({ meta, records } satisfies BuildOrder);
      if (this.#idle !== null) clearTimeout(this.#idle);
      this.#waiting = { resolve, reject };
    });
  }

  #begin(): Worker {
    const thread = new Worker(this.#program);
    thread.unref();
    thread.on("message", (image: ChunkImage) => {
      this.#idle = setTimeout(() => this.#end(thread), idleMs).unref();
      this.#settle()?.resolve(image);
    });
    thread.on("error", (cause) => this.#failed(thread, cause));
    thread.on("exit", (code) => this.#failed(thread, new Error(`the thread that builds chunks ended with ${code}`)));
    return thread;
  }

  #settle(): Waiting | null {
    const waiting = this.#waiting;
    this.#waiting = null;
    return waiting;
  }

  #failed(thread: Worker, cause: unknown): void {
    // One that was ended because nothing was to be done has been forgotten already.
    if (thread !== this.#thread) return;
    this.#thread = null;
    this.#settle()?.reject(cause);
  }

  #end(thread: Worker): void {
    this.#thread = null;
    this.#idle = null;
    void thread.terminate();
  }
}
