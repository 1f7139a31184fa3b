import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { makeProgram } from "../../src/apps/cli/program.ts";
import { verifyServers } from "../../src/apps/cli/verify-servers.ts";
import type { ExitCode } from "../../src/apps/terminal/exit-codes.ts";

interface Item {
  readonly seq: number;
  readonly cid: string;
  readonly from: string;
  readonly ts: number;
  readonly epoch: number;
  readonly kind: string;
  readonly body: string;
}

/** A room as one server tells of it. */
interface Told {
  readonly items: readonly Item[];
  readonly line?: string;
  readonly first?: number;
  readonly digest?: string;
}

const servers: Server[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const server of servers.splice(0)) await once(server.close(), "close");
});

const itemsOf = (count: number): Item[] =>
  Array.from({ length: count }, (_, at) => ({
    seq: at + 1,
    cid: `c${at}`,
    from: "alice",
    ts: 1_000 + at,
    epoch: 1,
    kind: "text",
    body: `message ${at}`,
  }));

/** Answers as a server does, 100 messages a page. */
async function telling({ items, line = "l1", first = 1, digest = "d" }: Told): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    const { pathname, searchParams } = new URL(incoming.url!, "http://server");
    const head = items.length;
    const after = Number(searchParams.get("after") ?? head - 1);
    const answers: Record<string, unknown> = {
      "/v1/rooms": { rooms: [{ room: "lobby" }] },
      "/v1/rooms/lobby/messages": { room: "lobby", line, first, head, items: items.slice(after, after + 100) },
      "/v1/rooms/lobby/digest": { room: "lobby", line, digest },
    };
    outgoing.writeHead(200, { "content-type": "application/json", connection: "close" });
    outgoing.end(JSON.stringify(answers[pathname]));
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function verified(...told: readonly Told[]) {
  const urls = await Promise.all(told.map(telling));
  let output = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    output += String(text);
    return true;
  });
  const code = await verifyServers({ urls, rooms: [], user: "alice", tokenFile: null, json: true });
  vi.restoreAllMocks();
  const report = JSON.parse(output) as { messages: number; problems: { seq: number | null; what: string }[] };
  return { code, messages: report.messages, problems: report.problems.map(({ seq, what }) => `${seq}: ${what}`) };
}

const with_ = (items: readonly Item[], seq: number, change: Partial<Item>): Item[] =>
  items.map((item) => (item.seq === seq ? { ...item, ...change } : item));

test("servers that have the same are sound, over many pages, and one may be behind", async () => {
  const items = itemsOf(250);
  expect(await verified({ items }, { items }, { items: items.slice(0, 230) })).toEqual({
    code: 0,
    messages: 230,
    problems: [],
  });
});

test("what is kept no longer on one of them is left out on all", async () => {
  const items = itemsOf(20);
  expect(await verified({ items }, { items, first: 11 })).toEqual({ code: 0, messages: 10, problems: [] });
});

const base = itemsOf(120);
test.each<[string, Told, string]>([
  ["another message", { items: with_(base, 110, { body: "other" }) }, "110: they have different messages"],
  ["another time", { items: with_(base, 110, { ts: 1_108 }) }, "110: they have different messages"],
  ["another line", { items: base, line: "l2" }, "null: they have different lines"],
  ["another digest", { items: base, digest: "e" }, "120: they reckon different digests"],
])("servers with %s are told apart", async (_what, other, problem) => {
  const { code, problems } = await verified({ items: base }, other);
  expect([code, problems[0]]).toEqual([1, problem]);
});

test.each<[string, Item[], string]>([
  ["a hole", with_(base, 7, { seq: 8 }), "7: http://127.0.0.1:PORT: message 8 stands in its place"],
  ["one message twice", with_(base, 9, { cid: "c7" }), "9: http://127.0.0.1:PORT: it is there a second time"],
  [
    "a time that goes back",
    with_(base, 9, { ts: 1 }),
    "9: http://127.0.0.1:PORT: its time is before that of the message before",
  ],
  [
    "an epoch that goes back",
    with_(base, 9, { epoch: 0 }),
    "9: http://127.0.0.1:PORT: its epoch is below that of the message before",
  ],
])("%s is found though all servers have it", async (_what, items, problem) => {
  const { code, problems } = await verified({ items }, { items });
  expect([code, problems[0]!.replace(/:\d{4,5}:/, ":PORT:")]).toEqual([1, problem]);
});

test("servers are named by arguments, by --url, or by both; and all that are named are compared", async () => {
  const [one, same, other] = await Promise.all(
    [base, base, with_(base, 110, { body: "other" })].map((items) => telling({ items })),
  );
  const ended = async (...words: readonly string[]): Promise<ExitCode | null> => {
    let code: ExitCode | null = null;
    const told = vi.spyOn(process.stdout, "write").mockReturnValue(true);
    const program = makeProgram((how) => {
      code = how;
    });
    await program.parseAsync(["node", "synod", "verify", "--user", "alice", ...words]);
    told.mockRestore();
    return code;
  };
  expect(await ended("--url", `${one},${same}`)).toBe(0);
  expect(await ended("--url", `${one!.replace("http://", "")}, ${other}`)).toBe(1);
  expect(await ended(one!, "--url", other!)).toBe(1);
  await expect(ended("a-folder", "--url", one!)).rejects.toMatchObject({ exitCode: 2 });
  await expect(ended()).rejects.toMatchObject({ exitCode: 2 });
});

test("servers too few of which answer end it with a code of their own", async () => {
  const server = createServer((_, outgoing) => {
    outgoing.writeHead(503, { "content-type": "application/problem+json", connection: "close" });
    outgoing.end(JSON.stringify({ code: "no_quorum", detail: "too few answer" }));
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const urls = [`http://127.0.0.1:${(server.address() as AddressInfo).port}`];
  const verifying = verifyServers({ urls, rooms: [], user: "alice", tokenFile: null, json: true });
  await expect(verifying).rejects.toMatchObject({ exitCode: 5 });
});

test("a server that does not answer is no verdict", async () => {
  const url = await telling({ items: base });
  const command = { urls: [url, "http://127.0.0.1:1"], rooms: [], user: "alice", tokenFile: null, json: true };
  await expect(verifyServers(command)).rejects.toMatchObject({ exitCode: 3 });
  await expect(verifyServers({ ...command, urls: ["tcp://127.0.0.1:1"] })).rejects.toMatchObject({ exitCode: 2 });
});
