import { Command, Option } from "commander";
import type { ExitCode } from "../../terminal/exit-codes.ts";
import { seconds, whole } from "./number-arguments.ts";
import { dataOption } from "./operators-options.ts";
import { outputOption } from "./output-option.ts";

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
  readonly client: "frames" | "sdk";
  readonly seconds: number;
  readonly rate?: number;
  readonly rooms: number;
  readonly processes: number;
  readonly output: string;
}

/** `synod bench` with its options and help. */
export function benchCommand(ended: (code: ExitCode) => void): Command {
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
    .addOption(
      new Option("--client <name>", "who sends: frames made here, or the library (sdk)")
        .choices(["frames", "sdk"])
        .default("frames"),
    )
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
  synod bench --client sdk                        what a program with the library gets
  synod bench --url tcp://127.0.0.1:7403 --data synod-data   with the CPU of a server on this machine
  synod bench --rate 5000 --seconds 30 -o json
  synod bench --auth-secret-file secret           against a server that asks for tokens

It speaks as users bench-… in rooms bench…, or with one token as the one user it is for.
With --client sdk the numbers are those of the server and of the library together, and --window is how many messages of
a client have no outcome; the library sends as many of them at once as the server's limits allow.`,
    )
    .action(async (flags: BenchFlags) => {
      const { bench } = await import("../bench.ts");
      const { url = null, data = null, rate = null, output, ...rest } = flags;
      const { tokenFile = null, authSecretFile: secretFile = null, authIssuer: issuer = null } = flags;
      const proof = { tokenFile, secretFile, audience: flags.authAudience, issuer };
      ended(await bench({ ...rest, ...proof, url, data, rate, json: output === "json" }));
    });
}
