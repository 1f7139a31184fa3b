import type { Clock, Timer } from "../../base/clock.ts";
import type { GroupId, NodeName } from "../../base/ids.ts";
import { millis } from "../../base/units.ts";
import type { ChunkNumber } from "../../storage/chunk/chunk-layout.ts";
import type { ChunkStore } from "../../storage/chunk/chunk-store.ts";
import type { Disk } from "../../storage/disk.ts";
import { latestSnapshot, snapshotHead, type SnapshotOwner } from "../../storage/snapshot-file.ts";
import type { Log } from "../log.ts";
import { type CatchUpFrame, encodeCatchUp, type Item, type Want } from "./catch-up-frames.ts";

/** What became of a frame for another server. After `full` the way to it opens again, and that is told. */
export type BulkOutcome = "taken" | "full" | "no-link";

/** The bulk lane to other servers. */
export type SendBulk = (to: NodeName, kind: number, payload: Uint8Array) => BulkOutcome;

/** Requests of one server that wait here; who asks for more loses them, and asks again when nothing comes. */
const wantsMax = 64;
/** A snapshot stays in memory so long after it was last asked for: no newer one takes its place meanwhile. */
const snapshotIdleMs = 30_000;

/** Whom one server's requests are answered, one after the other. */
interface Line {
  readonly wants: Want[];
  /** What did not fit on the way. */
  held: { kind: number; payload: Uint8Array } | null;
  isWorking: boolean;
}

/** A snapshot as it is sent, and where it stands in the log. */
interface Served {
  readonly index: number;
  readonly head: Uint8Array;
  readonly state: Uint8Array;
}

/**
 * Gives others what they lack, from this disk. One piece at a time for each of them, and the next one when the lane has
 * taken it, so that nobody who catches up holds more here than a request and a piece.
 */
export class Supplier {
  readonly #disk: Disk;
  readonly #owner: SnapshotOwner;
  readonly #group: GroupId;
  readonly #chunks: ChunkStore;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #send: SendBulk;
  readonly #lines = new Map<NodeName, Line>();
  #served: Served | null = null;
  #loading: Promise<Served | null> | null = null;
  #idle: Timer | null = null;
  #isStopped = false;
  /** Bytes given to others since the start. */
  suppliedBytes = 0;

  constructor(options: {
    disk: Disk;
    owner: SnapshotOwner;
    group: GroupId;
    chunks: ChunkStore;
    clock: Clock;
    log: Log;
    send: SendBulk;
  }) {
    this.#disk = options.disk;
    this.#owner = options.owner;
    this.#group = options.group;
    this.#chunks = options.chunks;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#send = options.send;
  }

  wanted(from: NodeName, want: Want): void {
    let line = this.#lines.get(from);
    if (line === undefined) this.#lines.set(from, (line = { wants: [], held: null, isWorking: false }));
    if (line.wants.length >= wantsMax) return;
    line.wants.push(want);
    this.#work(from, line);
  }

  /** The way to a server is open again. */
  room(to: NodeName): void {
    const line = this.#lines.get(to);
    if (line !== undefined) this.#work(to, line);
  }

  /** Nothing reaches it any more; what it asked for, it asks for elsewhere. */
  lost(peer: NodeName): void {
    const line = this.#lines.get(peer);
    if (line === undefined) return;
    line.wants.length = 0;
    line.held = null;
    this.#lines.delete(peer);
  }

  stop(): void {
    this.#isStopped = true;
    this.#idle?.cancel();
    this.#served = null;
    for (const peer of this.#lines.keys()) this.lost(peer);
  }

  #work(to: NodeName, line: Line): void {
    if (line.isWorking) return;
    line.isWorking = true;
    this.#answerAll(to, line).catch((cause: unknown) => this.#log.error("catch-up.not.supplied", { peer: to, cause }));
  }

  async #answerAll(to: NodeName, line: Line): Promise<void> {
    try {
      await this.#answer(to, line);
    } finally {
      // Before anybody else has a turn: what is asked for from now on needs somebody to begin.
      line.isWorking = false;
    }
  }

  async #answer(to: NodeName, line: Line): Promise<void> {
    for (;;) {
      if (line.held === null) {
        const want = line.wants.shift();
        if (want === undefined) return;
        line.held = encodeCatchUp(await this.#answerTo(want));
      }
      // Lost while the disk was read, or there is no server any more.
      if (this.#isStopped || this.#lines.get(to) !== line) return;
      const { kind, payload } = line.held;
      const outcome = this.#send(to, kind, payload);
      if (outcome === "full") return;
      if (outcome === "taken") this.suppliedBytes += payload.length;
      line.held = null;
    }
  }

  async #answerTo(want: Want): Promise<CatchUpFrame> {
    const { request, item, offset, length } = want;
    try {
      const found = item.group === this.#group ? await this.#find(item, offset, length) : null;
      if (found !== null && found.bytes.length > 0) return { type: "piece", request, offset, ...found };
    } catch (cause) {
      // Somebody else may have it whole.
      this.#log.warn("catch-up.not.read", { ...item, cause });
    }
    return { type: "absent", request };
  }

  async #find(
    item: Item,
    offset: number,
    length: number,
  ): Promise<{ item: Item; bytes: Uint8Array; total: number } | null> {
    if (item.kind === "chunk") {
      const part = await this.#chunks.part(item.number as ChunkNumber, item.generation, { offset, length });
      return part === null ? null : { item, ...part };
    }
    const served = await this.#snapshot(item.number, offset === 0);
    if (served === null) return null;
    const { index, head, state } = served;
    const bytes = new Uint8Array(Math.max(0, Math.min(length, head.length + state.length - offset)));
    for (const [part, start] of [
      [head, 0],
      [state, head.length],
    ] as const) {
      const from = Math.max(0, offset - start);
      const to = Math.min(part.length, offset + bytes.length - start);
      if (from < to) bytes.set(part.subarray(from, to), start + from - offset);
    }
    return { item: { ...item, number: index }, bytes, total: head.length + state.length };
  }

  /** The snapshot at `index`; at the beginning of one a later one will do. */
  async #snapshot(index: number, mayBeLater: boolean): Promise<Served | null> {
    const fits = (served: Served): boolean => (mayBeLater ? served.index >= index : served.index === index);
    if (this.#served !== null && fits(this.#served)) {
      this.#keep(this.#served);
      return this.#served;
    }
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null;
    });
    const loaded = await this.#loading;
    return loaded !== null && fits(loaded) ? loaded : null;
  }

  /** All of it is read and checked: nobody gets a damaged one, and none vanishes while it is sent. */
  async #load(): Promise<Served | null> {
    const { snapshot } = await latestSnapshot(this.#disk, this.#owner, this.#group);
    if (snapshot === null) return null;
    const served = { index: snapshot.index, head: snapshotHead(snapshot), state: snapshot.state };
    this.#keep(served);
    return served;
  }

  #keep(served: Served): void {
    this.#idle?.cancel();
    if (this.#isStopped) return;
    this.#served = served;
    this.#idle = this.#clock.after(millis(snapshotIdleMs), () => {
      this.#served = null;
    });
  }
}
