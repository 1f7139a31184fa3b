import { type Entry, entryTypes } from "../../src/base/entry.ts";
import { logIndex, term as termOf } from "../../src/base/ids.ts";
import { day, timestamp } from "../../src/base/units.ts";
import { type Configuration, decodeConfiguration, nobody } from "../../src/consensus/configuration.ts";
import type { DamagedRange, GroupEffect, Memory } from "../../src/consensus/events.ts";
import type { ReplicaId } from "../../src/consensus/replica.ts";
import type { LogView } from "../../src/sim/consensus-invariants.ts";
import { entryHash } from "../../src/sim/log-image.ts";

/** What a disk holds of one group. */
export class Image implements LogView {
  term = 0;
  votedFor: ReplicaId | null = null;
  baseIndex = 0;
  baseTerm = 0;
  baseConfiguration: Configuration;
  baseConfigurationIndex = 0;
  entries: Entry[] = [];
  damaged: DamagedRange[] = [];

  constructor(configuration: Configuration) {
    this.baseConfiguration = configuration;
  }

  get lastIndex(): number {
    return this.baseIndex + this.entries.length;
  }

  get soundThrough(): number {
    return Math.min(this.lastIndex, (this.damaged[0]?.first ?? Infinity) - 1);
  }

  isDamaged(index: number): boolean {
    return this.damaged.some(({ first, last }) => index >= first && index <= last);
  }

  entryAt(index: number): Entry | null {
    return this.entries[index - this.baseIndex - 1] ?? null;
  }

  termAt(index: number): number | null {
    if (index === this.baseIndex) return this.baseTerm;
    return this.entryAt(index)?.term ?? null;
  }

  hashAt(index: number): number | null {
    const entry = this.entryAt(index);
    return entry === null ? null : entryHash(entry);
  }

  configurationAt(index: number): Configuration {
    return this.configurations().findLast((one) => one.index <= index)?.configuration ?? nobody;
  }

  holds(index: number, term: number): boolean {
    if (index <= this.baseIndex) return true;
    if (this.damaged.some(({ first, last }) => index >= first && index <= last)) return false;
    return this.termAt(index) === term;
  }

  apply(effect: Write): void {
    switch (effect.type) {
      case "persist-vote":
        this.term = effect.term;
        this.votedFor = effect.votedFor;
        return;
      case "append": {
        const first = effect.entries[0]!.index;
        this.entries.length = first - this.baseIndex - 1;
        this.entries.push(...effect.entries);
        this.damaged = this.damaged.filter((range) => range.first < first);
        return;
      }
      case "repair":
        for (const entry of effect.entries) {
          this.entries[entry.index - this.baseIndex - 1] = entry;
          this.damaged = this.damaged.flatMap(({ first, last }) => {
            if (entry.index < first || entry.index > last) return [{ first, last }];
            const parts: DamagedRange[] = [];
            if (entry.index > first) parts.push({ first, last: logIndex(entry.index - 1) });
            if (entry.index < last) parts.push({ first: logIndex(entry.index + 1), last });
            return parts;
          });
        }
        return;
      case "install-snapshot": {
        const { index, term, configuration, configurationIndex } = effect.snapshot;
        this.entries = effect.keepsLog ? this.entries.slice(index - this.baseIndex) : [];
        this.damaged = this.damaged
          .filter(({ last }) => effect.keepsLog && last > index)
          .map(({ first, last }) => ({ first: logIndex(Math.max(first, index + 1)), last }));
        this.baseIndex = index;
        this.baseTerm = term;
        this.baseConfiguration = configuration;
        this.baseConfigurationIndex = configurationIndex;
        return;
      }
      default:
    }
  }

  /** Lets go of what is in a snapshot. */
  compact(through: number): void {
    for (const { index, configuration } of this.configurations()) {
      if (index > through) continue;
      this.baseConfiguration = configuration;
      this.baseConfigurationIndex = index;
    }
    this.baseTerm = this.termAt(through)!;
    this.entries = this.entries.slice(through - this.baseIndex);
    this.baseIndex = through;
  }

  configurations(): { index: ReturnType<typeof logIndex>; configuration: Configuration }[] {
    const found = [{ index: logIndex(this.baseConfigurationIndex), configuration: this.baseConfiguration }];
    for (const { index, type, payload } of this.entries) {
      if (type === entryTypes.configuration && !this.isDamaged(index))
        found.push({ index, configuration: decodeConfiguration(payload)! });
    }
    return found;
  }

  copy(): Image {
    const copy = new Image(this.baseConfiguration);
    Object.assign(copy, this, { entries: [...this.entries], damaged: [...this.damaged] });
    return copy;
  }

  /** What a start finds. The entries of damaged ranges are not looked at. */
  memory(committed = this.baseIndex): Memory {
    const runs: { first: ReturnType<typeof logIndex>; term: ReturnType<typeof termOf> }[] = [];
    let before = this.baseTerm;
    for (const { index, term } of this.entries) {
      if (term === before || this.damaged.some(({ first, last }) => index >= first && index <= last)) continue;
      runs.push({ first: index, term });
      before = term;
    }
    const last = this.entries.at(-1);
    return {
      term: termOf(this.term),
      votedFor: this.votedFor,
      baseIndex: logIndex(this.baseIndex),
      baseTerm: termOf(this.baseTerm),
      runs,
      lastIndex: logIndex(this.lastIndex),
      committed: logIndex(committed),
      ts: last?.ts ?? timestamp(0),
      day: last?.day ?? day(20260101),
      configurations: this.configurations(),
      damaged: this.damaged,
    };
  }
}

export type Write = Extract<GroupEffect, { ticket: number }>;

/** A disk with a write cache: what was not flushed is lost with the power. */
export class VirtualDisk {
  durable: Image;
  memory: Image;
  #waiting: Write[] = [];

  constructor(configuration: Configuration) {
    this.durable = new Image(configuration);
    this.memory = new Image(configuration);
  }

  get isIdle(): boolean {
    return this.#waiting.length === 0;
  }

  write(effect: Write): void {
    this.memory.apply(effect);
    this.#waiting.push(effect);
  }

  /** The first `count` writes on their way become durable. Answers the last ticket, or null when there was none. */
  flush(count = this.#waiting.length): number | null {
    let ticket: number | null = null;
    for (const effect of this.#waiting.splice(0, count)) {
      this.durable.apply(effect);
      ticket = effect.ticket;
    }
    return ticket;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Power is lost: some first writes may have arrived, the others are gone. */
  crash(arrived: number): void {
    this.flush(arrived);
    this.#waiting = [];
    this.memory = this.durable.copy();
  }
}
