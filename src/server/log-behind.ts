import { type Entry, entryTypes } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import type { GroupId, LogIndex } from "../base/ids.ts";
import { decodeConfiguration, membersOf } from "../consensus/configuration.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { OpenedJournal } from "../storage/journal/open.ts";
import { readJournal } from "../storage/journal/read-journal.ts";
import type { Ground } from "./ground.ts";

/** Entries behind `from`, in order. */
export function behind(groups: OpenedJournal["groups"], group: GroupId, from: LogIndex): Entry[] {
  return (groups.get(group)?.entries ?? []).filter(({ index }) => index > from);
}

/** What of a group's log can't be read. */
export interface LostLog {
  /** Where the first entry that is lost stood. */
  readonly from: LogIndex;
  /** How many bytes they may all have taken. */
  readonly bytes: number;
  /** All of them are gone with their files, so that nobody can tell how many bytes those were. */
  readonly isGone: boolean;
}

/** What of a group's log can be read in a journal that is damaged. */
export interface ReadableLog {
  /** In order, each once, with an empty one in the place of each that is lost. */
  readonly entries: readonly Entry[];
  /** What is lost; null: nothing is. */
  readonly lost: LostLog | null;
  /** The chain that the first of them that can be read goes on from; null: there is none. */
  readonly chainBefore: Uint8Array | null;
}

/** The log behind `index` in a journal that is damaged. Nothing is changed. */
export async function readableLog(
  { disk, owner, limits }: Pick<Ground, "disk" | "owner" | "limits">,
  group: GroupId,
  index: LogIndex,
): Promise<ReadableLog> {
  const { segmentBytes } = limits;
  try {
    const from = new Map([[group, index]]);
    const read = await readJournal({ disk, ...owner, settings: { segmentBytes }, from, acceptLoss: true });
    const entries = behind(read.groups, group, index);
    const chainBefore = entries.length === 0 ? null : (read.groups.get(group)?.chainBefore ?? null);
    return { entries, lost: lostOf(read.damage, { group, index, segmentBytes }), chainBefore };
  } catch (fault) {
    // Too much is missing in it for anybody to tell.
    if (fault instanceof Fault) return { entries: [], lost: null, chainBefore: null };
    throw fault;
  }
}

function lostOf(
  damage: OpenedJournal["damage"],
  { group, index, segmentBytes }: { group: GroupId; index: LogIndex; segmentBytes: number },
): ReadableLog["lost"] {
  let first = Infinity;
  let bytes = 0;
  let isGone = true;
  for (const { groups, length } of damage) {
    const ranges = groups.filter((range) => range.group === group && (range.through ?? Infinity) > index);
    if (ranges.length === 0) continue;
    first = Math.min(first, ...ranges.map(({ from }) => Math.max(index + 1, from)));
    // What is not there has no bytes: it was a segment.
    bytes += length === 0 ? segmentBytes : length;
    if (length > 0) isGone = false;
  }
  return first === Infinity ? null : { from: first as LogIndex, bytes, isGone };
}

/** Whether others rely on what this log says, as far as it can be read. */
export function hasOthers(
  { joined = false }: Ground,
  configuration: GroupState["configuration"],
  entries: readonly Entry[],
): boolean {
  const newest = entries.findLast(({ type }) => type === entryTypes.configuration)?.payload ?? configuration?.bytes;
  const members = newest === undefined ? null : decodeConfiguration(newest);
  return joined || (members !== null && membersOf(members).length > 1);
}

/** Whether this server was told of others, who may belong to the group though what can be read does not say so. */
export function listsOthers({ peers, node }: Ground): boolean {
  return peers !== undefined && [...peers.addresses.keys()].some((name) => name !== node);
}
