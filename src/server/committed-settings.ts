import type { Limits } from "../base/limits.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { boundNames, boundsOf, type Setting } from "../rooms/setting.ts";
import type { ServerSettings } from "./server-settings.ts";

/** The settings of the log that are others than the configured ones. */
export function differingSettings(state: GroupState, settings: ServerSettings, limits: Limits): Setting[] {
  const wanted: Setting[] = [];
  if (state.timeZone !== settings.timeZone) wanted.push({ kind: "timeZone", timeZone: settings.timeZone });
  if (state.retentionDays !== settings.retentionDays) {
    wanted.push({ kind: "retentionDays", days: settings.retentionDays });
  }
  const bounds = boundsOf(limits);
  for (const bound of boundNames) {
    if (state.bounds[bound] !== bounds[bound]) wanted.push({ kind: "bound", bound, value: bounds[bound] });
  }
  return wanted;
}

/** Nobody has led this log before: the lobby is to be made, and the configured settings are to be the cluster's. */
export function isUnfounded(state: GroupState): boolean {
  return state.room("lobby") === undefined;
}
