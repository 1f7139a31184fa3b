import { type Command, serve, type ServeCommand } from "./command.ts";

/** What the tests of one file have started, so that none of it outlives them, however they end. */
export class StartedCommands {
  readonly #commands: Command[] = [];

  /** As `serve` of command.ts. */
  async serve(...given: Parameters<typeof serve>): Promise<ServeCommand> {
    const server = await serve(...given);
    this.add(server);
    return server;
  }

  add(...commands: readonly Command[]): void {
    this.#commands.push(...commands);
  }

  /** Kills what still runs; settles when nothing is left. */
  async end(): Promise<void> {
    for (const command of this.#commands) if (command.isRunning) command.signal("SIGKILL");
    await Promise.all(this.#commands.map((command) => command.ended));
  }
}
