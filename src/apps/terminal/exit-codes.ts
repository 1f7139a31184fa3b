/** How every command ends. Part of the protocol with scripts: docs/reference/commands.md. */
export const exitCodes = {
  ok: 0,
  /** A check found something wrong, or the program failed. */
  failed: 1,
  /** The command line or the configuration is not right. */
  usage: 2,
  /** No server answered. */
  unreachable: 3,
  /** Somebody said no: a server to a client, or a data directory to a server. */
  refused: 4,
  noQuorum: 5,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends a command: one message that names the thing and the next step, and the code to end with. */
export class CommandFailed extends Error {
  override readonly name = "CommandFailed";
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
