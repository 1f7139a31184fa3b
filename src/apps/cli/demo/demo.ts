import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import picocolors from "picocolors";
import { listenRefused } from "../listen-refused.ts";
import { builtDemoPage } from "../server-doors.ts";
import { CommandFailed, type ExitCode, exitCodes } from "../../terminal/exit-codes.ts";
import { DemoDoor } from "./demo-door.ts";
import { Play } from "./play.ts";

export interface DemoCommand {
  /** Of the page; 0: a free one. */
  readonly port: number;
  /** Where everything is written, and stays; null: in a new folder, which goes with it. */
  readonly keep: string | null;
  /** Shows the page in this machine's browser. */
  readonly open: boolean;
  /** Tells where everything is, and in the end what was counted, as one JSON value a line. */
  readonly json: boolean;
}

/**
 * `synod demo`: three servers on this machine, two people who talk through them, and a page to break them with. Runs until
 * it is told to end, and leaves nothing behind but what was to be kept. Code 1 when something was lost, came twice, or out
 * of order: then it has found what it says can't be.
 */
export async function demo(command: DemoCommand): Promise<ExitCode> {
  const page = await builtDemoPage();
  if (page === null) throw new CommandFailed(exitCodes.failed, "the page was not built; run npm run build");
  const folder = folderOf(command.keep);
  const end = signalled();
  try {
    const say = (text: string): void => {
      (command.json ? process.stderr : process.stdout).write(text);
    };
    say("starting three servers …\n");
    const play = await Play.begin(folder, end.signal);
    if (play === null) return exitCodes.ok;
    const door = new DemoDoor(play, page);
    let isGentle = true;
    let unconfirmed: readonly string[] = [];
    try {
      const url = await door.listen(command.port).catch((cause: unknown) => {
        throw listenRefused({ host: "127.0.0.1", port: command.port, portFlag: "--port", hostFlag: "--port" }, cause);
      });
      process.stdout.write(command.json ? placesLine(url, play, folder) : banner(url, play, folder));
      if (command.open && process.stdout.isTTY) openInBrowser(url);
      if (!end.signal.aborted) await once(end.signal, "abort");
      say("ending …\n");
    } catch (cause) {
      isGentle = false;
      throw cause;
    } finally {
      end.second(() => {
        const exit = (): never => process.exit(130);
        play.stage.end(false).then(exit, exit);
      });
      unconfirmed = await play.end(isGentle);
      await door.close();
    }
    return summed(play, unconfirmed, command.json);
  } finally {
    if (command.keep === null) rmSync(folder, { recursive: true, force: true });
    end.forget();
  }
}

function folderOf(keep: string | null): string {
  if (keep === null) return mkdtempSync(join(tmpdir(), "synod-demo-"));
  const folder = resolve(keep);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length === 0) return folder;
  throw new CommandFailed(exitCodes.usage, `${keep} is not empty; name a new folder`);
}

function banner(url: string, play: Play, folder: string): string {
  const { bold, cyan, dim } = picocolors;
  const servers = play.stage.servers.map(({ name, pid, ports }) => `${name} (process ${pid}, port ${ports.port})`);
  const clients = play.stage.servers.map(({ ports }) => `tcp://127.0.0.1:${ports.tcpPort}`).join(",");
  const rows = [
    ["page", cyan(url)],
    ["servers", servers.join("  ")],
    ["files", folder],
    ["join in", `npx synod chat ${clients} --user carol`],
  ];
  const lines = rows.map(([what, value]) => `  ${dim(what!.padEnd(8))} ${value}`);
  const next = dim("alice and bob talk. Kill the leader on the page. Ctrl-C ends all of it.");
  return `\n${bold("Three servers, one log.")}\n\n${lines.join("\n")}\n\n${next}\n\n`;
}

function placesLine(page: string, play: Play, files: string): string {
  const servers = play.stage.servers.map(({ name, pid, ports }) => ({ node: name, pid, ...ports }));
  return `${JSON.stringify({ page, files, servers })}\n`;
}

function summed({ count }: Play, unconfirmed: readonly string[], json: boolean): ExitCode {
  const { acknowledged, stored, delivered, lost, twice, disordered, differ } = count;
  const wrong = lost + twice + disordered + differ;
  const code = wrong === 0 ? exitCodes.ok : exitCodes.failed;
  if (json) {
    const counted = { acknowledged, stored, delivered, lost, twice, disordered, differ, unconfirmed };
    process.stdout.write(`${JSON.stringify(counted)}\n`);
    return code;
  }
  const numbers = `acknowledged ${acknowledged}, stored ${stored}, delivered ${delivered}`;
  for (const line of unconfirmed) process.stdout.write(`not confirmed: ${line}\n`);
  process.stdout.write(`${numbers}; lost ${lost}, twice ${twice}, out of order ${disordered}\n`);
  return code;
}

/** Where there is none, the address was printed. */
function openInBrowser(url: string): void {
  const opener = process.platform === "darwin" ? "open" : process.platform === "win32" ? "explorer" : "xdg-open";
  const child = spawn(opener, [url], { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}

/** The first signal that ends the demonstration, and what a second one does. */
function signalled(): { signal: AbortSignal; second: (then: () => void) => void; forget: () => void } {
  const first = new AbortController();
  let second: (() => void) | null = null;
  const listener = (): void => {
    if (first.signal.aborted) second?.();
    first.abort();
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, listener);
  return {
    signal: first.signal,
    second: (then) => {
      second = then;
    },
    forget: () => {
      for (const signal of signals) process.off(signal, listener);
    },
  };
}
