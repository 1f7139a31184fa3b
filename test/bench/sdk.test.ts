import { afterEach, expect, test } from "vitest";
import { FanOutLoad } from "../../src/apps/bench/fan-out-load.ts";
import type { FanOutJob, PublishJob } from "../../src/apps/bench/job.ts";
import { PublishLoad } from "../../src/apps/bench/publish-load.ts";
import { until } from "../doors/fake-server.ts";
import { closeTown, town } from "../doors/town.ts";

// The shipped SDK as the generator's client, before a whole server behind real sockets.

afterEach(closeTown);

const base = { host: "127.0.0.1", rooms: ["bench"], proof: null, serverPids: [], nullServer: false } as const;
const publishJob = (port: number, changed: Partial<PublishJob>): PublishJob => ({
  kind: "publish",
  wire: "synod-binary",
  ...base,
  client: "sdk",
  port,
  clients: 2,
  firstClient: 0,
  clientsInAll: 2,
  window: 10,
  bodyBytes: 64,
  ratePerSecond: null,
  reader: true,
  warmupMs: 10,
  measureMs: 60,
  ...changed,
});

test.each(["synod-binary", "synod-json"] as const)(
  "%s: what the SDK says is stored is stored, each in order, and read by its iteration",
  async (wire) => {
    const { tcpPort, http } = await town();
    const load = new PublishLoad(publishJob(tcpPort, { wire }));
    await load.prepare();
    const result = await load.run();
    expect(result).toMatchObject({ errors: 0, firstError: null, topology: "solo" });
    expect(result.acked).toBeGreaterThan(0);
    expect(result.deliver.counts.length).toBeGreaterThan(0);
    const { json } = await http("GET", "/v1/rooms/bench/messages?limit=1");
    expect(json).toMatchObject({ head: result.ackedInAll });
  },
);

test("a window wider than what the server takes at once is kept without a refusal", async () => {
  const { tcpPort } = await town();
  const wide = { window: 6_000, clients: 1, clientsInAll: 1, messages: 6_000, measureMs: 20_000, reader: false };
  const load = new PublishLoad(publishJob(tcpPort, { ...wide, warmupMs: 0 }));
  await load.prepare();
  expect(await load.run()).toMatchObject({ errors: 0, firstError: null, ackedInAll: 6_000 });
});

test("rooms are shared out among the clients, and an open loop sends what is due", async () => {
  const { tcpPort } = await town();
  const rooms = ["room-1", "room-2", "room-3", "room-4"];
  const load = new PublishLoad(publishJob(tcpPort, { rooms, ratePerSecond: 500, measureMs: 200, reader: false }));
  await load.prepare();
  expect(await load.run()).toMatchObject({ errors: 0, firstError: null, acked: 100 });
});

test("readers who iterate get what the SDK publishes, all of it and in order", async () => {
  const { tcpPort, httpPort } = await town();
  const job: FanOutJob = {
    kind: "fan-out",
    wire: "synod-websocket",
    ...base,
    client: "sdk",
    port: httpPort,
    publisherWire: "synod-binary",
    publisherPort: tcpPort,
    readers: 7,
    window: 8,
    bodyBytes: 64,
    warmupMs: 10,
    measureMs: 60,
  };
  const load = new FanOutLoad(job);
  await load.prepare();
  const result = await load.run();
  expect(result).toMatchObject({ errors: 0, firstError: null });
  expect(result.deliveries).toBeGreaterThan(0);
  expect(result.lastReader.counts.length).toBeGreaterThan(0);
});

test("a link that the SDK would mend in silence is an error", async () => {
  const { server, tcpPort } = await town();
  const job = publishJob(tcpPort, { messages: 2, warmupMs: 500, reader: false });
  const load = new PublishLoad(job);
  await load.prepare();
  const running = load.run();
  await until(() => load.ackedInAll === 2);
  await server.stop(0);
  expect((await running).errors).toBeGreaterThan(0);
});

test("a server that is not there is said at once", async () => {
  const { tcpPort } = await town();
  await closeTown();
  await expect(new PublishLoad(publishJob(tcpPort, {})).prepare()).rejects.toThrow("ECONNREFUSED");
});
