import { Option } from "commander";
import { seconds } from "./number-arguments.ts";

/** How the commands that ask a server's operators' port find it. */
export interface OperatorsFlags {
  readonly url?: string;
  readonly data?: string;
  readonly tokenFile?: string;
  readonly output: string;
}

/** What the flags say, with null for what was left out. */
export function operatorsOptions(flags: OperatorsFlags) {
  const { url = null, data = null, tokenFile = null, output } = flags;
  return { url, data, tokenFile, json: output === "json" };
}

/** Where that port is, when no address was given. */
export const dataOption = (): Option =>
  new Option(
    "--data <dir>",
    "data directory of a server on this machine, to find its ports (default: ./synod-data, else the usual ports)",
  );

/** For scripts that have just started a server. */
export const waitOption = (): Option =>
  new Option("--wait <seconds>", "ask again until the server can take messages, for so long").argParser(seconds);

export interface WaitFlags {
  readonly wait?: number;
}

/** Milliseconds; null: not at all. */
export const waitMsOf = ({ wait }: WaitFlags): number | null => (wait === undefined ? null : wait * 1_000);
