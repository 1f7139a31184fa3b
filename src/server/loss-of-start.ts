import type { LogIndex } from "../base/ids.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import type { OpenedJournal } from "../storage/journal/open.ts";
import type { Snapshot } from "../storage/snapshot-file.ts";
import { listedBehind } from "./chunks-aside.ts";
import type { Ground } from "./ground.ts";
import { type ReadableLog, readableLog } from "./log-behind.ts";
import { type Loss, lossOf } from "./loss.ts";
import { missingMessages } from "./missing-chunks.ts";
import { rebuild } from "./rebuild.ts";
import { isToBeRebuilt } from "./rebuilt-start.ts";

/** What a start that was refused would cost if it were done again with the loss accepted. Nothing is changed. */
export async function lossOfStart(
  ground: Ground,
  found: {
    readonly state: GroupState;
    readonly snapshot: Snapshot | null;
    readonly chunks: ChunkStore;
    /** Chunks that the state or the log needs and that are not there. */
    readonly missing: readonly Damage[];
    /** What of the journal is damaged. */
    readonly journal: OpenedJournal["damage"];
  },
): Promise<Loss> {
  const { state, snapshot, chunks, missing, journal } = found;
  const { group } = state;
  const logBehind = (index: LogIndex): Promise<ReadableLog> => readableLog(ground, group, index);
  const isRebuilt = await isToBeRebuilt(ground, { snapshot, chunks, group });
  const rebuilt = isRebuilt ? await rebuild(ground, { group, snapshot, chunks, logBehind }) : null;
  const isMoved = rebuilt !== null || journal.length > 0;
  const hidden = journal.flatMap((one) => one.groups.filter((range) => range.group === group));
  return lossOf({
    chunks,
    aside: isMoved ? listedBehind(chunks, rebuilt?.sealedThrough ?? state.lastChunk) : [],
    isWhole: snapshot === null,
    missing: missingMessages(state, new Set(missing.map(({ file }) => file))),
    hidden: hidden.filter(({ through }) => through === null || through > (rebuilt?.sealedIndex ?? 0)),
    rebuilt: rebuilt?.told ?? null,
  });
}
