import { Command, InvalidArgumentError, Option } from "commander";
import { CommandFailed, type ExitCode, exitCodes } from "../terminal/exit-codes.ts";
import { simCommand } from "./sim-command.ts";
import { settings } from "./settings.ts";
import { version } from "./version.ts";

/**
 * All commands with their options and help. What a command needs beyond that is loaded when it runs: `--help` and a
 * message of one line must not wait for a server.
 */
export function makeProgram(ended: (code: ExitCode) => void): Command {
  const program = new Command("synod")
    .description("A chat server whose rooms are replicated logs: no message lost, no order scrambled.")
    .version(version)
    .showSuggestionAfterError(true)
    .showHelpAfterError("(synod COMMAND --help tells more)")
    .exitOverride();
  program.addCommand(serveCommand(ended));
  program.addCommand(chatCommand());
  program.addCommand(sendCommand());
  program.addCommand(tailCommand());
  program.addCommand(statusCommand(ended));
  program.addCommand(clusterCommand(ended));
  program.addCommand(traceCommand(ended));
  program.addCommand(verifyCommand(ended));
  program.addCommand(demoCommand(ended));
  program.addCommand(benchCommand(ended));
  program.addCommand(simCommand(ended));
  for (const command of program.commands) {
    command.copyInheritedSettings(program);
    for (const part of command.commands) part.copyInheritedSettings(program);
  }
  return program;
}

function serveCommand(ended: (code: ExitCode) => void): Command {
  const command = new Command("serve").description("run a server in the foreground").helpGroup("Servers:");
  command.option("--config <file>", "configuration file (YAML); flags and SYNOD_… variables win over it");
  for (const setting of settings) {
    if (setting.flag === null) continue;
    const { default: fallback } = setting;
    const shown = fallback === null || Array.isArray(fallback) ? "" : ` (default: ${String(fallback)})`;
    command.addOption(new Option(setting.flag, `${setting.meaning}${shown}`));
  }
  command.option("--accept-loss", "go on without what is damaged: it is moved aside, and its messages are gone");
  command.option(
    "--open-room <room...>",
    "with --accept-loss, where the state is rebuilt: anybody may read this room; all others become private",
  );
  command.option("--restored", "the data is an older copy: rooms get another line, so that clients read anew; once");
  command.addHelpText(
    "after",
    `
Examples:
  synod serve                                     on 127.0.0.1:7400, data in ./synod-data
  synod serve --data /var/lib/synod --port 8080
  synod serve --config synod.yaml --log json
  synod serve --host 0.0.0.0 --auth token --auth-algorithm HS256 --auth-secret-file secret
  synod serve --node n1 --topology leader --secret-file cluster.secret --peer-host 10.0.0.1 \\
    --peers n1=10.0.0.1:7401,n2=10.0.0.2:7401,n3=10.0.0.3:7401        one of three; the others the same

Every setting: docs/reference/configuration.md`,
  );
  command.action(async (flags: Record<string, unknown>) => {
    const [{ readConfiguration }, { serve }] = await Promise.all([
      import("./read-configuration.ts"),
      import("./serve.ts"),
    ]);
    const file = flags["config"] ?? process.env["SYNOD_CONFIG"] ?? null;
    const { configuration, given, warnings } = await readConfiguration({
      flags,
      environment: process.env,
      file: typeof file === "string" ? file : null,
    });
    const openRooms = new Set((flags["openRoom"] as string[] | undefined) ?? []);
    const once = { acceptLoss: flags["acceptLoss"] === true, restored: flags["restored"] === true, openRooms };
    ended(await serve(configuration, { ...once, given, warnings }));
  });
  return command;
}

/** Who speaks to which server, for every command that does. */
function withClientOptions(command: Command): Command {
  return command
    .option("--url <url>", "server: ws://HOST:PORT or tcp://HOST:PORT; several with commas (SYNOD_URL)")
    .option("--tcp", "over TCP instead of WebSocket; the usual port is 7403")
    .option("--user <name>", "who speaks (SYNOD_USER; else who a token is for, or who you are on this machine)")
    .option("--token-file <file>", "token to prove it with (or SYNOD_TOKEN)")
    .addOption(new Option("--within <seconds>", "how long to wait for a server").argParser(seconds).default(10));
}

interface ClientFlags {
  readonly url?: string;
  readonly tcp?: boolean;
  readonly user?: string;
  readonly tokenFile?: string;
  readonly within: number;
  readonly output: "text" | "json";
}

function clientOptions(flags: ClientFlags, urls: readonly string[] = []) {
  return {
    urls: urls.length > 0 ? urls : flags.url === undefined ? [] : flags.url.split(","),
    tcp: flags.tcp === true,
    user: flags.user ?? null,
    tokenFile: flags.tokenFile ?? null,
    withinMs: flags.within * 1_000,
    json: flags.output === "json",
  };
}

const outputOption = (): Option =>
  new Option("-o, --output <format>", "what is printed").choices(["text", "json"]).default("text");

function chatCommand(): Command {
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
While no server answers, a pipe waits for --within seconds.`,
    )
    .action(async (urls: string[], flags: ClientFlags & { room: string }) => {
      const { chat } = await import("../terminal/chat.ts");
      await chat({ ...clientOptions(flags, urls), room: flags.room });
    });
}

function sendCommand(): Command {
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
      const { send } = await import("../terminal/send.ts");
      const { cid = null, create = false } = flags;
      await send({ ...clientOptions(flags), to, text: text ?? null, cid, create });
    });
}

function tailCommand(): Command {
  return withClientOptions(new Command("tail"))
    .helpGroup("Chat:")
    .description("print a room's messages in order")
    .argument("<room>", "a room, or @user")
    .addOption(new Option("--after <seq>", "everything after this place; 0 = from the beginning").argParser(whole))
    .addOption(new Option("-n, --lines <count>", "how many of the last").argParser(whole).default(20))
    .option("-f, --follow", "go on with what is said from now on")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod tail lobby -f
  synod tail ops --after 0 -o json | jq -r .body`,
    )
    .action(async (room: string, flags: ClientFlags & { after?: number; lines: number; follow?: boolean }) => {
      const { tail } = await import("../terminal/tail.ts");
      const { after = null, lines: count, follow = false } = flags;
      await tail({ ...clientOptions(flags), room, after, count, follow });
    });
}

const dataOption = (): Option =>
  new Option(
    "--data <dir>",
    "data directory of a server on this machine, to find its ports (default: ./synod-data, else the usual ports)",
  );

function statusCommand(ended: (code: ExitCode) => void): Command {
  return new Command("status")
    .helpGroup("Servers:")
    .description("what a server says of itself, or who is connected")
    .argument("[url]", "operators' port, such as http://127.0.0.1:7402")
    .option("--url <url>", "the same")
    .addOption(dataOption())
    .option("--token-file <file>", "what the server asks operators for, where it does")
    .option("--sessions", "who is connected, by which door, in which rooms")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod status
  synod status --sessions
  synod status http://127.0.0.1:7402 -o json | jq .ready

Ends with 1 when the server can't take messages.`,
    )
    .action(async (url: string | undefined, flags: StatusFlags) => {
      const { status } = await import("./status.ts");
      const { data = null, tokenFile = null, sessions = false, output } = flags;
      ended(await status({ url: url ?? flags.url ?? null, data, tokenFile, sessions, json: output === "json" }));
    });
}

interface StatusFlags {
  readonly url?: string;
  readonly data?: string;
  readonly tokenFile?: string;
  readonly sessions?: boolean;
  readonly output: string;
}

function clusterCommand(ended: (code: ExitCode) => void): Command {
  const part = (name: string, description: string): Command =>
    new Command(name)
      .description(description)
      .option("--url <url>", "operators' port of a server of the cluster, such as http://127.0.0.1:7402")
      .addOption(dataOption())
      .option("--token-file <file>", "what the server asks operators for, where it does")
      .addOption(outputOption());
  const afterOption = (): Option =>
    new Option("--after <number>", "what came after this event").argParser(whole).default(0);
  return new Command("cluster")
    .helpGroup("Servers:")
    .description("who belongs to a cluster and who leads it, and how to change that")
    .addCommand(
      part("status", "who belongs, who leads, who lags").action(async (flags: ClusterFlags) => {
        const { clusterStatus } = await import("./cluster-command.ts");
        ended(await clusterStatus(clusterOptions(flags)));
      }),
    )
    .addCommand(
      part("add", "have a server belong to the cluster; it is admitted as soon as it is there")
        .argument("<name>", "its --node")
        .argument("<address>", "HOST:PORT where the others reach its peer port")
        .action(async (node: string, address: string, flags: ClusterFlags) => {
          const { clusterAdd } = await import("./cluster-command.ts");
          await clusterAdd(clusterOptions(flags), { node, address });
        }),
    )
    .addCommand(
      part("remove", "take a server out of the cluster, also one that is gone for good")
        .argument("<name>", "its --node")
        .action(async (node: string, flags: ClusterFlags) => {
          const { clusterRemove } = await import("./cluster-command.ts");
          await clusterRemove(clusterOptions(flags), node);
        }),
    )
    .addCommand(
      part("transfer", "have another server lead")
        .argument("[name]", "which one; left out: whoever is fittest")
        .action(async (to: string | undefined, flags: ClusterFlags) => {
          const { clusterTransfer } = await import("./cluster-command.ts");
          await clusterTransfer(clusterOptions(flags), to ?? null);
        }),
    )
    .addCommand(
      part("events", "what happened of late, as this server saw it")
        .addOption(afterOption())
        .action(async (flags: ClusterFlags & { after: number }) => {
          const { clusterEvents } = await import("./cluster-command.ts");
          await clusterEvents(clusterOptions(flags), flags.after);
        }),
    )
    .addCommand(
      part("watch", "what happens, as it happens; ends with the server, or with Ctrl-C")
        .addOption(afterOption())
        .action(async (flags: ClusterFlags & { after: number }) => {
          const { clusterWatch } = await import("./cluster-command.ts");
          ended(await clusterWatch(clusterOptions(flags), flags.after));
        }),
    )
    .addHelpText(
      "after",
      `
Examples:
  synod cluster status
  synod cluster add n4 10.0.0.4:7401
  synod cluster transfer n2
  synod cluster remove n3 --url http://127.0.0.1:7402
  synod cluster watch -o json

Members are changed, and the lead is handed over, at the server that leads; status says which one it is.
status ends with 1 when the server that was asked can't take messages.`,
    );
}

interface ClusterFlags {
  readonly url?: string;
  readonly data?: string;
  readonly tokenFile?: string;
  readonly output: string;
}

function clusterOptions(flags: ClusterFlags) {
  const { url = null, data = null, tokenFile = null, output } = flags;
  return { url, data, tokenFile, json: output === "json" };
}

function traceCommand(ended: (code: ExitCode) => void): Command {
  return new Command("trace")
    .helpGroup("Servers:")
    .description("where a message is, and when it went which step of its way")
    .argument("<cid>", "the id that its sender gave it")
    .option("--url <url>", "operators' port, such as http://127.0.0.1:7402; several with commas")
    .addOption(dataOption())
    .option("--token-file <file>", "what the servers ask operators for, where they do")
    .option("--room <room>", "where it was said, for a message that memory does not hold any more")
    .option("--from <user>", "who said it; with --room")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod trace 3f6c9a02
  synod trace 3f6c9a02 --url http://10.0.0.1:7402,http://10.0.0.2:7402,http://10.0.0.3:7402
  synod trace build-1234 --room ops --from robot

Times are kept for the last 4,096 entries of the log, each a batch of messages. Ends with 1 when no server knows the message.`,
    )
    .action(async (cid: string, flags: TraceFlags) => {
      const { trace } = await import("./trace.ts");
      const { url = null, data = null, tokenFile = null, room = null, from = null, output } = flags;
      ended(await trace({ cid, url, data, tokenFile, room, from, json: output === "json" }));
    });
}

interface TraceFlags {
  readonly url?: string;
  readonly data?: string;
  readonly tokenFile?: string;
  readonly room?: string;
  readonly from?: string;
  readonly output: string;
}

function demoCommand(ended: (code: ExitCode) => void): Command {
  return new Command("demo")
    .helpGroup("Servers:")
    .description("three servers on this machine, two people who talk, and a page to break them with")
    .addOption(new Option("--port <n>", "of the page; 0 = a free one").argParser(whole).default(0))
    .option("--keep <dir>", "write everything there, and leave it (default: a temporary folder that goes with it)")
    .option("--no-open", "do not show the page in this machine's browser")
    .addHelpText(
      "after",
      `
Runs until Ctrl-C. Ends with 1 when a message was lost, came twice or out of order.`,
    )
    .action(async (flags: { readonly port: number; readonly keep?: string; readonly open: boolean }) => {
      const { demo } = await import("./demo/demo.ts");
      ended(await demo({ port: flags.port, keep: flags.keep ?? null, open: flags.open }));
    });
}

function verifyCommand(ended: (code: ExitCode) => void): Command {
  return new Command("verify")
    .helpGroup("Servers:")
    .description("check every byte of a stopped server's data directory, or compare servers that run")
    .argument("<dir-or-url...>", "a data directory, or a copy of one; or public ports of servers, http://HOST:7400")
    .option("--room <name...>", "rooms to compare, besides those the user belongs to")
    .option("--user <name>", "who reads them (SYNOD_USER; else who a token is for, or who you are on this machine)")
    .option("--token-file <file>", "token to prove it with (or SYNOD_TOKEN)")
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod verify ./synod-data
  synod verify /backup/synod -o json | jq .damage
  synod verify http://10.0.0.1:7400 http://10.0.0.2:7400 http://10.0.0.3:7400 --user alice

Changes nothing. Ends with 1 when there is damage, or when servers differ, and lists where.`,
    )
    .action(async (named: string[], flags: VerifyFlags) => {
      const { room: rooms = [], user = null, tokenFile = null, output } = flags;
      const json = output === "json";
      if (named.every((text) => text.includes("://"))) {
        const { verifyServers } = await import("./verify-servers.ts");
        ended(await verifyServers({ urls: named, rooms, user, tokenFile, json }));
        return;
      }
      const { verify } = await import("./verify.ts");
      ended(await verify({ directory: oneDirectory(named), json }));
    });
}

interface VerifyFlags {
  readonly room?: string[];
  readonly user?: string;
  readonly tokenFile?: string;
  readonly output: string;
}

function oneDirectory([directory, ...others]: readonly string[]): string {
  if (directory !== undefined && others.length === 0) return directory;
  throw new CommandFailed(exitCodes.usage, "name one data directory, or addresses of servers such as http://HOST:7400");
}

function benchCommand(ended: (code: ExitCode) => void): Command {
  return new Command("bench")
    .helpGroup("Servers:")
    .description("load a server, and measure what it does")
    .option("--url <url>", "TCP port of the server: tcp://HOST:PORT")
    .addOption(dataOption())
    .option("--token-file <file>", "token that every connection shows (or SYNOD_TOKEN)")
    .option("--auth-secret-file <file>", "the server's own: each connection is a user with a token made from it")
    .option("--auth-audience <name>", "who those tokens are for, as the server has it", "synod")
    .option("--auth-issuer <name>", "who made them, as the server has it")
    .addOption(new Option("--clients <n>", "connections that publish").argParser(whole).default(4))
    .addOption(
      new Option("--window <n>", "messages of one connection without an answer").argParser(whole).default(1_000),
    )
    .addOption(new Option("--body <bytes>", "size of one message").argParser(whole).default(128))
    .addOption(new Option("--encoding <name>", "how frames are written").choices(["binary", "json"]).default("binary"))
    .addOption(new Option("--seconds <n>", "how long is measured").argParser(seconds).default(5))
    .addOption(
      new Option("--rate <n>", "messages a second of all together; left out: as fast as it goes").argParser(whole),
    )
    .addOption(new Option("--rooms <n>", "rooms they are spread over").argParser(whole).default(1))
    .addOption(new Option("--processes <n>", "processes that the clients are spread over").argParser(whole).default(1))
    .addOption(outputOption())
    .addHelpText(
      "after",
      `
Examples:
  synod bench
  synod bench --clients 64 --window 1
  synod bench --rate 5000 --seconds 30 -o json
  synod bench --auth-secret-file secret           against a server that asks for tokens

It speaks as users bench-… in rooms bench…, or with one token as the one user it is for.`,
    )
    .action(async (flags: BenchFlags) => {
      const { bench } = await import("./bench.ts");
      const { url = null, data = null, rate = null, output, ...rest } = flags;
      const { tokenFile = null, authSecretFile: secretFile = null, authIssuer: issuer = null } = flags;
      const proof = { tokenFile, secretFile, audience: flags.authAudience, issuer };
      ended(await bench({ ...rest, ...proof, url, data, rate, json: output === "json" }));
    });
}

interface BenchFlags {
  readonly url?: string;
  readonly data?: string;
  readonly tokenFile?: string;
  readonly authSecretFile?: string;
  readonly authAudience: string;
  readonly authIssuer?: string;
  readonly clients: number;
  readonly window: number;
  readonly body: number;
  readonly encoding: "binary" | "json";
  readonly seconds: number;
  readonly rate?: number;
  readonly rooms: number;
  readonly processes: number;
  readonly output: string;
}

function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text) || value === 0)
    throw new InvalidArgumentError("It must be a number of seconds.");
  return value;
}
