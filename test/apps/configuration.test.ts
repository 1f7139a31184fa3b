import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configurationSchema } from "../../src/apps/cli/configuration.ts";
import { readConfiguration } from "../../src/apps/cli/read-configuration.ts";
import { optionOf, settings, variableOf } from "../../src/apps/cli/settings.ts";
import { CommandFailed, exitCodes } from "../../src/apps/terminal/exit-codes.ts";
import { defaultLimits } from "../../src/base/limits.ts";

const folder = mkdtempSync(join(tmpdir(), "synod-configuration-"));

function fileOf(text: string): string {
  const file = join(folder, "synod.yaml");
  writeFileSync(file, text);
  return file;
}

const read = (sources: { flags?: object; environment?: object; file?: string | null }) =>
  readConfiguration({
    flags: { ...sources.flags },
    environment: { ...sources.environment },
    file: sources.file ?? null,
  });

async function mistakesOf(sources: Parameters<typeof read>[0]): Promise<string> {
  const failure = await read(sources).then(
    () => null,
    (cause: unknown) => cause,
  );
  expect(failure).toBeInstanceOf(CommandFailed);
  expect((failure as CommandFailed).exitCode).toBe(exitCodes.usage);
  return (failure as CommandFailed).message;
}

describe("where a value comes from", () => {
  test("without anything, the defaults hold", async () => {
    const { configuration } = await read({});
    expect(configuration).toMatchObject({
      data: "./synod-data",
      node: "n1",
      host: "127.0.0.1",
      port: 7400,
      peerPort: 7401,
      adminPort: 7402,
      tcpPort: 7403,
      topology: "solo",
      timeZone: null,
      retention: { days: null },
      flush: { afterMs: 0, afterBytes: 0 },
      auth: { mode: "open", audience: "synod" },
      advertise: [],
    });
    expect(configuration.limits).toEqual(defaultLimits);
  });

  test("a flag wins over a variable, a variable over the file, the file over the default", async () => {
    const file = fileOf("port: 1001\ntcpPort: 1002\nadminPort: 1003\nflush:\n  afterMs: 5\n");
    const { configuration } = await read({
      flags: { port: "3001" },
      environment: { SYNOD_PORT: "2001", SYNOD_TCP_PORT: "2002", SYNOD_FLUSH__AFTER_BYTES: "4096" },
      file,
    });
    expect(configuration.port).toBe(3001);
    expect(configuration.tcpPort).toBe(2002);
    expect(configuration.adminPort).toBe(1003);
    expect(configuration.peerPort).toBe(7401);
    expect(configuration.flush).toEqual({ afterMs: 5, afterBytes: 4096 });
  });

  test("a list comes from commas or from YAML", async () => {
    const fromFlag = await read({ flags: { advertise: "ws://a:1, ws://b:2" } });
    expect(fromFlag.configuration.advertise).toEqual(["ws://a:1", "ws://b:2"]);
    const fromFile = await read({ file: fileOf("advertise:\n  - ws://c:3\n") });
    expect(fromFile.configuration.advertise).toEqual(["ws://c:3"]);
  });

  test("an empty file, and a part without anything in it, change nothing", async () => {
    expect((await read({ file: fileOf("# nothing yet\n") })).configuration.port).toBe(7400);
    expect((await read({ file: fileOf("flush:\n") })).configuration.flush.afterMs).toBe(0);
  });

  test("an unknown variable is told and not refused, because a container platform may set some", async () => {
    const { warnings } = await read({ environment: { SYNOD_PROT: "1", SYNOD_URL: "ws://x", PATH: "/bin" } });
    expect(warnings).toEqual(["unknown variable SYNOD_PROT; did you mean SYNOD_PORT?"]);
  });
});

describe("mistakes name the thing, the place and the next step", () => {
  test.each([
    ["retentoin:\n  days: 3\n", /^unknown key retentoin \(.*synod\.yaml line 1\); did you mean retention\?$/],
    ["port: 7400\nflush:\n  afterMS: 3\n", /^unknown key flush.afterMS \(.* line 3\); did you mean flush.afterMs\?$/],
    ["zzzzzzzzz: 1\n", /^unknown key zzzzzzzzz \(.* line 1\)$/],
    ["__proto__:\n  port: 1\n", /^unknown key __proto__ /],
    ["port: eighty\n", /^port must be a port \(.* line 1\)$/],
    ["port: 70000\n", /^port must be 0 to 65535 /],
    ["timeZone: Mars/Olympus\n", /^timeZone must be an IANA time zone/],
    ["node: a b\n", /^node must be 1 to 60 letters/],
    ["origins: [http://a/path]\n", /^origins must be an origin such as .* \(.* line 1\)$/],
    ["limits:\n  bodyBytesMax: 0\n", /^limits.bodyBytesMax must be 1 or more /],
    ["- a list\n", /must hold keys and values$/],
    ["flush: 3\n", /^flush in .* must hold keys and values$/],
    ["port: 1\nport: 2\n", /unique/i],
    ["port: [1\n", /synod\.yaml: /],
  ])("%j", async (text, expected) => {
    expect(await mistakesOf({ file: fileOf(text) })).toMatch(expected);
  });

  test("a bound of bytes or messages without a bound of time is a mistake, told with its place", async () => {
    const text = await mistakesOf({
      flags: { flushAfterBytes: "4096" },
      environment: { SYNOD_PUSH__AFTER_COUNT: "10" },
    });
    expect(text).toContain("flush.afterBytes needs flush.afterMs above 0");
    expect(text).toContain("(--flush-after-bytes)");
    expect(text).toContain("push.afterCount needs push.afterMs above 0");
    expect(text).toContain("(SYNOD_PUSH__AFTER_COUNT)");
    const { configuration } = await read({ flags: { flushAfterBytes: "4096", flushAfterMs: "5" } });
    expect(configuration.flush).toEqual({ afterMs: 5, afterBytes: 4096 });
  });

  test("all mistakes are told at once", async () => {
    const text = await mistakesOf({ flags: { port: "x" }, environment: { SYNOD_LOG: "xml" } });
    expect(text).toContain("port must be a port (--port)");
    expect(text).toContain("log must be auto, json or text (SYNOD_LOG)");
  });

  test("a file that is not there is named", async () => {
    expect(await mistakesOf({ file: join(folder, "nowhere.yaml") })).toContain("nowhere.yaml");
  });
});

describe("one table says what there is", () => {
  const keys = settings.map(({ key }) => key).sort();

  test("the schema has exactly these keys", () => {
    const known = Object.entries(configurationSchema.shape).flatMap(([name, part]) =>
      "shape" in part ? Object.keys(part.shape).map((inner) => `${name}.${inner}`) : [name],
    );
    expect(known.sort()).toEqual(keys);
  });

  test("every key is documented with its flag, its variable and its default, and nothing else is", () => {
    const text = readFileSync("docs/reference/configuration.md", "utf8");
    const documented = Array.from(text.matchAll(/^\| `([^`]+)` \|/gm), ([, key]) => key!);
    // Limits stand in limits.md, which is held to its own table.
    const here = settings.filter(({ key }) => !key.startsWith("limits."));
    expect(documented.sort()).toEqual(here.map(({ key }) => key).sort());
    for (const { key, flag, default: fallback } of here) {
      const row = text.split("\n").find((line) => line.startsWith(`| \`${key}\` |`))!;
      expect(row).toContain(variableOf(key));
      if (flag !== null) expect(row).toContain(flag.split(" ")[0]);
      if (typeof fallback === "number" || typeof fallback === "string")
        expect(row).toContain(`\`${String(fallback)}\``);
    }
  });

  test("names of variables and options follow from the key and the flag, and are told apart", () => {
    expect(variableOf("flush.afterMs")).toBe("SYNOD_FLUSH__AFTER_MS");
    expect(variableOf("limits.bodyBytesMax")).toBe("SYNOD_LIMITS__BODY_BYTES_MAX");
    expect(optionOf("--flush-after-ms <n>")).toBe("flushAfterMs");
    expect(new Set(settings.map(({ key }) => variableOf(key))).size).toBe(settings.length);
  });
});
