import { type Command, Option } from "commander";
import { seconds } from "./number-arguments.ts";

/** Who speaks to which server, for every command that does. */
export function withClientOptions(command: Command): Command {
  return command
    .option("--url <url>", "server: ws://HOST:PORT or tcp://HOST:PORT; several with commas (SYNOD_URL)")
    .option("--tcp", "over TCP instead of WebSocket; the usual port is 7403")
    .option("--user <name>", "who speaks (SYNOD_USER; else who a token is for, or who you are on this machine)")
    .option("--token-file <file>", "token to prove it with (or SYNOD_TOKEN)")
    .addOption(new Option("--within <seconds>", "how long to wait for a server").argParser(seconds).default(10));
}

export interface ClientFlags {
  readonly url?: string;
  readonly tcp?: boolean;
  readonly user?: string;
  readonly tokenFile?: string;
  readonly within: number;
  readonly output: "text" | "json";
}

/** What the flags say. Addresses that are arguments win over `--url`. */
export function clientOptions(flags: ClientFlags, urls: readonly string[] = []) {
  return {
    urls: urls.length > 0 ? urls : flags.url === undefined ? [] : flags.url.split(","),
    tcp: flags.tcp === true,
    user: flags.user ?? null,
    tokenFile: flags.tokenFile ?? null,
    withinMs: flags.within * 1_000,
    json: flags.output === "json",
  };
}
