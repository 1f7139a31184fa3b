import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";

/** The name at the top of the data directory. Tells programs on this machine where the server listens. */
export const portsFile = "ports.json";

export interface Ports {
  /** HTTP, WebSocket and the page. */
  readonly port: number;
  readonly tcpPort: number;
  /** Status, metrics and operations. */
  readonly adminPort: number;
  /** Other servers; not there in topology solo. */
  readonly peerPort?: number;
  readonly pid: number;
  readonly node: string;
}

/**
 * The file appears with its whole content. It is a hint for the living and need not survive power loss. When it throws
 * there is no such file: not the one either that a killed server left, whose ports may be another's by now.
 */
export function writePorts(directory: string, ports: Ports): void {
  const draft = join(directory, `${portsFile}.tmp`);
  try {
    writeFileSync(draft, `${JSON.stringify(ports)}\n`, { mode: 0o600 });
    renameSync(draft, join(directory, portsFile));
  } catch (cause) {
    rmSync(draft, { force: true });
    if (!isFolder(join(directory, portsFile))) removePorts(directory);
    throw cause;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The ports of the server that runs on this directory, or null when none does, as far as the file tells. */
function readPorts(directory: string): Ports | null {
  try {
    return JSON.parse(readFileSync(join(directory, portsFile), "utf8")) as Ports;
  } catch (cause) {
    // A folder of that name is somebody's mistake, and tells of no server.
    if (cause instanceof Error && "code" in cause && ["ENOENT", "EISDIR"].includes(String(cause.code))) return null;
    throw cause;
  }
}

/** Where a command looks for its server when no directory is named. */
const usualDirectory = "./synod-data";

/**
 * The ports of the server of a directory; null when none was named, and none runs on the usual one. A directory that was
 * named and has no server is an error: another server must not answer in its place.
 */
export function portsOf(directory: string | null): Ports | null {
  const ports = readPorts(directory ?? usualDirectory);
  if (ports !== null || directory === null) return ports;
  throw new CommandFailed(exitCodes.unreachable, `no server runs on ${directory}: there is no ${portsFile} in it`);
}

/** Synchronous, so that it can be the last thing a process does. */
export function removePorts(directory: string): void {
  rmSync(join(directory, portsFile), { force: true });
}
