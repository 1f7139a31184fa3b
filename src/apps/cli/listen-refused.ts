import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";

/** An address to listen on, and the flags that change it. */
export interface ListenPlace {
  readonly host: string;
  readonly port: number;
  readonly portFlag: string;
  readonly hostFlag: string;
}

/** Why a port can't be had, with what to do about it; for whoever started the server. */
export function listenRefused(at: ListenPlace, cause: unknown): CommandFailed {
  const { host, port, portFlag, hostFlag } = at;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const where = `${host}:${port}`;
  const refused = (text: string): CommandFailed => new CommandFailed(exitCodes.refused, text, { cause });
  switch (code) {
    case "EADDRINUSE":
      return refused(`${where} is in use; choose another ${portFlag}, or 0 for a free one`);
    case "EACCES":
      return refused(`${where} may not be opened by this user; choose a ${portFlag} above 1023`);
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN": {
      const text = `${host} is no address of this machine; choose another ${hostFlag}`;
      return new CommandFailed(exitCodes.usage, text, { cause });
    }
    default: {
      const why = cause instanceof Error ? cause.message : String(cause);
      return new CommandFailed(exitCodes.failed, `can't listen on ${where}: ${why}`, { cause });
    }
  }
}
