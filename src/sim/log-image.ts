import { assert, broken } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import { type Configuration, decodeConfiguration } from "../consensus/configuration.ts";
import type { DamagedRange, LogEffect } from "../consensus/events.ts";
import type { Snapshot } from "../consensus/messages.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import type { RememberedLog } from "../topology/engine.ts";
import type { LogView } from "./consensus-invariants.ts";

/** One write to the log of a group. */
export type LogWrite = Extract<LogEffect, { ticket: number }>;

interface Kept {
  readonly term: number;
  readonly hash: number;
}

/** What a log says at some moment: terms and fingerprints of its entries, the vote, and who belongs to the group. */
export class LogImage implements LogView {
  term = 0;
  votedFor: ReplicaId | null = null;
  baseIndex = 0;
  #baseTerm = 0;
  #entries: Kept[] = [];
  #damaged: readonly DamagedRange[] = [];
  /** In the order of their index. */
  #configurations: { readonly index: number; readonly configuration: Configuration }[] = [];

  /** `founder`: who belongs to a group whose log does not say so. */
  static of(log: RememberedLog, founder: Configuration): LogImage {
    const image = new LogImage();
    image.term = log.term;
    image.votedFor = log.votedFor;
    image.baseIndex = log.baseIndex;
    image.#baseTerm = log.baseTerm;
    image.#damaged = log.damaged;
    const { configuration } = log;
    image.#configurations = [
      configuration === null
        ? { index: 0, configuration: founder }
        : { index: configuration.index, configuration: decoded(configuration.bytes) },
    ];
    for (const entry of log.entries) image.#push(entry);
    return image;
  }

  get lastIndex(): number {
    return this.baseIndex + this.#entries.length;
  }

  termAt(index: number): number | null {
    if (index === this.baseIndex) return this.#baseTerm;
    return this.#entries[index - this.baseIndex - 1]?.term ?? null;
  }

  hashAt(index: number): number | null {
    return this.#entries[index - this.baseIndex - 1]?.hash ?? null;
  }

  get soundThrough(): number {
    return Math.min(this.lastIndex, (this.#damaged[0]?.first ?? Infinity) - 1);
  }

  isDamaged(index: number): boolean {
    return this.#damaged.some(({ first, last }) => index >= first && index <= last);
  }

  holds(index: number, term: number): boolean {
    if (index <= this.baseIndex) return true;
    return !this.isDamaged(index) && this.termAt(index) === term;
  }

  configurationAt(index: number): Configuration {
    const found = this.#configurations.findLast((one) => one.index <= index) ?? this.#configurations[0];
    assert(found !== undefined, "a log says who belongs to its group");
    return found.configuration;
  }

  write(write: LogWrite): void {
    switch (write.type) {
      case "persist-vote":
        this.term = write.term;
        this.votedFor = write.votedFor;
        return;
      case "append":
        this.#truncate(write.entries[0]!.index);
        for (const entry of write.entries) this.#push(entry);
        return;
      case "repair": {
        for (const entry of write.entries) {
          this.#entries[entry.index - this.baseIndex - 1] = kept(entry);
          this.#damaged = this.#damaged.flatMap((range) => without(range, entry.index));
        }
        return;
      }
      default:
        this.#install(write.snapshot, write.keepsLog);
    }
  }

  copy(): LogImage {
    const copy = new LogImage();
    copy.term = this.term;
    copy.votedFor = this.votedFor;
    copy.baseIndex = this.baseIndex;
    copy.#baseTerm = this.#baseTerm;
    copy.#entries = [...this.#entries];
    copy.#damaged = this.#damaged;
    copy.#configurations = [...this.#configurations];
    return copy;
  }

  #push(entry: Entry): void {
    if (entry.index !== this.lastIndex + 1) broken(`entry ${entry.index} is written behind ${this.lastIndex}`);
    this.#entries.push(kept(entry));
    if (entry.type !== entryTypes.configuration || this.isDamaged(entry.index)) return;
    this.#configurations.push({ index: entry.index, configuration: decodedConfiguration(entry) });
  }

  #truncate(first: number): void {
    const isBehind = first > this.baseIndex && first <= this.lastIndex + 1;
    if (!isBehind) broken(`entry ${first} is written behind ${this.lastIndex}`);
    this.#entries.length = first - this.baseIndex - 1;
    this.#damaged = this.#damaged.filter((range) => range.first < first);
    while (this.#configurations.length > 1 && this.#configurations.at(-1)!.index >= first) this.#configurations.pop();
  }

  #install(snapshot: Snapshot, keepsLog: boolean): void {
    const { index, term, configuration, configurationIndex } = snapshot;
    this.#entries = keepsLog ? this.#entries.slice(index - this.baseIndex) : [];
    const behind = keepsLog ? this.#configurations.filter((one) => one.index > index) : [];
    this.#configurations = [{ index: configurationIndex, configuration }, ...behind];
    this.baseIndex = index;
    this.#baseTerm = term;
  }
}

export function decodedConfiguration(entry: Entry): Configuration {
  return decoded(entry.payload);
}

function decoded(bytes: Uint8Array): Configuration {
  const configuration = decodeConfiguration(bytes);
  assert(configuration !== null, "a configuration in the log can be read");
  return configuration;
}

function kept(entry: Entry): Kept {
  return { term: entry.term, hash: entryHash(entry) };
}

/** A fingerprint of what an entry says, FNV-1a. */
export function entryHash({ type, payload }: Pick<Entry, "type" | "payload">): number {
  let hash = 0x811c9dc5 ^ type;
  for (let at = 0; at < payload.length; at++) hash = Math.imul(hash ^ payload[at]!, 0x01000193);
  return hash >>> 0;
}

function without({ first, last }: DamagedRange, index: number): DamagedRange[] {
  if (index < first || index > last) return [{ first, last }];
  const parts: DamagedRange[] = [];
  if (index > first) parts.push({ first, last: (index - 1) as DamagedRange["last"] });
  if (index < last) parts.push({ first: (index + 1) as DamagedRange["first"], last });
  return parts;
}
