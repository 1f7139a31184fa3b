import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Chat } from "../../src/client/client.ts";
import { ClusterProcesses } from "./support/cluster-processes.ts";
import { smallLimits } from "./support/small-limits.ts";
import { runCommand, until } from "./support/server-process.ts";

const three = ["n1", "n2", "n3"];
const clusters: ClusterProcesses[] = [];
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.dispose();
});

async function clusterOf(...names: string[]): Promise<ClusterProcesses> {
  const cluster = await ClusterProcesses.of(names);
  clusters.push(cluster);
  return cluster;
}

/** Bodies that were acknowledged, by their seq. */
type Acknowledged = Map<number, string>;

async function say(chat: Chat, acknowledged: Acknowledged, ...bodies: readonly string[]): Promise<void> {
  const sent = bodies.map((body) => ({ body, message: chat.room("lobby").send(body) }));
  for (const { body, message } of sent) acknowledged.set((await message).seq!, body);
}

/** Everything that was acknowledged stands in its place, on every one of these servers, and nothing twice. */
async function checkRooms(
  cluster: ClusterProcesses,
  names: readonly string[],
  acknowledged: Acknowledged,
): Promise<void> {
  await cluster.level(names);
  for (const name of names) {
    const items = await cluster.room(name);
    expect(items.map(({ seq }) => seq)).toEqual(items.map((_, at) => at + 1));
    expect(new Set(items.map(({ from, cid }) => `${from} ${cid}`)).size).toBe(items.length);
    for (const [seq, body] of acknowledged) expect(items[seq - 1]).toMatchObject({ seq, body });
  }
}

/** Nothing went wrong that the servers would have said. */
function checkLogs(cluster: ClusterProcesses): void {
  for (const server of cluster.servers.values()) expect(server.faults()).toEqual([]);
}

describe("three servers that were told of one another", () => {
  test.each([[["n1", "n2", "n3"]], [["n3", "n2", "n1"]], [["n2", "n3", "n1"]]])(
    "found one cluster, begun as %j",
    async (order) => {
      const cluster = await clusterOf(...three);
      // The last one comes late: the others wait, and found nothing.
      const names = [...order].sort();
      for (const name of order.slice(0, 2)) cluster.prepare(name, names).spawn();
      await until(() => order.slice(0, 2).every((name) => cluster.of(name).log().includes("founding.waits")));
      for (const name of order.slice(0, 2)) expect(existsSync(`${cluster.of(name).data}/identity`)).toBe(false);
      cluster.prepare(order[2]!, names).spawn();
      await Promise.all(order.map((name) => cluster.of(name).listening()));
      await cluster.voting(three);
      const all = await Promise.all(three.map((name) => cluster.status(name)));
      expect(new Set(all.map((status) => status.cluster)).size).toBe(1);
      expect(all.map(({ leader }) => leader)).toEqual(["n1", "n1", "n1"]);
      const acknowledged: Acknowledged = new Map();
      await say(cluster.chat("alice", ["n2"]), acknowledged, "through a follower", "and again");
      await checkRooms(cluster, three, acknowledged);
      checkLogs(cluster);
    },
  );

  test("one that waits for a cluster stops when it is told to, and has made nothing", async () => {
    const cluster = await clusterOf(...three);
    const server = cluster.prepare("n1", three);
    const { url } = server;
    server.spawn();
    await until(() => existsSync(server.data) && server.log().includes("founding.waits"));
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      503,
      { ok: false, reason: expect.stringContaining("waits for n2, n3") as string },
    ]);
    const refused = await fetch(`${url}/v1/rooms`, { headers: { "synod-user": "alice" } });
    expect([refused.status, await refused.json()]).toMatchObject([503, { code: "unavailable", definite: true }]);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(existsSync(`${server.data}/identity`)).toBe(false);
  });

  test("go on when the leader is killed, and have it back, wiped too", async () => {
    const cluster = await clusterOf(...three);
    await cluster.start(three);
    const chat = cluster.chat("alice");
    const acknowledged: Acknowledged = new Map();
    await say(chat, acknowledged, "before");
    await cluster.of("n1").kill();
    await say(chat, acknowledged, "one", "two", "three");
    const leader = await cluster.leader("n2");
    expect(["n2", "n3"]).toContain(leader);
    const seen = await cluster.cluster("n2", "status");
    expect(seen.code).toBe(0);
    expect(seen.output).toMatch(/n1 +voter +dead/);
    expect(seen.output).toMatch(new RegExp(`leader +${leader} in term`));
    const other = leader === "n2" ? "n3" : "n2";
    const metrics = await (await fetch(`http://127.0.0.1:${cluster.of(leader!).ports.adminPort}/metrics`)).text();
    for (const line of [
      `synod_peer_alive{peer="n1",node="${leader}"} 0`,
      `synod_peer_alive{peer="${other}",node="${leader}"} 1`,
      `synod_peer_linked{peer="${other}",node="${leader}"} 1`,
      `synod_raft_members{role="voter",node="${leader}"} 3`,
      `synod_raft_knows_leader{node="${leader}"} 1`,
    ]) {
      expect(metrics).toContain(line);
    }
    expect(metrics).toMatch(new RegExp(`synod_peer_lag_entries\\{peer="${other}",node="${leader}"\\} \\d+`));

    cluster.of("n1").spawn();
    await cluster.of("n1").listening();
    await cluster.voting(three);
    await checkRooms(cluster, three, acknowledged);

    // Its directory is lost: it finds its cluster again, as another life of itself.
    await cluster.of("n1").kill();
    const before = (await cluster.status("n2")).servers.find(({ node }) => node === "n1")!.incarnation;
    rmSync(cluster.of("n1").data, { recursive: true });
    cluster.of("n1").spawn();
    await cluster.of("n1").listening();
    await until(async () => {
      const { servers } = await cluster.status("n2");
      const lives = servers.filter(({ node }) => node === "n1");
      return lives.length === 1 && lives[0]!.role === "voter" && lives[0]!.incarnation !== before;
    });
    await cluster.voting(three);
    await say(chat, acknowledged, "after");
    await checkRooms(cluster, three, acknowledged);
    const verified = await runCommand(["verify", ...three.map((name) => cluster.of(name).url), "--user", "alice"]);
    expect([verified.code, verified.errors]).toEqual([0, ""]);
    expect(verified.output).toMatch(/3 servers, 1 room, \d+ messages: equal, dense, each once/);
    checkLogs(cluster);
  });

  test("hand over when the leader is told to stop, and clients see no error", async () => {
    const cluster = await clusterOf(...three);
    await cluster.start(three);
    const chat = cluster.chat("alice");
    const acknowledged: Acknowledged = new Map();
    const enough = new AbortController();
    const talk = (async () => {
      for (let n = 0; !enough.signal.aborted; n++) await say(chat, acknowledged, `message ${n}`);
    })();
    await until(() => acknowledged.size > 20);
    expect(await cluster.of("n1").stop()).toEqual({ code: 0, signal: null });
    const size = acknowledged.size;
    await until(() => acknowledged.size > size + 20);
    enough.abort();
    // Every send was answered with its place: none was refused, and of none is it unknown.
    await talk;
    expect(cluster.of("n1").log()).toContain('"server.stopped"');
    expect(["n2", "n3"]).toContain(await cluster.leader("n3"));
    await checkRooms(cluster, ["n2", "n3"], acknowledged);
    checkLogs(cluster);
  });

  test("without a quorum say so, and go on reading", async () => {
    const cluster = await clusterOf(...three);
    await cluster.start(three);
    const acknowledged: Acknowledged = new Map();
    await say(cluster.chat("alice"), acknowledged, "kept");
    await cluster.level(three);
    await Promise.all([cluster.of("n1").kill(), cluster.of("n2").kill()]);
    const { url } = cluster.of("n3");
    const headers = { "synod-user": "alice", "content-type": "text/plain" };
    const answer = await fetch(`${url}/v1/rooms/lobby/messages`, { method: "POST", headers, body: "lost?" });
    expect([answer.status, await answer.json()]).toMatchObject([503, { code: "no_quorum" }]);
    expect((await cluster.room("n3")).map(({ body }) => body)).toEqual(["kept"]);
    await until(async () => (await fetch(`${url}/readyz`)).status === 503);
    expect((await cluster.cluster("n3", "status")).code).toBe(1);
    expect((await cluster.cluster("n3", "transfer", "n1")).code).toBe(5);
  });
});

test("a member whose journal was damaged while it was stopped comes back by itself, and all servers are equal", async () => {
  const cluster = await clusterOf(...three);
  await cluster.start(three);
  const acknowledged: Acknowledged = new Map();
  const chat = cluster.chat("alice");
  for (let at = 0; at < 20; at++) await say(chat, acknowledged, `before ${at}`);
  await cluster.level(three);
  const damaged = cluster.of("n3");
  await damaged.stop();
  const journal = join(damaged.data, "journal");
  const file = readdirSync(journal).find((name) => name.endsWith(".wal"))!;
  const bytes = readFileSync(join(journal, file));
  const middle = Math.floor(bytes.findLastIndex((byte) => byte !== 0) / 2);
  for (let at = middle; at < middle + 64; at++) bytes[at]! ^= 0xff;
  writeFileSync(join(journal, file), bytes);
  await say(chat, acknowledged, "meanwhile");
  const before = (await cluster.status("n1")).servers.find(({ node }) => node === "n3")!.incarnation;

  // Where the others are no quorum it says so, changes nothing, and stops when it is told to.
  await cluster.of("n2").kill();
  const { url } = damaged;
  damaged.spawn();
  await until(() => damaged.log().includes('"member.silent"'));
  await until(async () => (await fetch(`${url}/readyz`).catch(() => null))?.status === 503);
  const { reason } = (await (await fetch(`${url}/readyz`)).json()) as { reason: string };
  expect(reason).toContain(`journal/${file} bytes`);
  expect(await damaged.stop()).toEqual({ code: 0, signal: null });
  expect(readFileSync(join(journal, file)).equals(bytes)).toBe(true);

  cluster.of("n2").spawn();
  damaged.spawn();
  await Promise.all(["n2", "n3"].map((name) => cluster.of(name).listening()));
  await until(async () => {
    const lives = (await cluster.status("n1")).servers.filter(({ node }) => node === "n3");
    return lives.length === 1 && lives[0]!.role === "voter" && lives[0]!.incarnation !== before;
  });
  await cluster.voting(three);
  await say(cluster.chat("bob", ["n3"]), acknowledged, "after");
  await checkRooms(cluster, three, acknowledged);
  const verified = await runCommand(["verify", ...three.map((name) => cluster.of(name).url), "--user", "alice"]);
  expect([verified.code, verified.errors]).toEqual([0, ""]);
  // Nothing else went wrong, and nothing was thrown away.
  const faults = damaged.faults().map((line) => (JSON.parse(line) as { event: string }).event);
  expect(new Set(faults)).toEqual(new Set(["member.damaged", "member.silent"]));
  const aside = readdirSync(join(damaged.data, "quarantine")).filter((name) => name.endsWith(".wal"));
  expect(aside.some((name) => readFileSync(join(damaged.data, "quarantine", name)).equals(bytes))).toBe(true);
});

test("a leader that is frozen is left by the others and by its clients, and steps back when it wakes", async () => {
  const cluster = await clusterOf(...three);
  await cluster.start(three);
  const acknowledged: Acknowledged = new Map();
  const chat = cluster.chat("alice");
  const told = new Promise<string>((resolve) => {
    chat.on("state", (state) => {
      if (state.name === "online") resolve(state.node);
    });
  });
  await say(chat, acknowledged, "before");
  const node = await told;
  if (node !== "n1") expect((await cluster.cluster("n1", "transfer", node)).code).toBe(0);
  process.kill(cluster.of(node).pid, "SIGSTOP");
  await say(chat, acknowledged, "one", "two", "three");
  const awake = three.filter((name) => name !== node);
  expect(awake).toContain(await cluster.leader(awake[0]!));
  process.kill(cluster.of(node).pid, "SIGCONT");
  await cluster.voting(three);
  await say(chat, acknowledged, "after");
  await checkRooms(cluster, three, acknowledged);
  checkLogs(cluster);
});

test("a server that was away for longer than the others remember goes on from a snapshot, and from its place", async () => {
  const cluster = await ClusterProcesses.of(three, { ...smallLimits(), journalKeptBytes: 64 * 1024 });
  clusters.push(cluster);
  await cluster.start(three);
  const acknowledged: Acknowledged = new Map();
  const chat = cluster.chat("alice", ["n1", "n2"]);
  await say(chat, acknowledged, "before");
  await cluster.of("n3").kill();
  const { ports } = cluster.of("n3");
  for (let batch = 0; batch < 30; batch++) {
    await say(chat, acknowledged, ...Array.from({ length: 100 }, (_, n) => `${batch}.${n} `.padEnd(500, "x")));
  }
  cluster.of("n3").spawn();
  await until(() => cluster.of("n3").log().includes('"server.again"'));
  await cluster.of("n3").listening();
  await cluster.voting(three);
  await checkRooms(cluster, three, acknowledged);
  // The same process, on the ports it had.
  expect(cluster.of("n3").ports).toEqual(ports);
  await say(cluster.chat("bob", ["n3"]), acknowledged, "through the one that came back");
  await checkRooms(cluster, three, acknowledged);
  expect(await cluster.of("n3").stop()).toEqual({ code: 0, signal: null });
  checkLogs(cluster);
});

describe("a cluster that grows and shrinks", () => {
  test("from a solo server to three, without export, and back to two", async () => {
    const cluster = await clusterOf(...three);
    const acknowledged: Acknowledged = new Map();
    // It has lived alone, in topology solo.
    const alone = cluster.prepareSolo("n1");
    alone.spawn();
    await alone.listening();
    await say(cluster.chat("alice"), acknowledged, "alone", "still alone");
    expect((await cluster.cluster("n1", "add", "n2", cluster.addressOf("n2"))).errors).toContain("--topology leader");
    expect((await alone.stop()).code).toBe(0);

    const first = cluster.prepare("n1", []);
    first.spawn();
    await first.listening();
    await cluster.voting(["n1"]);
    // One that is not added waits, though it has found the cluster and could be reached.
    const second = cluster.prepare("n2", ["n1"]);
    second.spawn();
    await second.listening();
    expect((await cluster.status("n1")).servers.map(({ node }) => node)).toEqual(["n1"]);
    for (const name of ["n2", "n3"]) {
      const added = await cluster.cluster("n1", "add", name, cluster.addressOf(name));
      expect([added.code, added.errors]).toEqual([0, ""]);
    }
    const third = cluster.prepare("n3", ["n2"]);
    third.spawn();
    await third.listening();
    await cluster.voting(three);
    const chat = cluster.chat("alice");
    await say(chat, acknowledged, "together");
    await checkRooms(cluster, three, acknowledged);

    // What was added is known to all, over restarts, though the first one was told of nobody.
    await cluster.of("n1").stop();
    await say(chat, acknowledged, "without the first");
    cluster.of("n1").spawn();
    await cluster.of("n1").listening();
    await cluster.voting(three);
    const leader = (await cluster.leader("n1"))!;
    const back = await cluster.cluster(leader, "transfer", "n1", "-o", "json");
    expect(JSON.parse(back.output)).toMatchObject({ leader: "n1" });

    const refused = await cluster.cluster("n2", "remove", "n3");
    expect([refused.code, refused.errors]).toEqual([4, expect.stringContaining("n1 leads")]);
    expect((await cluster.cluster("n1", "remove", "n3")).code).toBe(0);
    await cluster.voting(["n1", "n2"]);
    // Nobody admits it again, though it runs and dials.
    await cluster.of("n3").kill();
    cluster.of("n3").spawn();
    await cluster.of("n3").listening();
    await say(chat, acknowledged, "without the third");
    await checkRooms(cluster, ["n1", "n2"], acknowledged);
    expect((await cluster.status("n1")).servers.map(({ node }) => node)).toEqual(["n1", "n2"]);

    const events = await cluster.cluster("n1", "events", "-o", "json");
    const names = events.output
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { event: string }).event);
    expect(names).toEqual(expect.arrayContaining(["standing.changed", "members.are", "operation.done"]));
    checkLogs(cluster);
  });

  test("servers with another secret never meet", async () => {
    const cluster = await clusterOf("n1", "n2");
    const [first, second] = [cluster.prepare("n1", ["n1", "n2"]), cluster.prepareStranger("n2", ["n1", "n2"])];
    first.spawn();
    second.spawn();
    await until(() => [first, second].every((server) => server.log().includes("founding.waits")));
    await until(
      () => first.log().includes('"why":"unauthenticated"') || second.log().includes('"why":"unauthenticated"'),
    );
    expect([first, second].map(({ data }) => existsSync(`${data}/identity`))).toEqual([false, false]);
  });
});
