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

/** Nobody hears what a state that is only asked does. */
const unheard: ApplySink = {
  outcome: () => undefined,
  stored: () => undefined,
  changed: () => undefined,
};
