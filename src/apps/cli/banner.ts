import picocolors from "picocolors";
import { version } from "./version.ts";

/** What somebody at a terminal sees once the server listens: where it is, and what to type next. */
export function banner(at: {
  host: string;
  port: number;
  tcpPort: number;
  data: string;
  auth: "open" | "token";
  hasPage: boolean;
  colour?: boolean;
}): string {
  const { bold, cyan, dim } = picocolors.createColors(at.colour ?? picocolors.isColorSupported);
  const host = typed(at.host);
  const isUsual = host === "127.0.0.1" && at.port === 7400;
  const chat = isUsual ? "npx synod chat" : `npx synod chat ws://${host}:${at.port}`;
  const rows: [string, string][] = [
    [at.hasPage ? "page" : "HTTP", cyan(`http://${host}:${at.port}/`)],
    ["TCP", `${host}:${at.tcpPort}`],
    ["data", at.data],
    ["chat", bold(at.auth === "open" ? `${chat} --user alice` : `SYNOD_TOKEN=… ${chat}`)],
  ];
  const lines = rows.map(([what, value]) => `  ${dim(what.padEnd(5))} ${value}`);
  return `\n${bold(`Synod ${version}`)} is ready.\n\n${lines.join("\n")}\n\n${dim("Ctrl-C stops it; every stored message stays.")}\n\n`;
}

/** The same in one plain line, for a file or a pipe. */
export const readyLine = (at: { host: string; port: number }): string =>
  `Synod ${version} is ready: http://${typed(at.host)}:${at.port}/\n`;

/** An address as somebody types it: "every address" is none. */
function typed(address: string): string {
  const name = address === "0.0.0.0" || address === "::" ? "127.0.0.1" : address;
  return name.includes(":") ? `[${name}]` : name;
}
