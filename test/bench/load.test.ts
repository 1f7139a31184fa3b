import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { mergePublishResults } from "../../src/apps/bench/bench.ts";
import { FanOutLoad } from "../../src/apps/bench/fan-out-load.ts";
import type { FanOutJob, PublishJob } from "../../src/apps/bench/job.ts";
import { makePublishWire, makeReaderWire } from "../../src/apps/bench/make-wire.ts";
import { portOf, startNullServer } from "../../src/apps/bench/null-server.ts";
import { PublishLoad } from "../../src/apps/bench/publish-load.ts";
import type { WireName } from "../../src/apps/bench/wires/wire.ts";

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

const place = { host: "127.0.0.1", rooms: ["bench"], proof: null, serverPids: [], nullServer: true };

async function nullServerFor(name: WireName): Promise<number> {
  const wire = makePublishWire(name, place, { client: 0, clients: 4, bodyBytes: 128 });
  const plan = wire.nullAnswer!;
  const answer = Buffer.from(plan.answer).toString("base64");
  const server = await startNullServer({ mode: "answer", requestBytes: wire.requestBytes, ...plan, answer });
  servers.push(server);
  return portOf(server);
}

const publishJob = (port: number, wire: WireName, job: Partial<PublishJob>): PublishJob => ({
  kind: "publish",
  wire,
  ...place,
  port,
  clients: 3,
  firstClient: 0,
  clientsInAll: 3,
  window: 50,
  bodyBytes: 128,
  ratePerSecond: null,
  reader: false,
  warmupMs: 20,
  measureMs: 100,
  ...job,
});

test.each(["redis-stream", "nats-jetstream", "synod-binary", "synod-json"] as const)(
  "%s: a closed loop gets one answer to each request",
  async (wire) => {
    const load = new PublishLoad(publishJob(await nullServerFor(wire), wire, {}));
    await load.prepare();
    const result = await load.run();
    expect(result).toMatchObject({ errors: 0, firstError: null });
    expect(result.acked).toBeGreaterThan(0);
    expect(result.acked).toBeLessThanOrEqual(result.ackedInAll);
    const merged = mergePublishResults([result, result]);
    expect(merged.acked).toBe(2 * result.acked);
    expect(merged.ack.total).toBe(2 * result.acked);
  },
);

test("an open loop sends what is due, and counts from when it was due", async () => {
  const job = publishJob(await nullServerFor("synod-binary"), "synod-binary", { ratePerSecond: 2000, measureMs: 200 });
  const load = new PublishLoad(job);
  await load.prepare();
  const result = await load.run();
  expect(result.errors).toBe(0);
  // 2000 a second for a fifth of a second, however late the timers of this machine are.
  expect(result.acked).toBe(400);
});

/** A server that speaks RESP; `answer` gets what came and says something back when it likes. */
async function respServer(answer: (bytes: Buffer, reply: (text: string) => void) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes: Buffer) => answer(bytes, (text) => socket.write(text)));
  });
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return (server.address() as AddressInfo).port;
}

const stored = "$3\r\n1-1\r\n";

test("in an open loop what was due during a stall is sent afterwards, and counts from when it was due", async () => {
  const intended: number[] = [];
  let release: (() => void) | null = null;
  const port = await respServer((bytes, reply) => {
    const body = /\$128\r\n(\d{16})/.exec(bytes.toString())!;
    intended.push(Number(body[1]));
    // The first answer is held back until all the others are long due.
    if (intended.length === 1) release = () => reply(stored);
    else reply(stored);
  });
  const stall = { clients: 1, window: 1, ratePerSecond: 100, warmupMs: 0, measureMs: 60 };
  const load = new PublishLoad(publishJob(port, "redis-stream", stall));
  await load.prepare();
  const running = load.run();
  setTimeout(() => release?.(), 120);
  const result = await running;
  expect(result).toMatchObject({ errors: 0, acked: 6 });
  // What went out late still says the time of its arrival: ten milliseconds apart, to the microsecond of rounding.
  const steps = intended.slice(1).map((micros, place) => micros - intended[place]!);
  for (const step of steps) expect(Math.abs(step - 10_000)).toBeLessThanOrEqual(1);
});

test("a second answer and a refusal are errors, each counted", async () => {
  let first = true;
  const port = await respServer((_, reply) => {
    reply(first ? `${stored}${stored}-ERR full\r\n` : stored);
    first = false;
  });
  const once = { clients: 1, window: 1, ratePerSecond: 1, measureMs: 1, warmupMs: 0 };
  const load = new PublishLoad(publishJob(port, "redis-stream", once));
  await load.prepare();
  const result = await load.run();
  // The second answer, the refusal of something that was never asked, and its number that was not open.
  expect(result).toMatchObject({ acked: 1, errors: 3 });
});

test.each(["redis-pubsub", "nats-core", "synod-websocket", "socket-io"] as const)(
  "%s: every reader of a null server gets every number in order",
  async (wire) => {
    const delivery = makeReaderWire(wire, place, { reader: 0, rooms: ["bench"], bodyBytes: 128 }).nullDelivery;
    const server = await startNullServer({
      mode: "stream",
      delivery: Buffer.from(delivery.bytes).toString("base64"),
      bodyAt: delivery.bodyAt,
      readers: 5,
    });
    servers.push(server);
    const job: FanOutJob = {
      kind: "fan-out",
      wire,
      ...place,
      port: portOf(server),
      readers: 5,
      publisherWire: wire,
      publisherPort: 0,
      window: 8,
      bodyBytes: 128,
      warmupMs: 20,
      measureMs: 100,
    };
    const load = new FanOutLoad(job);
    await load.prepare();
    const result = await load.run();
    expect(result).toMatchObject({ errors: 0, firstError: null });
    expect(result.deliveries).toBeGreaterThan(0);
  },
);
