import type { FileName } from "../disk.ts";
import type { PieceKind } from "../piece.ts";
import { ByteCache } from "./byte-cache.ts";
import type { ChunkFile } from "./chunk-file.ts";
import type { ChunkFooter, PieceRef } from "./chunk-layout.ts";
import type { PieceSource } from "./chunk-reader.ts";
import { ReadGate } from "./read-gate.ts";

export interface ChunkStoreSettings {
  /** Reads of history at the same time: at most the thread pool less two. @defaultValue 8 */
  readonly readsInFlightMax: number;
  /** Reads that may wait for a place; beyond, readers are refused with `overloaded`. @defaultValue 4096 */
  readonly readsWaitingMax: number;
  /** Bytes of footers kept. @defaultValue 8 MiB */
  readonly footerCacheBytes: number;
  /** Bytes of blocks and index pieces kept. @defaultValue 32 MiB */
  readonly blockCacheBytes: number;
}

export const defaultChunkStoreSettings: ChunkStoreSettings = {
  readsInFlightMax: 8,
  readsWaitingMax: 4_096,
  footerCacheBytes: 8 * 1024 * 1024,
  blockCacheBytes: 32 * 1024 * 1024,
};

/**
 * Footers and pieces of chunks as they are read: so many at a time, each checked, the ones read last kept in memory.
 *
 * 1. two who want the same piece at the same time share one read
 * 2. what did not hold is kept by nobody: the next one reads it again
 */
export class ChunkPieces {
  readonly #gate: ReadGate;
  readonly #footers: ByteCache<ChunkFooter>;
  readonly #pieces: ByteCache<Uint8Array>;
  /** What is being read now. */
  readonly #loading = new Map<string, Promise<unknown>>();

  constructor(settings: ChunkStoreSettings) {
    this.#gate = new ReadGate({ inFlightMax: settings.readsInFlightMax, waitingMax: settings.readsWaitingMax });
    this.#footers = new ByteCache(settings.footerCacheBytes);
    this.#pieces = new ByteCache(settings.blockCacheBytes);
  }

  /** Reads when it is this one's turn. Rejects with `overloaded` when too many wait. */
  read<T>(read: () => Promise<T>): Promise<T> {
    return this.#gate.run(read);
  }

  /** A chunk to read from. */
  async source(file: ChunkFile): Promise<PieceSource> {
    const footer = await this.footer(file);
    return {
      footer,
      piece: (kind, number, ref) => this.#piece(file, kind, number, ref),
      damage: (offset, length, what) => file.damage(offset, length, what),
    };
  }

  footer(file: ChunkFile): Promise<ChunkFooter> {
    const kept = this.#footers.get(file.file);
    if (kept !== undefined) return Promise.resolve(kept);
    return this.#load(file.file, async () => {
      await this.#gate.run(() => file.checkHeader());
      const { footer, tail } = await this.#gate.run(() => file.readFooter());
      // Parsed tables take about four times their bytes.
      this.#footers.put(file.file, footer, tail.length * 4);
      return footer;
    });
  }

  /** Nothing of this file is kept any more. */
  forget(file: FileName): void {
    this.#footers.delete(file);
    this.#pieces.deleteAll(`${file}:`);
  }

  #piece(file: ChunkFile, kind: PieceKind, number: number, ref: PieceRef): Promise<Uint8Array> {
    const key = `${file.file}:${ref.offset}`;
    const kept = this.#pieces.get(key);
    if (kept !== undefined) return Promise.resolve(kept);
    return this.#load(key, async () => {
      const payload = await this.#gate.run(() => file.readPiece(kind, number, ref));
      this.#pieces.put(key, payload, ref.length);
      return payload;
    });
  }

  #load<T>(key: string, read: () => Promise<T>): Promise<T> {
    const running = this.#loading.get(key);
    // One key is always read by the same function, so what is running answers this type.
    if (running !== undefined) return running as Promise<T>;
    const loading = read().finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading;
  }
}
