import type { Clock } from "../base/clock.ts";
import { entryTypes } from "../base/entry.ts";
import type { Limits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { firstKept, keptFromDay } from "../rooms/retention.ts";
import type { Room } from "../rooms/room.ts";
import { encodeRewrite, sealReasons } from "../rooms/seal.ts";
import type { Damage } from "../storage/damage.ts";
import type { Disk } from "../storage/disk.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { AnswerTurns } from "./answer-turns.ts";
import type { JournalScrub } from "./journal-scrub.ts";
import type { Log } from "./log.ts";
import type { Orderer } from "./orderer.ts";
import type { Proposals } from "./proposals.ts";
import type { NewerFormat } from "../storage/newer-format.ts";
import type { Scrub } from "../storage/scrub.ts";
import type { Sealer } from "./sealer.ts";
import type { Session } from "./session.ts";
import type { Trimmer } from "./trimmer.ts";

const tickMs = 1_000;
/** Every how many ticks retention is looked at. */
const retentionEvery = 30;
/** Looks at a journal that waits for space, after which whoever waits for it is told that the outcome is open. */
const undecidedAfterTicks = 4;
/** Pieces of about 64 KiB that the scrub reads in a second. */
const scrubPieces = 4;
/** Damaged places that are remembered; of a disk with more of them no more need be said. */
const damagedPlacesMax = 10_000;
/** Clients that are let go in one turn: about a millisecond of one core. */
const letGoPerTurn = 16;
/** Rooms looked at in one go. */
const roomsAtOnce = 2_000;

/**
 * What a server does by the clock: seals a day that is over, watches the disk, lets go of silent clients, and proposes
 * what retention asks for. It decides nothing that counts: all of that is entries of the log.
 */
export class Upkeep {
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #disk: Disk;
  readonly #proposals: Proposals;
  readonly #state: GroupState;
  readonly #leads: () => boolean;
  readonly #orderer: Orderer;
  readonly #sealer: Sealer;
  readonly #trimmer: Trimmer;
  readonly #log: Log;
  readonly #sessions: () => Iterable<Session>;
  readonly #turns: AnswerTurns;
  readonly #journal: Pick<Journal, "stats" | "useReserve">;
  readonly #giveBack: (room: Room) => void;
  readonly #scrub: Scrub;
  readonly #journalScrub: JournalScrub;
  readonly #onDamaged: (chunk: number) => void;
  readonly #onJournalDamaged: () => void;
  readonly #onSpace: (freeBytes: number) => void;
  #scrubbing: Promise<void> | null = null;
  #looking: Promise<void> | null = null;
  /** Damaged places that the scrub has found, and chunks it has found whole, since the start. */
  readonly scrubbed = { damaged: 0, whole: 0 };
  readonly #damaged = new Set<string>();
  #ticks = 0;
  #timer: { cancel(): void } | null = null;
  #isFull = false;
  #waitingTicks = 0;
  /** What rooms keep of each chunk, in bytes, counted while the rooms are gone through, up to the last chunk at the beginning. */
  #kept: { through: number; bytes: Map<number, number> } = { through: 0, bytes: new Map() };
  #rooms: Iterator<Room> | null = null;
  /** Sessions that are still to be looked at; null between two rounds. */
  #checking: Iterator<Session> | null = null;
  /** Free bytes of the disk at the last look; null before the first. */
  freeBytes: number | null = null;

  constructor(options: {
    clock: Clock;
    limits: Limits;
    disk: Disk;
    proposals: Proposals;
    state: GroupState;
    /** Whether this server orders: only then does it propose anything. */
    leads: () => boolean;
    orderer: Orderer;
    sealer: Sealer;
    trimmer: Trimmer;
    log: Log;
    sessions: () => Iterable<Session>;
    turns: AnswerTurns;
    journal: Pick<Journal, "stats" | "useReserve">;
    giveBack: (room: Room) => void;
    scrub: Scrub;
    journalScrub: JournalScrub;
    /** The scrub has found a chunk to be damaged. */
    onDamaged: (chunk: number) => void;
    /** The scrub has found the journal to be damaged; told again whenever it is found. */
    onJournalDamaged: () => void;
    /** So much of the disk is free. */
    onSpace: (freeBytes: number) => void;
  }) {
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#disk = options.disk;
    this.#proposals = options.proposals;
    this.#state = options.state;
    this.#leads = options.leads;
    this.#orderer = options.orderer;
    this.#sealer = options.sealer;
    this.#trimmer = options.trimmer;
    this.#log = options.log;
    this.#sessions = options.sessions;
    this.#turns = options.turns;
    this.#journal = options.journal;
    this.#giveBack = options.giveBack;
    this.#scrub = options.scrub;
    this.#journalScrub = options.journalScrub;
    this.#onDamaged = options.onDamaged;
    this.#onJournalDamaged = options.onJournalDamaged;
    this.#onSpace = options.onSpace;
  }

  /** Whether new sends are refused because the disk is full. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Looks at the disk, and goes on by the clock. Settles after that first look: nobody is let in before it. */
  async start(): Promise<void> {
    this.#goOn();
    await this.#look();
  }

  #goOn(): void {
    this.#timer = this.#clock.after(millis(tickMs), () => this.#tick());
  }

  /** Begins nothing more; settles when nothing reads the disk any more. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    await Promise.all([this.#scrubbing, this.#looking, this.#trimmer.stop()]);
  }

  get #isStopped(): boolean {
    return this.#timer === null;
  }

  #tick(): void {
    this.#ticks++;
    this.#proposals.sealPastDay();
    if (this.#checking === null) {
      this.#checking = this.#sessions()[Symbol.iterator]();
      this.#checkSessions();
    }
    const dropped = this.#turns.look();
    if (dropped > 0) this.#log.warn("clients.slow.dropped", { connections: dropped });
    if (this.#ticks % retentionEvery === 0 || this.#rooms !== null) this.#retain();
    void this.#look();
    this.#scrubbing ??= this.#scrubABit()
      .catch((cause: unknown) => this.#log.warn("scrub.stopped", { cause }))
      .finally(() => {
        this.#scrubbing = null;
      });
    if (!this.#isStopped) this.#goOn();
  }

  // Letting somebody go costs an answer and a close; thousands in one turn would keep everybody else waiting.
  #checkSessions(): void {
    const now = this.#clock.now();
    for (let letGo = 0; letGo < letGoPerTurn; ) {
      const next = this.#checking?.next();
      if (next === undefined || next.done === true || this.#isStopped) {
        this.#checking = null;
        return;
      }
      if (next.value.checkAlive(now)) letGo++;
    }
    this.#clock.defer(() => this.#checkSessions());
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookAtDisk()
      .catch((cause: unknown) => this.#log.warn("disk.space.unknown", { cause }))
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  // A few pieces a second: the whole history once in a while, without being in anybody's way.
  async #scrubABit(): Promise<void> {
    for (let piece = 0; piece < scrubPieces && !this.#isStopped; piece++) {
      const damage = await this.#journalScrub.step();
      if (damage === null) continue;
      this.#noteDamage(damage, "journal.damaged");
      this.#onJournalDamaged();
    }
    for (let piece = 0; piece < scrubPieces && !this.#isStopped; piece++) {
      const step = await this.#scrub.step();
      if (step.state === "idle") return;
      if (step.state === "newer") this.#noteNewer(step.newer);
      if (step.state !== "checked") continue;
      for (const damage of step.damage) this.#noteDamage(damage);
      if (step.damage.length > 0) this.#onDamaged(step.chunk);
      if (step.damage.length === 0) this.scrubbed.whole++;
    }
  }

  #noteNewer({ file, message }: NewerFormat): void {
    if (this.#damaged.has(file) || this.#damaged.size >= damagedPlacesMax) return;
    this.#damaged.add(file);
    this.#log.error("chunk.newer-format", { file, what: message });
  }

  /** Every pass finds again what nobody has mended: it is told and counted once. */
  #noteDamage(damage: Damage, event = "chunk.damaged"): void {
    const place = `${damage.file} ${damage.offset} ${damage.length}`;
    if (this.#damaged.has(place)) return;
    if (this.#damaged.size < damagedPlacesMax) this.#damaged.add(place);
    else if (this.scrubbed.damaged >= damagedPlacesMax) return;
    this.scrubbed.damaged++;
    this.#log.error(event, { ...damage });
  }

  async #lookAtDisk(): Promise<void> {
    const { freeBytes } = await this.#disk.space();
    if (this.#isStopped) return;
    this.freeBytes = freeBytes;
    this.#onSpace(freeBytes);
    const reserve = this.#limits.diskReserveBytes;
    // What was under way when the disk became full would wait as long as the disk does.
    const waits = this.#journal.stats().waitsForSpace;
    this.#waitingTicks = waits ? this.#waitingTicks + 1 : 0;
    if (this.#waitingTicks >= undecidedAfterTicks) this.#proposals.tellUndecided();
    const isFull = waits || freeBytes < (this.#isFull ? reserve * 1.25 : reserve);
    if (isFull === this.#isFull) {
      if (!isFull) {
        this.#journal.useReserve(false);
        this.#sealer.again();
      }
      return;
    }
    this.#isFull = isFull;
    if (isFull) {
      this.#log.error("disk.full", { freeBytes, reserveBytes: reserve });
      this.#orderer.closed = {
        code: "storage_full",
        message: `the disk is full: ${wholeMiB(freeBytes)} MiB are free, and ${wholeMiB(reserve)} MiB are kept free; nothing is lost, nothing new is taken`,
      };
      // What makes room is put in order like everything else.
      this.#journal.useReserve(true);
      // What is sealed lets go of journal segments, which are larger than the chunk made from them.
      this.#proposals.seal(sealReasons.pressure);
    } else {
      this.#log.info("disk.space.again", { freeBytes });
      this.#journal.useReserve(false);
      this.#orderer.closed = null;
      this.#sealer.again();
    }
  }

  // Goes through the rooms in portions, so that many rooms do not stop the server.
  #retain(): void {
    const state = this.#state;
    if (!this.#leads()) {
      this.#rooms = null;
      return;
    }
    if (this.#rooms === null) {
      this.#rooms = state.rooms();
      this.#kept = { through: state.lastChunk, bytes: new Map() };
    }
    const cluster = {
      now: state.lastTs,
      keptFromDay: keptFromDay(state.lastDay, state.retentionDays),
      dayOf: (chunk: number) => state.chunk(chunk)?.day ?? 0,
    };
    for (let i = 0; i < roomsAtOnce; i++) {
      const next = this.#rooms.next();
      if (next.done === true) {
        this.#rooms = null;
        this.#rewriteSparse();
        return;
      }
      const room = next.value;
      // What a reader has kept from being given back, or a trim has emptied since.
      if (room.isIdle) this.#giveBack(room);
      this.#countKept(room);
      const first = firstKept(room, cluster);
      if (first > room.first) {
        this.#trimmer.want(room, first);
      }
    }
  }

  #countKept(room: Room): void {
    const { runs, first } = room;
    const { bytes } = this.#kept;
    for (let run = 0; run < runs.length; run++) {
      const chunk = runs.chunk(run);
      bytes.set(chunk, (bytes.get(chunk) ?? 0) + runs.keptBytes(run, first));
    }
  }

  // A chunk most of which was removed since it was last written is written again without it, one at a time. Each time it
  // has at most half the bytes it had, so this comes to an end.
  #rewriteSparse(): void {
    const state = this.#state;
    if (this.#sealer.backlog > 0) return;
    for (const { chunk, bytes, generation } of state.chunks()) {
      // What was sealed while the rooms were gone through was not counted in all of them.
      if (chunk > this.#kept.through) return;
      if ((this.#kept.bytes.get(chunk) ?? 0) * 2 >= bytes) continue;
      this.#proposals.order(entryTypes.rewrite, encodeRewrite({ chunk, generation: generation + 1 }));
      return;
    }
  }
}

const wholeMiB = (bytes: number): number => Math.round(bytes / 1_048_576);
