import { Fault } from "../../base/error-codes.ts";
import type { NodeName } from "../../base/ids.ts";
import { isLockFile, nodeDataLock } from "../../platform/node/data-lock.ts";
import { nodeChunkBuilder } from "../../platform/node/node-chunk-builder.ts";
import { nodeClock } from "../../platform/node/node-clock.ts";
import { nodeRandom } from "../../platform/node/node-random.ts";
import { boundNames } from "../../rooms/setting.ts";
import { DataDamaged, PromisesLost } from "../../server/data-refused.ts";
import type { Server } from "../../server/server.ts";
import { startServer } from "../../server/start-server.ts";
import {
  type DataDirectory,
  DirectoryRefused,
  type Identity,
  openDataDirectory,
} from "../../storage/data-directory.ts";
import type { Disk } from "../../storage/disk.ts";
import { systemCodeOf } from "../../storage/file-system.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import type { ClusterGround } from "./cluster-ground.ts";
import type { Configuration } from "./configuration.ts";
import { type End, Interrupted } from "./end-of-server.ts";
import { portsFile } from "./ports-file.ts";

/**
 * Opens the data directory of a start, or founds it where it is empty. What is for people to mend is a `CommandFailed`, in
 * words and with its exit code. null: it was told to end while an empty directory waited for a cluster.
 */
export async function openDirectory(
  configuration: Configuration,
  disk: Disk,
  options: {
    readonly cluster: ClusterGround | null;
    readonly end: Promise<End>;
    /** Throws `CommandFailed` where they can't: asked before an empty directory becomes one of this server. */
    readonly portsCanBeHad: () => Promise<void>;
  },
): Promise<DataDirectory | null> {
  const { cluster, end, portsCanBeHad } = options;
  const { data, node } = configuration;
  const interrupted = end.then((why) => new Interrupted(why));
  try {
    return await openDataDirectory({
      disk,
      lock: nodeDataLock(data),
      random: nodeRandom(),
      node: node as NodeName,
      groups: 1,
      found: true,
      now: nodeClock().wall(),
      lockFiles: (file) => isLockFile(file) || file === portsFile,
      belonging: async (incarnation) => {
        await portsCanBeHad();
        return cluster === null ? null : cluster.belonging(incarnation, interrupted);
      },
    });
  } catch (cause) {
    if (cause instanceof Interrupted) return null;
    if (cause instanceof DirectoryRefused) throw new CommandFailed(exitCodes.refused, cause.message, { cause });
    // Node answers ENOENT where a folder can't be made because the file system is read-only.
    const refusals = ["EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENOENT", "ENOSPC", "EDQUOT", "EIO"];
    if (cause instanceof Fault || refusals.includes(systemCodeOf(cause))) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CommandFailed(exitCodes.refused, `the data directory ${data} can't be used: ${why}`, { cause });
    }
    throw cause;
  }
}

/**
 * Starts the server on its open directory. What is for people to mend is a `CommandFailed`; nothing that is damaged is given
 * up unless that was asked for, and what it costs is logged first.
 */
export async function startOn(
  ground: Pick<Parameters<typeof startServer>[0], "disk" | "log" | "clock" | "random"> & { directory: DataDirectory },
  configuration: Configuration,
  options: Pick<Parameters<typeof startServer>[1], "authenticate" | "onFailed" | "onOvertaken"> & {
    acceptLoss: boolean;
    restored: boolean;
    openRooms: ReadonlySet<string>;
    given: ReadonlySet<string>;
    cluster: ClusterGround | null;
    end: Promise<End>;
  },
): Promise<Server> {
  const { disk, log, clock, random, directory } = ground;
  const { limits, flush, push, retention, timeZone, advertise, auth } = configuration;
  const { acceptLoss, authenticate, onFailed, onOvertaken } = options;
  const chunkBuilder = nodeChunkBuilder(new URL("./chunk-thread.js", import.meta.url));
  const outside = { disk, clock, random, log, chunkBuilder };
  const start = (
    { cluster, incarnation, node, joined }: Identity,
    { withLoss, restored }: { withLoss: boolean; restored: boolean },
  ): Promise<Server> =>
    startServer(
      {
        ...outside,
        limits,
        node,
        owner: { cluster, incarnation },
        acceptLoss: withLoss,
        openRooms: options.openRooms,
        restored,
        flush,
        joined,
        peers: options.cluster?.ground,
      },
      {
        timeZone,
        retentionDays: retention.days,
        keptBounds: boundNames.filter((bound) => !options.given.has(`limits.${bound}`)),
        push,
        flushAfterMs: flush.afterMs,
        flushAfterBytes: flush.afterBytes,
        advertise,
        openNames: auth.mode === "open",
        authenticate,
        onFailed,
        ...(onOvertaken === undefined ? {} : { onOvertaken }),
      },
    );
  const { identity } = directory;
  const { restored } = options;
  try {
    return await start(identity, { withLoss: false, restored });
  } catch (cause) {
    if (cause instanceof PromisesLost) {
      const next = await nextLifeOf(cause, { identity, disk }, options);
      return start(next, { withLoss: false, restored: false });
    }
    // Another server's file, a disk that is full or fails: for people to mend, and no fault of the program.
    if (cause instanceof Fault) {
      throw new CommandFailed(exitCodes.refused, `the data directory can't be used: ${cause.message}`, { cause });
    }
    if (!(cause instanceof DataDamaged)) throw cause;
    // Nothing was changed yet: what is lost is said before it is moved aside. Who moves a file says where to.
    for (const damage of cause.damage) {
      if (acceptLoss) log.warn("data.lost", { ...damage });
      else log.error("data.damaged", { ...damage });
    }
    const { rooms, rebuilt, ...loss } = cause.loss;
    const kept = rebuilt === null ? null : { ...rebuilt, rooms: rebuilt.rooms.slice(0, 1_000) };
    const told = { ...loss, rooms: rooms.slice(0, 1_000), ...(kept === null ? {} : { rebuilt: kept }) };
    log.warn(acceptLoss ? "data.given-up" : "data.at-stake", told);
    if (!acceptLoss) throw new CommandFailed(exitCodes.failed, cause.message, { cause });
    return start(identity, { withLoss: true, restored });
  }
}

/** A member that can't go on as who it was: the identity it goes on with, once the others are a quorum without it. */
async function nextLifeOf(
  lost: PromisesLost,
  directory: { readonly identity: Identity; readonly disk: Disk },
  { cluster, end }: { readonly cluster: ClusterGround | null; readonly end: Promise<End> },
): Promise<Identity> {
  if (cluster === null) {
    const advice = "start it with --topology leader and its --peers, and it gets from them what it lacks";
    throw new CommandFailed(exitCodes.failed, `${lost.message}\n${advice}`, { cause: lost });
  }
  return cluster.anotherLife(
    lost,
    directory,
    end.then((why) => new Interrupted(why)),
  );
}
