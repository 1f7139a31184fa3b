import type { Entry } from "../base/entry.ts";
import type { ApplySink } from "../rooms/apply-sink.ts";
import type { LiveChunk } from "../rooms/chunks.ts";
import { GroupState } from "../rooms/group-state.ts";

/**
 * The chunks that must be there beside a snapshot and the log behind it: those that the state at the snapshot still needs
 * and that no entry behind it has emptied, as the snapshot knows them. A chunk that was sealed behind the snapshot is not
 * among them: what it is made from is in the log.
 */
export function neededChunks(snapshot: Uint8Array, entries: readonly Entry[]): LiveChunk[] {
  const state = GroupState.restore(snapshot, { hashSeed: 0 });
  const needed = Array.from(state.chunks(), (chunk) => ({ ...chunk }));
  for (const entry of entries) state.apply(entry, entry.payload.slice(), unheard);
  return needed.filter(({ chunk }) => state.chunk(chunk) !== undefined);
}

/** A chunk as the log sealed it; one that was sealed before the snapshot, as it was by then. */
export type KnownChunk = Pick<LiveChunk, "chunk" | "from" | "to" | "day" | "messages" | "bytes" | "generation">;

/** What a snapshot and the log behind it say of the chunks that are on the disk. */
export interface KnownChunks {
  /** Number of the last chunk that was sealed. */
  readonly last: number;
  /** Those that the snapshot still needs, and those that were sealed behind it. */
  readonly sealed: readonly KnownChunk[];
}

/** The chunks that the log can name. */
export function knownChunks(snapshot: Uint8Array, entries: readonly Entry[]): KnownChunks {
  const state = GroupState.restore(snapshot, { hashSeed: 0 });
  const known = new Map<number, KnownChunk>();
  for (const chunk of state.chunks()) known.set(chunk.chunk, { ...chunk });
  const sink: ApplySink = {
    ...unheard,
    changed: (event) => {
      if (event.type === "sealed") known.set(event.sealed.chunk, { ...event.sealed, generation: 0 });
    },
  };
  for (const entry of entries) state.apply(entry, entry.payload.slice(), sink);
  return { last: state.lastChunk, sealed: [...known.values()] };
}

/** Nobody hears what a state that is only asked does. */
const unheard: ApplySink = {
  outcome: () => undefined,
  stored: () => undefined,
  changed: () => undefined,
};
