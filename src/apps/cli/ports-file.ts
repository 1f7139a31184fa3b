import { renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The name at the top of the data directory. Tells programs on this machine where the server listens. */
export const portsFile = "ports.json";

export interface Ports {
  /** HTTP, WebSocket and the page. */
  readonly port: number;
  readonly tcpPort: number;
  /** null: this server has no port for operators. */
  readonly adminPort: number | null;
  readonly pid: number;
  readonly node: string;
}

/** The file appears with its whole content. It is a hint for the living and need not survive power loss. */
export function writePorts(directory: string, ports: Ports): void {
  const draft = join(directory, `${portsFile}.tmp`);
  writeFileSync(draft, `${JSON.stringify(ports)}\n`, { mode: 0o600 });
  renameSync(draft, join(directory, portsFile));
}

/** Synchronous, so that it can be the last thing a process does. */
export function removePorts(directory: string): void {
  rmSync(join(directory, portsFile), { force: true });
}
