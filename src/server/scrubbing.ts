import type { Damage } from "../storage/damage.ts";
import type { NewerFormat } from "../storage/newer-format.ts";
import type { Scrub } from "../storage/scrub.ts";
import type { JournalScrub } from "./journal-scrub.ts";
import type { Log } from "./log.ts";

/** Pieces of about 64 KiB that are read each time. */
const piecesAtOnce = 4;
/** Damaged places that are remembered; of a disk with more of them no more need be said. */
const damagedPlacesMax = 10_000;

/**
 * Reads journal and history again and again, a few pieces at a time, without being in anybody's way, so that damage is
 * found while there is still somebody to mend it. Each place is told and counted once.
 */
export class Scrubbing {
  /** Damaged places that were found, and chunks that were found whole, since the start. */
  readonly found = { damaged: 0, whole: 0 };
  readonly #scrub: Scrub;
  readonly #journalScrub: JournalScrub;
  readonly #log: Log;
  readonly #onDamaged: (chunk: number) => void;
  readonly #onJournalDamaged: () => void;
  readonly #told = new Set<string>();
  #isStopped = false;
  #reading: Promise<void> | null = null;

  constructor(options: {
    scrub: Scrub;
    journalScrub: JournalScrub;
    log: Log;
    /** A chunk is damaged. */
    onDamaged: (chunk: number) => void;
    /** The journal is damaged; told again whenever it is found. */
    onJournalDamaged: () => void;
  }) {
    this.#scrub = options.scrub;
    this.#journalScrub = options.journalScrub;
    this.#log = options.log;
    this.#onDamaged = options.onDamaged;
    this.#onJournalDamaged = options.onJournalDamaged;
  }

  /** To be called once a second: reads the next few pieces, unless the last ones are still being read. */
  goOn(): void {
    this.#reading ??= this.#read()
      .catch((cause: unknown) => this.#log.warn("scrub.stopped", { cause }))
      .finally(() => {
        this.#reading = null;
      });
  }

  /** Begins nothing more; settles when nothing is being read any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#reading;
  }

  async #read(): Promise<void> {
    for (let piece = 0; piece < piecesAtOnce && !this.#isStopped; piece++) {
      const damage = await this.#journalScrub.step();
      if (damage === null) continue;
      this.#noteDamage(damage, "journal.damaged");
      this.#onJournalDamaged();
    }
    for (let piece = 0; piece < piecesAtOnce && !this.#isStopped; piece++) {
      const step = await this.#scrub.step();
      if (step.state === "idle") return;
      if (step.state === "newer") this.#noteNewer(step.newer);
      if (step.state !== "checked") continue;
      for (const damage of step.damage) this.#noteDamage(damage);
      if (step.damage.length > 0) this.#onDamaged(step.chunk);
      if (step.damage.length === 0) this.found.whole++;
    }
  }

  #noteNewer({ file, message }: NewerFormat): void {
    if (this.#told.has(file) || this.#told.size >= damagedPlacesMax) return;
    this.#told.add(file);
    this.#log.error("chunk.newer-format", { file, what: message });
  }

  /** Every pass finds again what nobody has mended. */
  #noteDamage(damage: Damage, event = "chunk.damaged"): void {
    const place = `${damage.file} ${damage.offset} ${damage.length}`;
    if (this.#told.has(place)) return;
    if (this.#told.size < damagedPlacesMax) this.#told.add(place);
    else if (this.found.damaged >= damagedPlacesMax) return;
    this.found.damaged++;
    this.#log.error(event, { ...damage });
  }
}
