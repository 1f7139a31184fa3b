import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { run, temporaryFolder } from "./command.ts";
import { DemoProcess, isThere } from "./support/demo-process.ts";

const folder = temporaryFolder();
const demos: DemoProcess[] = [];

afterAll(async () => {
  for (const demo of demos) await demo.dispose();
  folder.remove();
});

async function started(words: readonly string[] = []): Promise<DemoProcess> {
  const demo = await DemoProcess.start(words);
  demos.push(demo);
  return demo;
}

test("whatever is done to the servers, what was acknowledged is stored and delivered; Ctrl-C leaves nothing behind", {
  // Several waits, each of which gives up by itself and says what it saw.
  timeout: 300_000,
}, async () => {
  const demo = await started();
  await demo.until("what was said is even, and they know who leads", () => demo.isEven(5) && demo.leader !== null);
  const first = demo.leader!;

  // The leader dies: the people go on with another, who leads in a later term.
  expect(await demo.act({ do: "kill", server: first })).toBe(200);
  await demo.until("another leads", () => demo.leader !== null && demo.leader !== first);
  const afterKill = demo.books!.acknowledged;
  await demo.until("what was said after the kill is even", () => demo.isEven(afterKill + 5));
  expect(demo.processes.get(first)).toMatchObject({ state: "stopped", pid: null });
  expect(await demo.act({ do: "restart", server: first })).toBe(200);
  await demo.until(
    "the killed one runs again",
    () => demo.processes.get(first)?.state === "running" && demo.leader !== null,
  );

  // The next is frozen, and thawed again by "heal".
  const second = demo.leader!;
  expect(await demo.act({ do: "pause", server: second })).toBe(200);
  await demo.until("another leads than the frozen one", () => demo.leader !== null && demo.leader !== second);
  const afterFreeze = demo.books!.acknowledged;
  await demo.until("what was said after the freeze is even", () => demo.isEven(afterFreeze + 5));

  // A link is cut and a disk is slow; a message is found on every server that answers.
  const third = demo.leader!;
  expect(await demo.act({ do: "heal" })).toBe(200);
  await demo.until("all run again", () => [...demo.processes.values()].every(({ state }) => state === "running"));
  const other = ["n1", "n2", "n3"].find((name) => name !== third)!;
  expect(await demo.act({ do: "cut", server: third, other })).toBe(200);
  expect(await demo.act({ do: "slow", server: other })).toBe(200);
  const afterCut = demo.books!.acknowledged;
  await demo.until("what was said past the cut is even", () => demo.isEven(afterCut + 8));
  const { cid } = demo.said[0]!;
  // A server that is busy may not answer within the second that it has.
  const places = async (): Promise<(number | null)[]> => {
    const trace = (await (await fetch(`${demo.url}demo/v1/trace/${cid}`)).json()) as {
      servers: { messages: object[] | null }[];
    };
    return trace.servers.map(({ messages }) => messages?.length ?? null);
  };
  await expect.poll(places, { timeout: 60_000 }).toEqual([1, 1, 1]);
  const operators = ["n1", "n2", "n3"].map((name) => demo.operatorsOf(name));
  const printed = await run(["trace", cid, "--url", operators.join()]);
  expect([printed.code, printed.errors]).toEqual([0, ""]);
  for (const name of ["n1", "n2", "n3"])
    expect(printed.output).toMatch(new RegExp(`^${name}  #lobby, from \\w+: stored as \\d+`, "m"));
  const unknown = await run(["trace", "nobody-sent-this", "--url", operators[0]!, "-o", "json"]);
  expect([unknown.code, JSON.parse(unknown.output)]).toEqual([1, expect.objectContaining({ messages: [] })]);
  // One that is not there is said so, and the others are asked all the same.
  const without = await run(["trace", cid, "--url", `http://127.0.0.1:1,${operators[1]}`]);
  expect([without.code, without.errors]).toEqual([
    0,
    expect.stringContaining("no server answers at http://127.0.0.1:1"),
  ]);
  expect(await demo.act({ do: "heal" })).toBe(200);
  await demo.until(
    "three servers agree, and what was said after healing is even",
    () => demo.books?.verified?.servers === 3 && demo.isEven(afterCut + 16),
  );

  expect(demo.books).toMatchObject({ lost: 0, twice: 0, disordered: 0, differ: 0 });
  const { pids, folder: written } = demo;
  expect(pids.length).toBe(3);
  expect(readdirSync(written)).toContain("n2");
  expect(await demo.interrupt()).toBe(0);
  expect(demo.output).toMatch(/acknowledged (\d+), stored \1, delivered \1; lost 0, twice 0, out of order 0\n$/);
  expect(demo.errors).toBe("");
  expect(existsSync(written)).toBe(false);
  expect(pids.filter(isThere)).toEqual([]);
});

test("only its own page may use its handles; what is no act is refused; a folder is kept where that is wanted", async () => {
  const kept = join(folder.path, "kept");
  const demo = await started(["--keep", kept]);
  expect(await demo.act({ do: "heal" }, { origin: "https://elsewhere.example" })).toBe(403);
  expect(await demo.act({ do: "heal" }, { origin: demo.url.slice(0, -1) })).toBe(200);
  for (const act of [
    { do: "dance", server: "n1" },
    { do: "kill", server: "n9" },
    { do: "cut", server: "n1", other: "n1" },
  ]) {
    expect(await demo.act(act)).toBe(400);
  }
  const policy = (await fetch(demo.url)).headers.get("content-security-policy");
  expect(policy).toContain("default-src 'self'");
  // Whoever started it is gone without a word: so are its servers, soon.
  const { pids } = demo;
  expect(pids.filter(isThere).length).toBe(3);
  await demo.dispose();
  await expect.poll(() => pids.filter(isThere), { timeout: 20_000 }).toEqual([]);
  const sound = await run(["verify", join(kept, "n1")]);
  expect([sound.code, sound.errors]).toEqual([0, ""]);
  writeFileSync(join(kept, "mine"), "");
  const refused = await run(["demo", "--no-open", "--keep", kept]);
  expect([refused.code, refused.errors]).toEqual([2, expect.stringContaining("is not empty")]);
});

test("without a quorum Ctrl-C ends it all the same, and it says what could not be confirmed", async () => {
  const demo = await started(["-o", "json"]);
  await demo.until("what was said is even", () => demo.isEven(2));
  for (const server of ["n1", "n2"]) expect(await demo.act({ do: "kill", server })).toBe(200);
  const { said, pids, folder: written } = { said: demo.books!.said, pids: demo.pids, folder: demo.folder };
  await demo.until("more is said than anybody answers", () => demo.books!.said > said + 4);
  expect(await demo.interrupt()).toBe(0);
  // For programs: where everything is, and in the end what was counted; what is only for people goes the other way.
  const [places, counted, ...more] = demo.output.trimEnd().split("\n");
  expect(more).toEqual([]);
  const servers = ["n1", "n2", "n3"].map((node): unknown => expect.objectContaining({ node }));
  expect(JSON.parse(places!)).toEqual({ page: demo.url, files: written, servers });
  const books = JSON.parse(counted!) as Record<"acknowledged" | "stored" | "delivered", number>;
  expect(books).toMatchObject({ lost: 0, twice: 0, disordered: 0, differ: 0 });
  const { acknowledged, stored, delivered } = books;
  // One that was acknowledged in the moment before both were killed is nowhere to be looked at: then it is said, and counted.
  const unseen = [
    [acknowledged - stored, "were acknowledged, and no two servers were there to show them"],
    [acknowledged - delivered, "were acknowledged, and not delivered to everybody yet"],
  ] as const;
  const told = unseen.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  const unanswered: unknown = expect.stringMatching(/^[1-9]\d* had no answer, and may be stored or not$/);
  expect(books).toMatchObject({ unconfirmed: [unanswered, ...told, "n1, n2 did not answer"] });
  expect(demo.errors).toBe("starting three servers …\nending …\n");
  expect(existsSync(written)).toBe(false);
  expect(pids.filter(isThere)).toEqual([]);
});

test("Ctrl-C before it has begun ends what was started", async () => {
  const kept = join(folder.path, "hasty");
  const demo = new DemoProcess(["--keep", kept]);
  demos.push(demo);
  const configurations = (): string[] => (existsSync(kept) ? readdirSync(kept) : []);
  await demo.until("its servers are started", () => configurations().includes("n3.log"));
  expect(await demo.interrupt()).toBe(0);
  expect([demo.output, demo.errors]).toEqual(["starting three servers …\n", ""]);
  const running = readdirSync(kept).flatMap((name) => {
    const file = join(kept, name, "ports.json");
    return existsSync(file) ? [(JSON.parse(readFileSync(file, "utf8")) as { pid: number }).pid] : [];
  });
  expect(running.filter(isThere)).toEqual([]);
});
