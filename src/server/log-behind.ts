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

/** Entries behind `index` in a journal that is damaged, for counting them. Nothing is changed. */
export async function readableEntries(
  { disk, owner, limits }: Ground,
  group: GroupId,
  index: LogIndex,
): Promise<Entry[]> {
  const { segmentBytes } = limits;
  try {
    const from = new Map([[group, index]]);
    const { groups } = await readJournal({ disk, ...owner, settings: { segmentBytes }, from, acceptLoss: true });
    return behind(groups, group, index);
  } catch (fault) {
    // Too much is missing in it for anybody to tell.
    if (fault instanceof Fault) return [];
    throw fault;
  }
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
