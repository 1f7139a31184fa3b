import { Fault } from "../base/error-codes.ts";
import type { ChunkListing, ChunkStore } from "../storage/chunk/chunk-store.ts";
import { ChunkDamage } from "../storage/chunk/chunk-damage.ts";
import type { FileName } from "../storage/disk.ts";
import { NewerFormat } from "../storage/newer-format.ts";
import type { RebuiltRoom, Rebuilding } from "./rebuild.ts";

/** What is known of one room's messages in sealed files that would go. */
export interface RoomLoss {
  readonly room: string;
  sealed: number;
  /** Their seqs: first and last; 0 = none. */
  first: number;
  last: number;
}

/** What going on without damaged files would cost, as far as anybody can tell. Nothing was changed. */
export interface Loss {
  /** There is no sound state: nobody can tell any more who is in which room. */
  readonly isWhole: boolean;
  /** What is built anew then, from a sound state or else the chunks, and the journal behind them; null: nothing is. */
  readonly rebuilt: Rebuilding | null;
  /** Sealed files that would be moved aside, sound ones too. */
  readonly chunks: readonly FileName[];
  /** Of those, the ones that can't be read. */
  readonly unreadable: readonly FileName[];
  /** By name. */
  readonly rooms: readonly RoomLoss[];
  /** Entries of the journal that damage hides; `through` null: nobody knows how many. */
  readonly hidden: readonly { readonly from: number; readonly through: number | null }[];
}

/** Rooms and files that are named in a message; beyond, they are counted. */
const namedMax = 20;

/** Adds up what would go with the chunks that would be moved aside, and what is lost of the journal. Reads the chunks' indexes only. */
export async function lossOf(options: {
  readonly chunks: ChunkStore;
  readonly aside: readonly ChunkListing[];
  readonly isWhole: boolean;
  /** What rooms have in chunks that are not there. */
  readonly missing: readonly { readonly room: string; readonly first: number; readonly last: number }[];
  readonly hidden: Loss["hidden"];
  readonly rebuilt: Rebuilding | null;
}): Promise<Loss> {
  const { chunks, aside, isWhole, missing, hidden, rebuilt } = options;
  const rooms = new Map<string, RoomLoss>();
  const of = (name: string): RoomLoss => {
    let room = rooms.get(name);
    if (room === undefined) rooms.set(name, (room = { room: name, sealed: 0, first: 0, last: 0 }));
    return room;
  };
  const add = (name: string, sealed: { count: number; first: number; last: number }): void => {
    const loss = of(name);
    loss.sealed += sealed.count;
    loss.first = loss.first === 0 ? sealed.first : Math.min(loss.first, sealed.first);
    loss.last = Math.max(loss.last, sealed.last);
  };
  for (const { room, first, last } of missing) add(room, { count: last - first + 1, first, last });
  const unreadable: FileName[] = [];
  // Entries that a chunk holds are counted there.
  let sealedThrough = 0;
  for (const { chunk, file } of aside) {
    try {
      for await (const { room, firstSeq, lastSeq, count } of chunks.rooms(chunk)) {
        add(text.decode(room), { count, first: firstSeq, last: lastSeq });
      }
      sealedThrough = Math.max(sealedThrough, (await chunks.footer(chunk)).meta.to);
    } catch (fault) {
      if (fault instanceof NewerFormat || (!(fault instanceof ChunkDamage) && !(fault instanceof Fault))) throw fault;
      unreadable.push(file);
    }
  }
  const named = [...rooms.values()].sort((a, b) => (a.room < b.room ? -1 : 1));
  const gone = hidden.filter(({ through }) => through === null || through > sealedThrough);
  return { isWhole, rebuilt, chunks: aside.map(({ file }) => file), unreadable, rooms: named, hidden: gone };
}

const text = new TextDecoder();

/** The loss in sentences, one a line. [] when nothing is known to go beyond the damaged places themselves. */
export function lossLines(loss: Loss): string[] {
  const lines: string[] = [];
  if (loss.rebuilt !== null) lines.push(...rebuiltLines(loss.rebuilt));
  else if (loss.isWhole) {
    lines.push(
      "all rooms as they are: who is in them, their roles, read marks, retention and settings; rooms begin again at 1",
    );
  }
  for (const { from, through } of loss.hidden) {
    const range = through === null ? `from ${from} on` : from === through ? `${from}` : `${from} to ${through}`;
    lines.push(`entries of the journal: ${range}`);
  }
  const messages = (rooms: readonly RoomLoss[]): number => rooms.reduce((sum, { sealed }) => sum + sealed, 0);
  if (loss.rooms.length > 0) {
    const kept =
      loss.isWhole || loss.chunks.length === 0 ? "" : ", but for what the sound part of the journal says once more";
    lines.push(`${messages(loss.rooms)} messages of ${loss.rooms.length} room(s)${kept}:`);
  }
  for (const { room, sealed, first, last } of loss.rooms.slice(0, namedMax)) {
    lines.push(`  ${JSON.stringify(room)}: ${sealed} messages, sealed ${first} to ${last}`);
  }
  const more = loss.rooms.slice(namedMax);
  if (more.length > 0) lines.push(`  ${more.length} more rooms: ${messages(more)} messages`);
  if (loss.chunks.length > 0) {
    const names = loss.chunks.slice(0, namedMax).join(", ");
    const rest = loss.chunks.length > namedMax ? ` and ${loss.chunks.length - namedMax} more` : "";
    lines.push(`sealed files that go to quarantine/, where they stay: ${names}${rest}`);
  }
  if (loss.unreadable.length > 0) lines.push(`of these nobody can tell what they hold: ${loss.unreadable.join(", ")}`);
  return lines;
}

/** What is lost, and what is kept, when the state is built anew. */
function rebuiltLines({ isKnown, lostMax, ...rebuilding }: Rebuilding): string[] {
  const { rooms, chunks, messages, unreadable, absent, unsealed, refused } = rebuilding;
  const lines: string[] = [];
  if (lostMax > 0) {
    const which = rooms.some(({ lost }) => lost !== null) ? ": how many of each room at most stands below" : "";
    lines.push(
      `at most ${lostMax} messages, in what is damaged of the journal, and rooms that nothing else names${which}`,
    );
    if (isKnown)
      lines.push("what the damaged entries said of rooms and people: rooms made, who came and went, roles, read marks");
  }
  if (!isKnown) {
    lines.push(
      "what no message tells: who is in which room, roles, invitations, read marks, what rooms keep, the settings that are not configured, and which rooms are open",
      "what was removed or deleted and still lies in a sealed file comes back",
      "edits and deletions of other people's messages, by moderators, that are not sealed yet",
    );
  }
  if (refused > 0) lines.push(`${refused} sends in the journal that can't be told from repeats or refused ones`);
  if (unreadable.length > 0) lines.push(`what lies in sealed files that can't be read: ${names(unreadable)}`);
  if (absent.length > 0) {
    const ranges = absent.map(({ first, last }) => (first === last ? `${first}` : `${first} to ${last}`));
    lines.push(`what lay in sealed files that are not there, lost or removed: chunk ${names(ranges)}`);
  }
  const unknown = isKnown
    ? lostMax > 0
      ? "Rooms that nothing in front of what is damaged tells of become"
      : null
    : "All others become";
  lines.push(
    `Kept would be ${messages + unsealed} messages, from ${chunks} sealed files and the journal behind them, in ${rooms.length} room(s). ` +
      (unknown === null
        ? "Rooms and people stay as they are"
        : `Direct rooms stay their two people's. ${unknown} private, with nobody in them: name those that anybody may read with --open-room, ` +
          "lobby among them; into the others operators let people (docs/operations.md)"),
  );
  for (const room of rooms.slice(0, namedMax)) lines.push(`  ${JSON.stringify(room.room)}: ${keptOf(room)}`);
  if (rooms.length > namedMax) lines.push(`  and ${rooms.length - namedMax} more rooms`);
  return lines;
}

/** Which numbers a room would have, and what it loses. */
function keptOf({ first, last, lacking, lost }: RebuiltRoom): string {
  const skipped = lost === null ? 0 : lost.last - lost.first + 1;
  const parts: string[] = [];
  if (lost === null) parts.push(range(first, last));
  else {
    const sides = [
      lost.first > first ? range(first, lost.first - 1) : "",
      lost.last < last ? range(lost.last + 1, last) : "",
    ];
    parts.push(sides.filter((side) => side !== "").join(" and ") || "nothing");
    parts.push(`at most ${lost.messagesMax} are lost, and ${range(lost.first, lost.last)} can't be read`);
  }
  if (lacking > skipped) parts.push(`of which ${lacking - skipped} can't be read`);
  return parts.join(", ");
}

const range = (first: number, last: number): string => (first === last ? `${first}` : `${first} to ${last}`);

function names(all: readonly string[]): string {
  const rest = all.length > namedMax ? ` and ${all.length - namedMax} more` : "";
  return all.slice(0, namedMax).join(", ") + rest;
}
