import { entryTypes } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import type { Mark } from "../base/ids.ts";
import { checkLimits } from "../base/limits.ts";
import { millis } from "../base/units.ts";
import { encodeSettings } from "../rooms/setting.ts";
import { lineOwedFile } from "../storage/data-directory.ts";
import { differingSettings, isUnfounded } from "./committed-settings.ts";
import { fillRings } from "./fill-rings.ts";
import type { Ground } from "./ground.ts";
import { type Recovered, recover } from "./recovery.ts";
import { Server } from "./server.ts";
import type { ServerSettings } from "./server-settings.ts";

/**
 * Starts a server on the data that is there: reads it, takes its place in the group, and begins to fill the recent rings,
 * newest first. A server that is alone leads at once, and brings the committed settings in line with the configured ones:
 * then it settles when sends can succeed. One that has others beside it settles before anybody leads: it serves reads, and
 * `ready` says when sends can succeed. Rejects with `DataDamaged` or `PromisesLost` before anything was changed.
 */
export async function startServer(ground: Ground, settings: ServerSettings): Promise<Server> {
  checkLimits(ground.limits);
  let server: Server | null = null;
  // A flush can settle before there is a server to hear of it only by its own doing, and it does not flush before that.
  const recovered = await recover(ground, {
    onSettled: () => server?.proposals.settled(),
    onFlushed: (mark: Mark) => server?.flushed(mark),
    onFailed: (cause: Error) => server?.fencing.fail(cause),
  });
  server = new Server(recovered, settings);
  server.recover();
  if (ground.peers === undefined) await leadAlone(server, recovered, settings);
  await server.start();
  fillRings(server).catch((cause: unknown) => ground.log.warn("rings.not.filled", { cause }));
  return server;
}

async function leadAlone(server: Server, recovered: Recovered, settings: ServerSettings): Promise<void> {
  const others = server.driver.engine.members.filter(({ replica }) => replica !== recovered.self);
  if (others.length > 0) {
    const names = others.map(({ replica }) => replica).join(", ");
    throw new Fault("no_quorum", `this data belongs to a cluster with ${names}; start it with its peers`);
  }
  await until(server, () => server.driver.engine.standing.role === "leader");
  settle(server, recovered, settings);
  await until(server, () => server.state.appliedIndex === server.driver.lastIndex);
  if (recovered.owesLine) await recovered.disk.remove(lineOwedFile);
  server.tellAgain();
}

/** Rejects when what a start writes finds no space, not even in the reserve. */
function until(server: Server, holds: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const { waitsForSpace, backgroundFault } = server.journal.stats();
      if (holds()) resolve();
      else if (waitsForSpace && backgroundFault !== null) reject(backgroundFault);
      else server.clock.after(millis(1), look);
    };
    look();
  });
}

/** Orders the settings that differ from the configured ones, and what an accepted loss or an older copy calls for. */
function settle(server: Server, recovered: Recovered, settings: ServerSettings): void {
  const { state, limits } = server;
  const wanted = differingSettings(state, settings, limits);
  if (isUnfounded(state)) wanted.unshift({ kind: "founding" });
  if (recovered.owesLine) {
    wanted.push({ kind: "line", number: recovered.random.whole(0x1_0000_0000) + 1 });
  }
  if (wanted.length > 0) server.proposals.order(entryTypes.setting, encodeSettings(wanted));
}
