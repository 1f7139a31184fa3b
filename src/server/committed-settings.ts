import type { Limits } from "../base/limits.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { boundNames, boundsOf, type Setting } from "../rooms/setting.ts";
import type { ServerSettings } from "./server-settings.ts";

/**
 * The settings of the log that are others than the configured ones. What nobody gives stays as it was committed: a start
 * without a flag is no wish to take back what another had.
 */
export function differingSettings(state: GroupState, settings: ServerSettings, limits: Limits): Setting[] {
  const wanted: Setting[] = [];
  const { timeZone, retentionDays, keptBounds = [] } = settings;
  if (timeZone !== null && state.timeZone !== timeZone) wanted.push({ kind: "timeZone", timeZone });
  if (retentionDays !== null && state.retentionDays !== retentionDays) {
    wanted.push({ kind: "retentionDays", days: retentionDays });
  }
  const isNew = isUnfounded(state);
  const bounds = boundsOf(limits);
  for (const bound of boundNames) {
    if (!isNew && keptBounds.includes(bound)) continue;
    if (state.bounds[bound] !== bounds[bound]) wanted.push({ kind: "bound", bound, value: bounds[bound] });
  }
  return wanted;
}

/** Nobody has led this log before: the lobby is to be made, and the configured settings are to be the cluster's. */
export function isUnfounded(state: GroupState): boolean {
  return state.room("lobby") === undefined;
}
