import { existsSync } from "node:fs";
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { loopbackHosts, type Trust } from "../../doors/trust.ts";
import { nodeClock } from "../../platform/node/node-clock.ts";
import { nodeFileSystem } from "../../platform/node/node-file-system.ts";
import { nodeRandom } from "../../platform/node/node-random.ts";
import type { Log } from "../../server/log.ts";
import type { startServer } from "../../server/start-server.ts";
import { ToldEvents } from "../../server/told-events.ts";
import { openDisk } from "../../storage/disk.ts";
import type { FileSystem } from "../../storage/file-system.ts";
import { adminTokenOf, authenticator, isLoopback } from "./authenticate.ts";
import { banner, readyLine } from "./banner.ts";
import { ClusterGround, clusterSecretOf } from "./cluster-ground.ts";
import type { Configuration } from "./configuration.ts";
import { endedInTime, endOfServer, failedWithinMs, Interrupted, overtaking, stopFor } from "./end-of-server.ts";
import { type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import { doorPlaces, mustBeHad } from "./ports-to-be-had.ts";
import { type Ports, portsFile, removePorts, writePorts } from "./ports-file.ts";
import { watchProcess } from "./process-facts.ts";
import { builtClusterPage, builtPage, ServerDoors } from "./server-doors.ts";
import { serverLog } from "./server-log.ts";
import { openDirectory, startOn } from "./start-on-directory.ts";
import { version } from "./version.ts";

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
  const again = overtaking();
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
      onOvertaken: again.overtaken,
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

    const reason = await Promise.race([end.reached, again.reached]);
    forget();
    process.off("exit", forget);
    const code = await stopFor(reason, { server, doors, log });
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
    if (await endedInTime(ends)) {
      await disk.close();
      await directory.close();
    } else setTimeout(() => process.exit(exitCodes.failed), failedWithinMs);
    clearInterval(alive);
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
