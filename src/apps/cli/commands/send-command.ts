import { Command } from "commander";
import { type ClientFlags, clientOptions, withClientOptions } from "./client-options.ts";
import { outputOption } from "./output-option.ts";

/** `synod send` with its options and help. */
export function sendCommand(): Command {
  return withClientOptions(new Command("send"))
    .helpGroup("Chat:")
    .description("store one message, and say where")
    .argument("<room>", "a room, or @user")
    .argument("[text]", "what to say; left out: what standard input holds")
    .option("--cid <id>", "id of the message: sent twice with the same one, it is stored once")
    .option("--create", "join the room first, which makes it")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod send lobby "the build is green"
  synod send @bob "lunch?" --user alice
  git log -1 | synod send ops --cid build-1234 -o json`,
    )
    .action(async (to: string, text: string | undefined, flags: ClientFlags & { cid?: string; create?: boolean }) => {
      const { send } = await import("../../terminal/send.ts");
      const { cid = null, create = false } = flags;
      await send({ ...clientOptions(flags), to, text: text ?? null, cid, create });
    });
}
