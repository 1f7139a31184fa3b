import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Command, run, temporaryFolder } from "./command.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
let url: string;
let adminUrl: string;

beforeAll(async () => {
  const { ports } = await started.serve(join(folder.path, "data"));
  [url, adminUrl] = [`ws://127.0.0.1:${ports.port}`, `http://127.0.0.1:${ports.adminPort}`];
});

afterAll(async () => {
  await started.end();
  folder.remove();
});

/** A command whose reader has gone before it says anything, as the second half of a pipe may. */
function unread(words: readonly string[]): Command {
  const command = new Command(words);
  command.child.stdout!.destroy();
  return command;
}

test.each<[string, () => string[]]>([
  ["--help", () => ["--help"]],
  ["serve --help", () => ["serve", "--help"]],
  ["status", () => ["status", "--url", adminUrl]],
  ["tail", () => ["tail", "lobby", "--url", url, "--user", "alice"]],
])("nobody reads what `synod %s` prints: it ends, and complains of nothing", async (_, words) => {
  const command = unread(words());
  expect({ code: await command.end(), errors: command.errors }).toEqual({ code: 0, errors: "" });
});

test("what is piped into a chat is stored, also when nobody reads what the chat prints", async () => {
  const chat = unread(["chat", "--url", url, "--user", "alice"]);
  for (let at = 1; at <= 50; at++) chat.say(`line ${at}\n`);
  expect(await chat.end()).toBe(0);
  const stored = await run(["tail", "lobby", "--after", "0", "-o", "json", "--url", url, "--user", "bob"]);
  const bodies = stored.output.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as unknown]));
  expect(bodies).toMatchObject(Array.from({ length: 50 }, (_, at) => ({ body: `line ${at + 1}` })));
});
