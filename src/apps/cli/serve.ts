import { existsSync } from "node:fs";
import { Fault } from "../../base/error-codes.ts";
import type { Clock } from "../../base/clock.ts";
import type { NodeName } from "../../base/ids.ts";
import type { Random } from "../../base/random.ts";
import { loopbackHosts, type Trust } from "../../doors/trust.ts";
import { isLockFile, nodeDataLock } from "../../platform/node/data-lock.ts";
import { nodeChunkBuilder } from "../../platform/node/node-chunk-builder.ts";
import { nodeClock } from "../../platform/node/node-clock.ts";
import { nodeFileSystem } from "../../platform/node/node-file-system.ts";
import { nodeRandom } from "../../platform/node/node-random.ts";
import { boundNames } from "../../rooms/setting.ts";
import type { Log } from "../../server/log.ts";
import { DataDamaged, PromisesLost } from "../../server/data-refused.ts";
import type { Server } from "../../server/server.ts";
import { startServer } from "../../server/start-server.ts";
import { ToldEvents } from "../../server/told-events.ts";
import {
  type DataDirectory,
  DirectoryRefused,
  type Identity,
  openDataDirectory,
} from "../../storage/data-directory.ts";
import { type Disk, openDisk } from "../../storage/disk.ts";
import { type FileSystem, systemCodeOf } from "../../storage/file-system.ts";
import { adminTokenOf, authenticator, isLoopback } from "./authenticate.ts";
import { banner, readyLine } from "./banner.ts";
import { ClusterGround, clusterSecretOf } from "./cluster-ground.ts";
import type { Configuration } from "./configuration.ts";
import { CommandFailed, type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import { doorPlaces, mustBeHad } from "./ports-to-be-had.ts";
import { type Ports, portsFile, removePorts, writePorts } from "./ports-file.ts";
import { watchProcess } from "./process-facts.ts";
import { builtClusterPage, builtPage, ServerDoors } from "./server-doors.ts";
import { serverLog } from "./server-log.ts";
import { version } from "./version.ts";

/** How long clients have to go elsewhere once the server was told to stop, in milliseconds. */
const drainWithinMs = 2_000;

/** How long a server whose journal failed takes at most to tell its clients, in milliseconds. */
const failedWithinMs = 500;

/** How long what a failed start has begun takes at most to end, in milliseconds: it flushes, and finishes a segment of zeros. */
const endedWithinMs = 10_000;

/** What ends a server that runs. */
type End =
  | { type: "signal"; signal: NodeJS.Signals }
  | { type: "failed"; cause: Error }
  /** What is on the disk is another state than the one that is served. */
  | { type: "overtaken"; because: string };

type ServerPorts = Awaited<ReturnType<ServerDoors["open"]>>;

/**
 * `synod serve`: runs a server in the foreground, and settles with the exit code once it has stopped.
 *
 * 1. the ports file is there while, and only while, clients can connect (a killed server leaves it behind)
 * 2. a signal stops it in good order: clients are told, what was taken is stored; a second signal ends it at once
 * 3. what must not happen (a failed journal, an exception nobody expected) is logged and ends it with code 1
 */
export async function serve(configuration: Configuration, options: ServeOptions): Promise<ExitCode> {
  const isTerminal = process.stderr.isTTY;
  const format = configuration.log === "auto" ? (isTerminal ? "text" : "json") : configuration.log;
  const clock = nodeClock();
  const lines = serverLog({ format, colour: isTerminal && !("NO_COLOR" in process.env) });
  const log = new ToldEvents({ log: lines, clock });
  const secret = await clusterSecretOf(configuration);
  const authenticate = await authenticator(configuration.auth, [configuration.host]);
  const adminToken = await adminTokenOf(configuration);
  process.umask(0o077);

  const end = endOfServer(log);
  const outside = { clock, random: nodeRandom(), log };
  const cluster = secret === null ? null : new ClusterGround(configuration, secret, outside);
  const parts = { ...outside, end, cluster, authenticate, adminToken, format };
  try {
    let ended = await serveOnce(configuration, options, parts);
    // Another server's snapshot was taken, or its journal is damaged: it is started as after a crash, on the same ports.
    while (typeof ended === "object") {
      ended = await serveOnce(
        { ...configuration, ...ended },
        { ...options, acceptLoss: false, restored: false },
        parts,
      );
    }
    return ended;
  } finally {
    await cluster?.close();
  }
}

interface ServeOptions {
  readonly acceptLoss: boolean;
  readonly restored: boolean;
  /** Rooms that are open to all where the state is rebuilt. @defaultValue none */
  readonly openRooms?: ReadonlySet<string>;
  /** Names of the options that somebody gave. */
  readonly given: ReadonlySet<string>;
  readonly warnings: readonly string[];
  /** The files of a data directory, where they are not simply those of this machine. */
  readonly fileSystem?: (data: string) => FileSystem;
}

interface ServeParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: ToldEvents;
  readonly end: ReturnType<typeof endOfServer>;
  readonly cluster: ClusterGround | null;
  readonly authenticate: Parameters<typeof startServer>[1]["authenticate"];
  readonly adminToken: string | null;
  readonly format: "json" | "text";
}

/** One server, from its start to its end: the exit code, or the ports it had when it is to be started anew. */
async function serveOnce(
  configuration: Configuration,
  options: ServeOptions,
  { clock, random, log, end, cluster, authenticate, adminToken, format }: ServeParts,
): Promise<ExitCode | ServerPorts> {
  const { data, node } = configuration;
  const doorsAt = doorPlaces(configuration);
  const portsCanBeHad = (): Promise<void> => {
    const peerPlace = cluster?.place ?? null;
    return mustBeHad([...Object.values(doorsAt), ...(peerPlace === null ? [] : [peerPlace])]);
  };
  // Where there is no directory yet, none is made for a start that is refused.
  if (!existsSync(data)) await portsCanBeHad();
  const disk = openDisk((options.fileSystem ?? nodeFileSystem)(data));
  const again = withResolvers<End>();
  const directory = await openDirectory(configuration, disk, { cluster, end: end.reached, portsCanBeHad });
  if (directory === null) {
    await disk.close();
    log.info("server.stopped", { because: "it was told to while it waited for a cluster" });
    return exitCodes.ok;
  }
  // The clock's timers do not keep a process alive, and until a door is open nothing else may: without this, a start
  // that waits for its first flush can end the process with code 0 and without a word.
  const alive = setInterval(() => undefined, 3_600_000);
  /** What ends that which was begun, should the rest of the start fail. */
  const ends: (() => Promise<void>)[] = [];
  try {
    if (!directory.founded) await portsCanBeHad();
    for (const text of options.warnings) log.warn("configuration.warning", { text });
    const insecure = risksOf(configuration);
    for (const risk of insecure) log.warn("server.insecure", { risk });
    // Started by another way than the command's first file; disk and name look-ups then share few threads.
    if (process.env["UV_THREADPOOL_SIZE"] === undefined) {
      log.warn("process.few-threads", { advice: "start it as synod, or set UV_THREADPOOL_SIZE=16" });
    }
    for (const damage of directory.damage) log.warn("identity.repaired", { ...damage });
    if (directory.unknown.length > 0) log.warn("directory.unknown-files", { files: directory.unknown.slice(0, 20) });
    const server = await startOn({ disk, directory, log, clock, random }, configuration, {
      acceptLoss: options.acceptLoss,
      restored: options.restored,
      openRooms: options.openRooms ?? new Set(),
      given: options.given,
      authenticate,
      onFailed: end.failed,
      onOvertaken: (because) => again.resolve({ type: "overtaken", because }),
      cluster,
      end: end.reached,
    });
    ends.push(() => server.stop(0));
    if (cluster !== null) cluster.taker = { accept: (stream) => server.acceptPeer(stream) };
    // Before clients come. Not while the data is read: who does not answer yet is refused, and known not to run.
    const peerPort = (await cluster?.listen()) ?? null;
    // A member of a cluster that was restored has begun another life instead.
    if (options.restored && server.incarnation === directory.identity.incarnation)
      log.warn("data.restored", { line: server.state.line, advice: "leave --restored out from now on" });
    const { host, limits } = configuration;
    const trust = trustOf(configuration);
    const page = await builtPage();
    if (page === null) log.warn("page.missing", { advice: "the package was built without the page" });
    const facts = watchProcess();
    const access = { adminToken, trust, page, clusterPage: await builtClusterPage() };
    const doors = new ServerDoors({ server, clock, random, limits, log, facts, events: log, insecure, ...access });
    const ports = await doors.open(doorsAt);
    ends.push(() => doors.close());
    const { port, tcpPort } = ports;
    const pid = process.pid;
    const forget = tellPorts(data, { ...ports, ...(peerPort === null ? {} : { peerPort }), pid, node }, log);
    process.once("exit", forget);
    // Whoever started it is told where it is: at a terminal in better words, and a program that reads JSON by the log alone.
    if (process.stdout.isTTY) {
      process.stdout.write(
        banner({ host, port, tcpPort, data, auth: configuration.auth.mode, hasPage: page !== null }),
      );
    } else if (configuration.log !== "json") process.stdout.write(readyLine({ host, port }));
    if (!process.stdout.isTTY || format === "json") {
      log.info("server.started", {
        version,
        node,
        data,
        cluster: directory.identity.cluster,
        ...ports,
        ...(peerPort === null ? {} : { peerPort }),
        pid,
      });
    }

    const reason = await Promise.race([end.reached, again.promise]);
    forget();
    process.off("exit", forget);
    const code = await stop(reason, { server, doors, log });
    ends.length = 0;
    if (reason.type !== "overtaken") return code;
    log.info("server.again", { because: reason.because });
    return ports;
  } catch (cause) {
    if (!(cause instanceof Interrupted)) throw cause;
    log.info("server.stopped", { because: "it was told to while it waited for the others of its cluster" });
    return exitCodes.ok;
  } finally {
    // Whoever gets the lock next must be alone with the data: what serves has ended before the lock goes. What can't be
    // ended keeps the lock, and ends with the process.
    if (await endedWithin(endedWithinMs, ends)) {
      await disk.close();
      await directory.close();
    } else setTimeout(() => process.exit(exitCodes.failed), failedWithinMs);
    clearInterval(alive);
  }
}

/** Ends what was begun, the newest first. False when that took longer: a disk that hangs must not hold up the end. */
async function endedWithin(withinMs: number, ends: readonly (() => Promise<void>)[]): Promise<boolean> {
  if (ends.length === 0) return true;
  const { promise: late, resolve } = withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), withinMs);
  const all = async (): Promise<boolean> => {
    for (const end of ends.toReversed()) await end();
    return true;
  };
  try {
    return await Promise.race([all(), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Tells programs of this machine where the server listens, and answers what takes that back. Nothing depends on it but
 * their convenience: a server whose file can't be written serves all the same.
 */
function tellPorts(data: string, ports: Ports, log: Log): () => void {
  try {
    writePorts(data, ports);
    return () => removePorts(data);
  } catch (cause) {
    const advice = "commands on this machine must be told where it listens: --url";
    log.warn("ports.not-written", { file: portsFile, cause, advice });
    return () => undefined;
  }
}

async function stop(reason: End, parts: { server: Server; doors: ServerDoors; log: Log }): Promise<ExitCode> {
  const { server, doors, log } = parts;
  if (reason.type === "failed") {
    // What was not flushed is not known to be stored, and no later flush can be believed. Clients hear as much, and go
    // elsewhere or wait; a disk that hangs must not hold this up.
    log.error("server.failed", { cause: reason.cause });
    setTimeout(() => process.exit(exitCodes.failed), failedWithinMs);
    doors.stop();
    await server.stop(0);
    await doors.settle(failedWithinMs);
    process.exit(exitCodes.failed);
  }
  const withinMs = reason.type === "signal" ? drainWithinMs : 0;
  if (reason.type === "signal") log.info("server.stopping", { signal: reason.signal });
  doors.stop();
  await server.stop(withinMs);
  await doors.settle(withinMs);
  await doors.close();
  if (reason.type === "signal") log.info("server.stopped");
  return exitCodes.ok;
}

/** Listens for what ends a server: signals, a failed journal, and what nobody expected. */
function endOfServer(log: Log): { reached: Promise<End>; failed: (cause: Error) => void } {
  const { promise, resolve } = withResolvers<End>();
  let signalled = false;
  const signal = (name: NodeJS.Signals): void => {
    // 128 + n is how a shell reports a process that ended by a signal.
    if (signalled) process.exit(name === "SIGINT" ? 130 : 143);
    signalled = true;
    resolve({ type: "signal", signal: name });
  };
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, signal);
  // Its default is Node's inspector: a port without a password (synod.cts keeps it shut).
  process.on("SIGUSR1", () => log.warn("signal.ignored", { signal: "SIGUSR1" }));
  const unexpected = (event: string) => (cause: unknown) => {
    log.error(event, { cause: cause instanceof Error ? cause : new Error(String(cause)) });
    process.exit(exitCodes.failed);
  };
  process.on("uncaughtException", unexpected("process.uncaught-exception"));
  process.on("unhandledRejection", unexpected("process.unhandled-rejection"));
  return { reached: promise, failed: (cause) => resolve({ type: "failed", cause }) };
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: ((value: T) => void) | null = null;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve: resolve! };
}

function risksOf({ auth }: Configuration): string[] {
  const risks: string[] = [];
  if (auth.mode === "open") risks.push("auth.mode open: any program of this machine may speak as anybody");
  if (process.getuid?.() === 0) risks.push("running as root: any other user is enough");
  return risks;
}

// A browser's page on another site can reach this machine's loopback by a name of its own; with tokens it has none.
function trustOf({ auth, host, origins }: Configuration): Trust {
  const hosts = auth.mode === "open" ? [...loopbackHosts, ...(isLoopback(host) ? [host] : [])] : null;
  return { origins, hosts };
}

/** null: it was told to end while an empty directory waited for a cluster. */
async function openDirectory(
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

/** A start was ended by a signal. */
class Interrupted extends Error {
  override readonly name = "Interrupted";

  constructor(end: End) {
    super(`the start was ended: ${end.type}`);
  }
}

async function startOn(
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
