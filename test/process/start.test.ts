import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Command, run, serveWords, temporaryFolder } from "./command.ts";
import { endedInGoodOrder } from "./ended-in-good-order.ts";
import { StartedCommands } from "./started-commands.ts";

const folder = temporaryFolder();
const started = new StartedCommands();
let made = 0;
const newData = (): string => join(folder.path, `data-${++made}`);

afterAll(async () => {
  await started.end();
  folder.remove();
});

async function post(port: number, body: string): Promise<{ status: number; seq: number }> {
  const headers = { "synod-user": "alice", "content-type": "text/plain" };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/rooms/lobby/messages`, { method: "POST", headers, body });
  const { seq } = (await answer.json()) as { seq: number };
  return { status: answer.status, seq };
}

test("a server whose ports file can't be written serves all the same, and nobody else gets its directory", async () => {
  const data = newData();
  const first = await started.serve(data);
  expect(await post(first.ports.port, "one")).toEqual({ status: 201, seq: 1 });
  first.signal("SIGTERM");
  expect(await first.ended).toBe(0);

  mkdirSync(join(data, "ports.json"));
  const server = new Command(serveWords(data));
  started.add(server);
  await server.writes('"server.started"');
  expect(server.errors).toContain('"event":"ports.not-written"');
  const [, port] = /"port":(\d+)/.exec(server.errors)!;
  expect(await post(Number(port), "two")).toEqual({ status: 201, seq: 2 });

  rmSync(join(data, "ports.json"), { recursive: true });
  const second = await run(serveWords(data));
  expect(second.code).toBe(4);
  expect(second.errors).toContain(`process ${server.child.pid} uses it`);
  expect(await post(Number(port), "three")).toEqual({ status: 201, seq: 3 });
  server.signal("SIGTERM");
  expect(await server.ended).toBe(0);
  expect(readdirSync(data).filter((file) => file.startsWith("ports") || file.startsWith("lock"))).toEqual([]);
  expect(await endedInGoodOrder(data)).toBe(true);
});
