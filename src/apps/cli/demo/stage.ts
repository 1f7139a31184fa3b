import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../../base/error-codes.ts";
import { freePorts } from "../../../platform/node/free-ports.ts";
import { CommandFailed, exitCodes } from "../../terminal/exit-codes.ts";
import { Cable } from "./cable.ts";
import { ServerChild } from "./server-child.ts";

export const names = ["n1", "n2", "n3"] as const;

/** How much longer every flush takes on a disk that was made slow. */
const slowMs = 400;

/** What somebody does to the servers. */
export type Act =
  | { readonly do: "kill" | "restart" | "pause" | "resume" | "slow" | "quicken"; readonly server: string }
  | { readonly do: "cut" | "mend"; readonly server: string; readonly other: string }
  | { readonly do: "heal" };

/** Three servers on this machine that are one cluster, with a cable for each way from one to another. */
export class Stage {
  readonly servers: readonly ServerChild[];
  readonly #cables: ReadonlyMap<string, Cable>;
  readonly #cut = new Set<string>();

  private constructor(servers: readonly ServerChild[], cables: ReadonlyMap<string, Cable>) {
    this.servers = servers;
    this.#cables = cables;
  }

  /** Lays everything out in a folder; nothing runs yet. `changed` is told whenever a server's process does something else. */
  static async in(folder: string, changed: (server: ServerChild) => void): Promise<Stage> {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const secretFile = join(folder, "secret");
    writeFileSync(secretFile, randomBytes(32).toString("hex"), { mode: 0o600 });
    const ports = await freePorts(names.length * 4).catch((cause: unknown) => {
      throw cause instanceof Fault ? new CommandFailed(exitCodes.failed, cause.message, { cause }) : cause;
    });
    const portsOf = new Map(
      names.map((name, at) => {
        const [port, tcpPort, adminPort, peerPort] = ports.slice(at * 4) as [number, number, number, number];
        return [name, { port, tcpPort, adminPort, peerPort }] as const;
      }),
    );
    const cables = new Map<string, Cable>();
    for (const from of names) {
      for (const to of names) {
        if (from !== to) cables.set(wayOf(from, to), await Cable.to(portsOf.get(to)!.peerPort));
      }
    }
    const servers = names.map((name) => {
      const peers = names.map((to) => {
        const port = to === name ? portsOf.get(to)!.peerPort : cables.get(wayOf(name, to))!.port;
        return `${to}=127.0.0.1:${port}`;
      });
      return new ServerChild({ name, folder, ports: portsOf.get(name)!, peers, secretFile, changed });
    });
    return new Stage(servers, cables);
  }

  start(): void {
    for (const server of this.servers) server.start();
  }

  /** Pairs of servers that do not reach each other. */
  get cut(): readonly (readonly [string, string])[] {
    return [...this.#cut].map((pair) => pair.split(" ") as [string, string]);
  }

  /** Does it, really. Answers false for what can't be done: an unknown server, or one that is not in that state. */
  async act(act: Act): Promise<boolean> {
    if (act.do === "heal") {
      this.#heal();
      return true;
    }
    const server = this.servers.find(({ name }) => name === act.server);
    if (server === undefined) return false;
    switch (act.do) {
      case "kill":
        await server.kill();
        return true;
      case "restart":
        server.start();
        return true;
      case "pause":
        server.pause();
        return true;
      case "resume":
        server.resume();
        return true;
      case "slow":
        server.slow(slowMs);
        return true;
      case "quicken":
        server.slow(0);
        return true;
      default:
        return this.#reach(act.server, act.other, act.do === "mend");
    }
  }

  /** Ends the servers and gives back every port. `isGentle`: in good order. */
  async end(isGentle: boolean): Promise<void> {
    for (const cable of this.#cables.values()) cable.mend();
    await Promise.all(this.servers.map((server) => (isGentle ? server.stop() : server.kill())));
    await Promise.all([...this.#cables.values()].map((cable) => cable.close()));
  }

  #heal(): void {
    for (const [one, other] of this.cut) this.#reach(one, other, true);
    for (const server of this.servers) {
      server.resume();
      if (server.slowMs > 0) server.slow(0);
      server.start();
    }
  }

  #reach(one: string, other: string, isMended: boolean): boolean {
    const ways = [this.#cables.get(wayOf(one, other)), this.#cables.get(wayOf(other, one))];
    if (ways.includes(undefined)) return false;
    for (const cable of ways) {
      if (isMended) cable!.mend();
      else cable!.cut();
    }
    const pair = [one, other].sort().join(" ");
    if (isMended) this.#cut.delete(pair);
    else this.#cut.add(pair);
    return true;
  }
}

const wayOf = (from: string, to: string): string => `${from} ${to}`;
