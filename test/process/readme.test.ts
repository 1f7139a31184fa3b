import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { root } from "../../scripts/repository.mjs";
import { ownPorts, run, type ServeCommand, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
let server: ServeCommand;

beforeAll(async () => {
  server = await started.serve(join(folder.path, "data"));
});

afterAll(async () => {
  await started.end();
  folder.remove();
});

/** What the page shows is what runs here; only the address is that of a port that was free. */
function snippet(page: string): string {
  const found = [...readFileSync(join(root, page), "utf8").matchAll(/^```js\n(.*?)^```$/gms)];
  expect(found).toHaveLength(1);
  const program = found[0]![1]!;
  expect(program.split("ws://127.0.0.1:7400")).toHaveLength(2);
  return program.replace("ws://127.0.0.1:7400", `ws://127.0.0.1:${server.ports.port}`);
}

/** As where the package is installed: its name leads to what is exported. */
function installed(name: string, program: string): string {
  const place = join(folder.path, name);
  mkdirSync(join(place, "node_modules"), { recursive: true });
  symlinkSync(root, join(place, "node_modules", "synod"));
  const file = join(place, "hello.mjs");
  writeFileSync(file, program);
  return file;
}

async function node(file: string): Promise<{ code: number | null; output: string; errors: string }> {
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.on("data", (bytes: Buffer) => (output += bytes.toString()));
  child.stderr.on("data", (bytes: Buffer) => (errors += bytes.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output, errors };
}

test("the program of the README says what the README shows, in both languages", async () => {
  const url = `ws://127.0.0.1:${server.ports.port}`;
  for (const [user, text] of [
    ["alice", "hello"],
    ["bob", "hi"],
  ] as const) {
    expect((await run(["send", "lobby", text, "--user", user, "--url", url])).code).toBe(0);
  }
  const shown = "stored as 3\n1 alice hello\n2 bob hi\n3 carol hello from the SDK\n";
  expect(readFileSync(join(root, "README.md"), "utf8")).toContain(shown);
  expect(await node(installed("english", snippet("README.md")))).toEqual({ code: 0, output: shown, errors: "" });

  const again = await node(installed("chinese", snippet("README.zh-CN.md")));
  expect(again).toEqual({
    code: 0,
    output: `${shown.replace("stored as 3", "stored as 4")}4 carol hello from the SDK\n`,
    errors: "",
  });
});

test("a program whose client is open stays alive while no server answers, and what it sent is stored later", async () => {
  const data = join(folder.path, "late");
  const ports = await ownPorts();
  const first = await started.serve(data, [], ports);
  first.signal("SIGKILL");
  await first.ended;

  const program = `import { connect } from "synod/client";
const chat = connect("ws://127.0.0.1:${ports.port}", { user: "carol" });
chat.on("state", (state) => { if (state.name === "offline") console.log("offline"); });
const { seq } = await chat.room("lobby").send("said before there was a server");
console.log("stored as " + seq);
await chat.close();
`;
  const file = installed("late-program", program);
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  let output = "";
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (bytes: Buffer) => {
      output += bytes.toString();
      if (output.includes("offline")) resolve();
    });
    child.once("close", () => resolve());
  });
  const second = await started.serve(data, [], ports);
  expect((await ended)[0]).toBe(0);
  expect(output.trimEnd().split("\n").at(-1)).toBe("stored as 1");
  second.signal("SIGTERM");
  await second.ended;
});
