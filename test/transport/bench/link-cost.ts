/**
 * What TLS costs on a link: throughput and one-way latency of frames of 1 KiB and 64 KiB between two processes on the
 * loopback, over TLS and over plain TCP. No test; run it alone on the machine:
 *
 *   npx rolldown test/transport/bench/link-cost.ts --platform node --format esm --file dist/link-cost.mjs
 *   node dist/link-cost.mjs
 *
 * Latency counts from `send` in one process to the owner's call in the other; both read the same monotonic clock.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { fileURLToPath } from "node:url";
import type { Incarnation, NodeName } from "../../../src/base/ids.ts";
import { millis } from "../../../src/base/units.ts";
import { nodeClock } from "../../../src/platform/node/node-clock.ts";
import { nodeRandom } from "../../../src/platform/node/node-random.ts";
import { nodePeerDialler } from "../../../src/platform/node/peer-dialler.ts";
import { defaultPeerListenerLimits, listenForPeers } from "../../../src/platform/node/peer-listener.ts";
import { PeerSocket } from "../../../src/platform/node/peer-socket.ts";
import { defaultLinkLimits } from "../../../src/transport/link-limits.ts";
import { defaultLivenessTiming } from "../../../src/transport/liveness/liveness-timing.ts";
import type { Lane } from "../../../src/transport/peer-frame.ts";
import type { PeerDialler, PeerStream } from "../../../src/transport/peer-stream.ts";
import { PeerTransport } from "../../../src/transport/peer-transport.ts";

type Kind = "tls" | "tcp";

interface Counts {
  readonly frames: number;
  readonly bytes: number;
  readonly cpuMs: number;
  /** One-way, in microseconds, sorted; of frames of the kind `timed`. */
  readonly micros: number[];
}

const secret = new Uint8Array(32).fill(7);
const timed = 2;
const untimed = 1;
const throughputMs = 2_500;
const latencyFrames = 1_000;

const plainDialler: PeerDialler = {
  dial: ({ host, port }) => new PeerSocket(connect({ host, port }), `${host}:${port}`, "connect"),
};

function transportOf(
  name: string,
  kind: Kind,
  onFrame: (kind: number, payload: Uint8Array) => void,
  onRoom: () => void,
): PeerTransport {
  return new PeerTransport({
    name: name as NodeName,
    incarnation: Buffer.from(name.padEnd(16)).toString("hex") as Incarnation,
    cluster: null,
    clock: nodeClock(),
    random: nodeRandom(),
    dialler: kind === "tls" ? nodePeerDialler({ secret }) : plainDialler,
    limits: defaultLinkLimits,
    timing: defaultLivenessTiming,
    owner: {
      link: (news) => {
        if (news.type === "frame") onFrame(news.kind, news.payload);
        else if (news.type === "room") onRoom();
      },
      liveness: () => undefined,
      syncAgeMs: () => millis(0),
      vouched: () => new Uint8Array(0),
    },
  });
}

async function listen(kind: Kind, onStream: (stream: PeerStream) => void): Promise<number> {
  if (kind === "tls") {
    const limits = defaultPeerListenerLimits;
    const onTurnedAway = (): void => undefined;
    return (await listenForPeers({ host: "127.0.0.1", port: 0, secret, limits, onStream, onTurnedAway })).port;
  }
  const server = createServer({ noDelay: true }, (socket) => onStream(new PeerSocket(socket, "peer", null)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n);

async function receive(kind: Kind): Promise<void> {
  let frames = 0;
  let bytes = 0;
  let startedMs = cpuMs();
  let micros: number[] = [];
  const onFrame = (frameKind: number, payload: Uint8Array): void => {
    frames++;
    bytes += payload.length;
    if (frameKind !== timed) return;
    micros.push(nowMicros() - new DataView(payload.buffer, payload.byteOffset).getFloat64(0, true));
  };
  const transport = transportOf("n2", kind, onFrame, () => undefined);
  process.on("message", () => {
    const counts: Counts = { frames, bytes, cpuMs: cpuMs() - startedMs, micros: micros.sort((a, b) => a - b) };
    process.send?.(counts);
    [frames, bytes, startedMs, micros] = [0, 0, cpuMs(), []];
  });
  process.send?.(await listen(kind, (stream) => transport.accept(stream)));
}

async function ask(child: ChildProcess): Promise<Counts> {
  child.send("counts");
  const [counts] = (await once(child, "message")) as [Counts];
  return counts;
}

const wait = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

function stamped(bytes: number): Uint8Array {
  const payload = new Uint8Array(bytes);
  new DataView(payload.buffer).setFloat64(0, nowMicros(), true);
  return payload;
}

const at = (sorted: readonly number[], share: number): string =>
  `${sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN}`.padStart(7);

async function measure(kind: Kind): Promise<void> {
  const child = fork(fileURLToPath(import.meta.url), [kind]);
  const [port] = (await once(child, "message")) as [number];
  const to = "n2" as NodeName;
  let goOn: () => void = () => undefined;
  const transport = transportOf(
    "n1",
    kind,
    () => undefined,
    () => goOn(),
  );
  transport.addPeer(to, { host: "127.0.0.1", port });
  while (!transport.isLinked(to)) await wait(5);
  const send = (lane: Lane, frameKind: number, payload: Uint8Array): boolean =>
    transport.send(to, { lane, kind: frameKind, payload, tag: 0, subject: null }) === "taken";

  for (const bytes of [1_024, 64 * 1_024]) {
    // Quiet: one frame at a time.
    await ask(child);
    for (let count = 0; count < latencyFrames; count++) {
      send("append", timed, stamped(bytes));
      await wait(1);
    }
    await wait(20);
    const quiet = (await ask(child)).micros;
    // Full: as many as the lane takes, and a control frame now and then.
    const payload = new Uint8Array(bytes);
    const startedMs = cpuMs();
    const until = performance.now() + throughputMs;
    while (performance.now() < until) {
      const room = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      while (send("append", untimed, payload));
      send("control", timed, stamped(64));
      await room;
    }
    const full = await ask(child);
    const own = cpuMs() - startedMs;
    const perSecond = (value: number): number => value / (throughputMs / 1000);
    const mib = (perSecond(full.bytes) / 1_048_576).toFixed(0);
    const perGib = (ms: number): string => ((ms / full.bytes) * 1_073_741_824 * 0.001).toFixed(2);
    process.stdout.write(
      `${kind} ${String(bytes).padStart(6)} B  ${perSecond(full.frames).toFixed(0).padStart(7)} frames/s ${mib.padStart(5)} MiB/s` +
        `  CPU s/GiB send ${perGib(own)} receive ${perGib(full.cpuMs)}` +
        `  one-way us p50 ${at(quiet, 0.5)} p99 ${at(quiet, 0.99)}` +
        `  control under load p50 ${at(full.micros, 0.5)} p99 ${at(full.micros, 0.99)}\n`,
    );
  }
  child.kill();
}

const [, , role] = process.argv;
if (role === "tls" || role === "tcp") {
  await receive(role);
} else {
  for (const kind of ["tcp", "tls"] as const) await measure(kind);
  process.exit(0);
}
