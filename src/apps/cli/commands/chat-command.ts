import { Command } from "commander";
import { type ClientFlags, clientOptions, withClientOptions } from "./client-options.ts";
import { outputOption } from "./output-option.ts";

/** `synod chat` with its options and help. */
export function chatCommand(): Command {
  return withClientOptions(new Command("chat"))
    .helpGroup("Chat:")
    .description("talk, at a terminal or from a pipe")
    .argument("[url...]", "servers; the usual one is ws://127.0.0.1:7400")
    .option("--room <room>", "where to begin", "lobby")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod chat --user alice
  synod chat tcp://chat.example.org:7403 --room ops
  uptime | synod chat --user robot          each line is a message; ends when all are stored

In a pipe, a line that begins with / is a command as at a terminal; // says a line that begins with /.
A pipe ends when no server answers, or one stores nothing, for --within seconds.`,
    )
    .action(async (urls: string[], flags: ClientFlags & { room: string }) => {
      const { chat } = await import("../../terminal/chat.ts");
      await chat({ ...clientOptions(flags, urls), room: flags.room });
    });
}
