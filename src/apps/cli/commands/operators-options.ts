import { Option } from "commander";

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
