import { entryTypes } from "../base/entry.ts";
import type { Mark } from "../base/ids.ts";
import { checkLimits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import { boundNames, boundsOf, encodeSettings, type Setting } from "../rooms/setting.ts";
import { fillRings } from "./fill-rings.ts";
import { type Ground, type Recovered, recover } from "./recovery.ts";
import { Server } from "./server.ts";
import type { ServerSettings } from "./server-settings.ts";

/**
 * Starts a server on the data that is there: reads it, leads its group, brings the committed settings in line with the
 * configured ones, and begins to fill the recent rings, newest first. Settles when sends can succeed. Rejects with
 * `DataDamaged` before anything was changed.
 */
export async function startServer(ground: Ground, settings: ServerSettings): Promise<Server> {
  checkLimits(ground.limits);
  let server: Server | null = null;
  // A flush can settle before there is a server to hear of it only by its own doing, and it does not flush before that.
  const recovered = await recover(ground, {
    onSettled: () => server?.driver.settled(),
    onFlushed: (mark: Mark) => server?.flushed(mark),
    onFailed: (cause: Error) => server?.failed(cause),
  });
  server = new Server(recovered, settings);
  server.driver.recover(recovered.term, recovered.entries);
  await leading(server);
  settle(server, recovered, settings);
  await applied(server);
  server.tellAgain();
  await server.upkeep.start();
  fillRings(server).catch((cause: unknown) => ground.log.warn("rings.not.filled", { cause }));
  return server;
}

/** Settles once the group's own no-op is committed. */
function leading(server: Server): Promise<void> {
  return until(server, () => server.driver.engine.standing.role === "leader");
}

/** Settles once everything that was ordered so far is applied. */
function applied(server: Server): Promise<void> {
  return until(server, () => server.state.appliedIndex === server.driver.lastIndex);
}

function until(server: Server, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (holds()) resolve();
      else server.clock.after(millis(1), look);
    };
    look();
  });
}

/** Orders the settings that differ from the configured ones, and what an accepted loss or an older copy calls for. */
function settle(server: Server, recovered: Recovered, settings: ServerSettings): void {
  const { state } = server;
  const wanted: Setting[] = [];
  const isNew = state.room("lobby") === undefined;
  if (isNew) wanted.push({ kind: "founding" });
  // What nobody gives stays as it was committed: a start without a flag is no wish to take back what another had.
  const { timeZone, retentionDays, keptBounds = [] } = settings;
  if (timeZone !== null && state.timeZone !== timeZone) wanted.push({ kind: "timeZone", timeZone });
  if (retentionDays !== null && state.retentionDays !== retentionDays) {
    wanted.push({ kind: "retentionDays", days: retentionDays });
  }
  const bounds = boundsOf(server.limits);
  for (const bound of boundNames) {
    if (!isNew && keptBounds.includes(bound)) continue;
    if (state.bounds[bound] !== bounds[bound]) wanted.push({ kind: "bound", bound, value: bounds[bound] });
  }
  if (recovered.lost.length > 0 || recovered.restored === true) {
    wanted.push({ kind: "line", number: recovered.random.whole(0x1_0000_0000) + 1 });
  }
  if (wanted.length > 0) server.driver.order(entryTypes.setting, encodeSettings(wanted));
}
