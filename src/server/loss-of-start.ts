import { type Entry, entryTypes } from "../base/entry.ts";
import type { LogIndex } from "../base/ids.ts";
import { commandLength, commandType, commandTypes, isCommand } from "../rooms/commands.ts";
import { GroupState } from "../rooms/group-state.ts";
import { recordHeaderBytes, textLength } from "../rooms/message-record.ts";
import { outcomes } from "../rooms/outcome.ts";
import type { ChunkStore } from "../storage/chunk/chunk-store.ts";
import type { Damage } from "../storage/damage.ts";
import type { OpenedJournal } from "../storage/journal/open.ts";
import type { Snapshot } from "../storage/snapshot-file.ts";
import { listedBehind } from "./chunks-aside.ts";
import type { Ground } from "./ground.ts";
import { type ReadableLog, readableLog } from "./log-behind.ts";
import { type JournalLoss, type Loss, lossOf } from "./loss.ts";
import { missingMessages } from "./missing-chunks.ts";
import { messagesIn, rebuild } from "./rebuild.ts";
import { isWithoutState } from "./rebuilt-start.ts";

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
  const isRebuilt = await isWithoutState(ground, { snapshot, chunks, group });
  const rebuilt = isRebuilt ? await rebuild(ground, { group, chunks, logBehind }) : null;
  const isMoved = rebuilt !== null || journal.length > 0;
  const hidden = journal.flatMap((one) => one.groups.filter((range) => range.group === group));
  return lossOf({
    chunks,
    aside: isMoved ? listedBehind(chunks, rebuilt?.sealedThrough ?? state.lastChunk) : [],
    isWhole: snapshot === null,
    missing: missingMessages(state, new Set(missing.map(({ file }) => file))),
    hidden: hidden.filter(({ through }) => through === null || through > (rebuilt?.sealedIndex ?? 0)),
    rebuilt: rebuilt?.told ?? null,
    journal: await journalLoss({ snapshot, logBehind }),
  });
}

/** What is refused when the log is applied without what is lost of it, just as a start that accepts the loss applies it. */
async function journalLoss({
  snapshot,
  logBehind,
}: {
  snapshot: Snapshot | null;
  logBehind: (index: LogIndex) => Promise<ReadableLog>;
}): Promise<JournalLoss | null> {
  // What is behind one that another server took may be of another branch, and is given up then.
  if (snapshot === null || snapshot.isTaken) return null;
  const state = GroupState.restore(snapshot.state, { hashSeed: 0 });
  const { entries, lost } = await logBehind(state.appliedIndex);
  if (lost === null) return null;
  const refused = new Map<string, number>();
  for (const entry of entries) {
    const rooms = entry.index < lost.from ? [] : postsOf(entry);
    state.apply(entry, entry.payload.slice(), {
      outcome: (position, code) => {
        const room = rooms[position];
        if (room === undefined || room === null || code === outcomes.stored || code === outcomes.repeat) return;
        refused.set(room, (refused.get(room) ?? 0) + 1);
      },
      stored: () => undefined,
      changed: () => undefined,
    });
  }
  const byName = [...refused].map(([room, count]) => ({ room, count })).sort((a, b) => (a.room < b.room ? -1 : 1));
  return { lostMax: messagesIn(lost.bytes), refused: byName };
}

/** The room of each command of an entry that is a message; null: it is none. */
function postsOf({ type, payload }: Entry): (string | null)[] {
  const rooms: (string | null)[] = [];
  if (type !== entryTypes.commands) return rooms;
  for (let o = 0; o < payload.length && isCommand(payload, o, payload.length); o += commandLength(payload, o)) {
    const start = o + recordHeaderBytes;
    const isPost = commandType(payload, o) === commandTypes.post;
    rooms.push(isPost ? text.decode(payload.subarray(start, start + textLength(payload, o, 0))) : null);
  }
  return rooms;
}

const text = new TextDecoder();
