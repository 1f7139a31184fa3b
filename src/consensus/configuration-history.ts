import { assert } from "../base/assert.ts";
import { type Entry, entryTypes } from "../base/entry.ts";
import type { LogIndex } from "../base/ids.ts";
import { type Configuration, decodeConfiguration } from "./configuration.ts";

/** A configuration and the entry that brought it; 0 is the one the group was founded or recovered with. */
export interface Placed {
  readonly index: LogIndex;
  readonly configuration: Configuration;
}

/**
 * The configurations of a group's log. One counts from the moment its entry is appended, here, committed or not (Raft
 * thesis 4.1): then a leader's quorum for the entry itself is already the new one, and a candidate's log decides with its
 * own newest configuration. The price is that a truncated entry takes its configuration with it, so those of before are
 * kept until the entry is committed. Counting from the commit instead (as etcd does) would need a second rule, that
 * nobody campaigns with a committed configuration it has not applied.
 *
 * 1. entries are in the order of their index; the last one counts
 * 2. the first is the newest at or below the log's base: what a snapshot there must say
 */
export class ConfigurationHistory {
  #placed: Placed[];

  constructor(first: Placed) {
    this.#placed = [first];
  }

  /** What counts now. */
  get current(): Configuration {
    return this.newest.configuration;
  }

  get newest(): Placed {
    return this.#placed.at(-1)!;
  }

  /** The newest one at or below an index: what a snapshot there must say. */
  at(index: LogIndex): Placed {
    let found = this.#placed[0]!;
    for (const placed of this.#placed) if (placed.index <= index) found = placed;
    return found;
  }

  appended(index: LogIndex, configuration: Configuration): void {
    assert(index > this.newest.index, "a configuration is older than the last");
    this.#placed.push({ index, configuration });
  }

  /** Entries that were put behind the log. A configuration that this version can't read stops the group. */
  noteAll(entries: readonly Entry[]): void {
    for (const { index, type, payload } of entries) {
      if (type !== entryTypes.configuration) continue;
      const configuration = decodeConfiguration(payload);
      assert(configuration !== null, `the configuration at entry ${index} is of an unknown format`);
      this.appended(index, configuration);
    }
  }

  /** Entries from `from` on are gone. Answers whether another configuration counts now. */
  truncated(from: LogIndex): boolean {
    const before = this.#placed.length;
    while (this.#placed.length > 1 && this.newest.index >= from) this.#placed.pop();
    assert(this.newest.index < from || this.newest.index === 0, "a committed configuration was truncated");
    return this.#placed.length !== before;
  }

  /** The log was let go up to `through`: what is older than the newest there is of no use any more. */
  settled(through: LogIndex): void {
    while (this.#placed.length > 1 && this.#placed[1]!.index <= through) this.#placed.shift();
  }

  /** Entries that could not be read can be again: what they hold takes its place. */
  repaired(entries: readonly Entry[]): void {
    for (const { index, type, payload } of entries) {
      if (type !== entryTypes.configuration) continue;
      const configuration = decodeConfiguration(payload);
      assert(configuration !== null, `the configuration at entry ${index} is of an unknown format`);
      const at = this.#placed.findIndex((placed) => placed.index >= index);
      if (at === -1) this.#placed.push({ index, configuration });
      else if (this.#placed[at]!.index > index) this.#placed.splice(at, 0, { index, configuration });
    }
  }

  /** A snapshot at `through` says what counts there; what stands behind in the log stays. */
  rebased(first: Placed, through: LogIndex): void {
    this.#placed = [first, ...this.#placed.filter(({ index }) => index > through)];
  }

  restored(first: Placed): void {
    this.#placed = [first];
  }
}
