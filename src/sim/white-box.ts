import { groupId } from "../base/ids.ts";
import type { Clock } from "../base/clock.ts";
import type { Limits } from "../base/limits.ts";
import { seededRandom } from "../base/random.ts";
import { millis, timestamp } from "../base/units.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { ApplySink } from "../rooms/apply-sink.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { recordSeq } from "../rooms/message-record.ts";
import type { Room } from "../rooms/room.ts";
import { sealReasons } from "../rooms/seal.ts";
import type { RecordRef } from "../server/history.ts";
import type { Log } from "../server/log.ts";
import type { PeerGround } from "../server/peers.ts";
import { recover } from "../server/recovery.ts";
import { messageOf } from "../server/requests.ts";
import type { Server } from "../server/server.ts";
import { defaultLinkLimits } from "../transport/link-limits.ts";
import { defaultLivenessTiming } from "../transport/liveness/liveness-timing.ts";
import type { ChunkNumber } from "../storage/chunk/chunk-layout.ts";
import { openChunkStore } from "../storage/chunk/chunk-store.ts";
import { openDisk } from "../storage/disk.ts";
import { verifyDirectory } from "../storage/verify.ts";
import type { RunMarks } from "./run-marks.ts";
import type { SimDisk } from "./sim-disk.ts";
import type { SimFileSystem } from "./sim-file-system.ts";
import { TraceHash } from "./trace-hash.ts";

const silent: Log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const unheard: ApplySink = { outcome: () => undefined, stored: () => undefined, changed: () => undefined };
/** For a recovery that nothing is going to follow: time stands still. */
const stillClock: Clock = {
  now: () => millis(0),
  wall: () => timestamp(0),
  after: () => ({ cancel: () => undefined }),
  defer: () => undefined,
};
/** Others that are never reached: a copy is only read. */
const unreachedPeers: PeerGround = {
  dialler: {
    dial: () => {
      throw new Error("a copy of a disk dials nobody");
    },
  },
  addresses: new Map(),
  limits: defaultLinkLimits,
  timing: defaultLivenessTiming,
};
const pageItems = 1_000;
const pageBytes = 1 << 20;

/**
 * Looks into a server while it runs, beside it and without touching it:
 *
 * 1. what is applied is durable: the durable part of the disk, recovered as after a power loss, reaches the same index
 * 2. replay is deterministic: the recovered state has the hash of the live one, at this index and at every earlier one
 *    that was looked at and is replayed
 * 3. no life of a server that is alone has applied less than an earlier life had
 *
 * Of several servers each has a box, and all share what is known of the states: at one index they have one state. What
 * one of them has applied is durable on a majority, and here only once its own disk has nothing left to write.
 */
export class WhiteBox {
  readonly #disk: () => SimDisk;
  readonly #limits: Limits;
  readonly #marks: RunMarks;
  readonly #violated: (what: string) => void;
  readonly #states: Map<number, string>;
  readonly #isAlone: boolean;
  readonly #seals = new Map<number, number>();
  readonly #rewritten = new Set<number>();
  readonly #firsts = new Map<string, number>();
  #server: Server | null = null;
  #counted = { chunkPages: 0, chunkFinds: 0, paused: 0 };
  #lastApplied = 0;
  #recovering = false;

  /** `states`: what several servers have in common, by index; left out: it is alone. */
  constructor(options: {
    disk: () => SimDisk;
    limits: Limits;
    marks: RunMarks;
    violated: (what: string) => void;
    states?: Map<number, string>;
  }) {
    this.#isAlone = options.states === undefined;
    this.#states = options.states ?? new Map<number, string>();
    this.#disk = options.disk;
    this.#limits = options.limits;
    this.#marks = options.marks;
    this.#violated = options.violated;
  }

  /** Chunks sealed so far that were seen to be. */
  get seals(): number {
    return this.#seals.size;
  }

  /** A server of this host has started, in a new life. */
  started(server: Server): void {
    if (this.#lastApplied > server.sealer.snapshotIndex) this.#marks.count("restart with replay");
    // What others know to be committed a new life has yet to hear from them, and applies it once more.
    if (!this.#isAlone) this.#firsts.clear();
    else if (server.state.appliedIndex < this.#lastApplied) {
      this.#violated(`${this.#lastApplied} was applied, and the next life knows only ${server.state.appliedIndex}`);
    }
    this.#server = server;
    this.#counted = { chunkPages: 0, chunkFinds: 0, paused: 0 };
  }

  /** Settles before the next event of the world, unless recovery hangs; that shows at the next look. */
  look(): void {
    const server = this.#server;
    if (server === null) return;
    this.#count(server);
    if (this.#recovering) {
      this.#violated("the recovery of a copy of the disk never ended");
      return;
    }
    const { appliedIndex } = server.state;
    const hash = server.state.hash();
    const before = this.#states.get(appliedIndex);
    if (before !== undefined && before !== hash)
      this.#violated(`the state at ${appliedIndex} is not the one that was seen there before`);
    this.#states.set(appliedIndex, hash);
    this.#lastApplied = Math.max(this.#lastApplied, appliedIndex);
    // What was written in this very moment has no age yet.
    if (!this.#isAlone && server.journal.flushed < server.journal.appended) return;
    this.#recovering = true;
    this.#recoverBeside(server, appliedIndex).then(
      () => {
        this.#recovering = false;
        this.#marks.count("copy recovered");
      },
      (cause: unknown) => {
        this.#recovering = false;
        this.#violated(`a copy of the disk at ${appliedIndex} can't be recovered: ${String(cause)}`);
      },
    );
  }

  #count(server: Server): void {
    const { chunkPages, chunkFinds } = server.history.counts;
    const { paused } = server.fanOut;
    this.#marks.count("page from a chunk", chunkPages - this.#counted.chunkPages);
    this.#marks.count("id lookup in a chunk", chunkFinds - this.#counted.chunkFinds);
    this.#marks.count("reader paused", paused - this.#counted.paused);
    this.#counted = { chunkPages, chunkFinds, paused };
    for (const { chunk, reason, generation } of server.state.chunks()) {
      if (generation > 0 && !this.#rewritten.has(chunk)) {
        this.#rewritten.add(chunk);
        this.#marks.count("chunk rewritten");
      }
      if (this.#seals.has(chunk)) continue;
      this.#seals.set(chunk, reason);
      const name =
        reason === sealReasons.day ? "day seal" : reason === sealReasons.full ? "full seal" : "pressure seal";
      this.#marks.count(name);
    }
    for (const { name, first } of server.state.rooms()) {
      const before = this.#firsts.get(name) ?? 1;
      if (first > before) this.#marks.count("room trimmed");
      if (first < before) this.#violated(`the first place of ${name} went back from ${before} to ${first}`);
      this.#firsts.set(name, first);
    }
  }

  async #recoverBeside(server: Server, applied: number): Promise<void> {
    const { state, remembered } = await recover(
      {
        disk: openDisk(this.#disk().fileSystem.durableCopy()),
        clock: stillClock,
        random: seededRandom(applied),
        log: silent,
        limits: this.#limits,
        node: server.node,
        owner: { cluster: server.state.cluster, incarnation: server.incarnation },
        acceptLoss: false,
        flush: { afterMs: 0, afterBytes: 0 },
        ...(this.#isAlone ? {} : { peers: unreachedPeers }),
      },
      { onFlushed: () => undefined, onFailed: () => undefined },
    );
    const entries = remembered.entries.filter(({ index }) => index > state.appliedIndex);
    for (const entry of entries) {
      if (entry.index > applied) break;
      state.apply(entry, entry.payload.slice(), unheard);
      this.#compare(state);
    }
    if (state.appliedIndex < applied) {
      this.#violated(`${applied} is applied, and only ${state.appliedIndex} is durable`);
    } else if (entries.length === 0) this.#compare(state);
  }

  #compare(state: GroupState): void {
    const live = this.#states.get(state.appliedIndex);
    if (live !== undefined && live !== state.hash()) {
      this.#violated(`the state replayed up to ${state.appliedIndex} is not the one that was live there`);
    }
  }
}

/** What a room holds, by name: the places it keeps, a hash over their messages, and the digest where there is one. */
export async function roomContents(server: Server): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const room of server.state.rooms()) {
    const { name, first, head } = room;
    const hash = await hashOfMessages(server, room, head);
    // A room that was deleted and made again, or lost a message, has no digests from there on.
    const hasDigests = room.digests.through === first - 1;
    const digest = hasDigests ? await server.digests.of(room, head) : "none";
    contents.set(name, `${first}–${head} ${hash} ${digest}`);
  }
  return contents;
}

/** What clients see of a message; what its orderer noted beside that is not kept in chunks. */
function contentOf(record: RecordRef): Uint8Array {
  return utf8(JSON.stringify(messageOf(record)));
}

async function hashOfMessages(server: Server, room: Room, to: number): Promise<string> {
  const hash = new TraceHash();
  for (let next: number = room.first; next <= to; ) {
    const wanted = { from: next, to, direction: "up", itemsMax: pageItems, bytesMax: pageBytes } as const;
    const page = await server.history.page(room, wanted);
    if (page.length === 0) throw new Error(`message ${next} of ${room.name} can't be read`);
    for (const { seq, bytes, offset } of page) {
      if (seq !== next || recordSeq(bytes, offset) !== seq) throw new Error(`${room.name} has ${seq} in place ${next}`);
      hash.bytes(contentOf({ seq, bytes, offset }));
      next++;
    }
  }
  return hash.digest();
}

/**
 * Reads what is sealed straight from the files of a stopped server and compares it with what the server read from
 * wherever it was. Answers what differs.
 */
export async function sealedDifferences(server: Server, files: SimFileSystem): Promise<string[]> {
  const { state } = server;
  const store = await openChunkStore({
    disk: openDisk(files),
    cluster: state.cluster,
    group: groupId(0),
    readOnly: true,
  });
  const differences: string[] = [];
  for (const room of state.rooms()) {
    const hash = new TraceHash();
    let next: number = room.first;
    for (let i = room.runs.find(next); i < room.runs.length; i++) {
      const chunk = room.runs.chunk(i) as ChunkNumber;
      // Sealed in the log, and not built yet when the server stopped: the journal still has it.
      if (!store.has(chunk)) break;
      const to = room.runs.lastSeq(i);
      const page = await store.read(chunk, room.nameBytes, {
        from: next,
        to,
        direction: "up",
        itemsMax: Number.MAX_SAFE_INTEGER,
        bytesMax: Number.MAX_SAFE_INTEGER,
      });
      for (const bytes of page.records) hash.bytes(contentOf({ seq: recordSeq(bytes, 0), bytes, offset: 0 }));
      if (page.records.length !== to - next + 1) {
        differences.push(`chunk ${chunk} has ${page.records.length} messages of ${room.name} in ${next}…${to}`);
      }
      next = to + 1;
    }
    if ((await hashOfMessages(server, room, next - 1)) !== hash.digest()) {
      differences.push(`the chunks of ${room.name} up to ${next - 1} hold something else than the server answers`);
    }
  }
  return differences;
}

/** What `synod verify` finds wrong in the files of this server, knowing which chunks retention has emptied since the snapshot. */
export async function verifyFindings(server: Server, files: SimFileSystem, limits: Limits): Promise<string[]> {
  const { damage } = await verifyDirectory({
    disk: openDisk(files),
    segmentBytes: limits.segmentBytes,
    neededChunks: () => [...server.state.chunks()],
  });
  return damage.map(({ file, offset, length, what }) => `verify: ${file} ${offset}…${offset + length}: ${what}`);
}
