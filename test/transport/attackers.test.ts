import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp, createServer as createTcpServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterEach, expect, test } from "vitest";
import { millis } from "../../src/base/units.ts";
import { nodePeerDialler, peerDialOptions } from "../../src/platform/node/peer-dialler.ts";
import {
  defaultPeerListenerLimits,
  listenForPeers,
  type PeerListener,
  type PeerListenerLimits,
} from "../../src/platform/node/peer-listener.ts";
import { derivePeerKey, peerTlsOptions } from "../../src/platform/node/peer-secret.ts";
import { encodeGreeting, peerVersions } from "../../src/transport/greeting.ts";
import { frameHeaderBytes, frameTypes, putFrameHeader } from "../../src/transport/peer-frame.ts";
import { defaultLinkLimits } from "../../src/transport/link-limits.ts";
import { PeerLinks } from "../../src/transport/peer-links.ts";
import type { RunId } from "../../src/transport/remote-server.ts";
import { cluster, incarnationOf, named } from "./link-town.ts";
import { hear, type PeerWorld } from "./peer-world.ts";
import { secretCalled, socketWorld } from "./socket-world.ts";
import { TransportServer } from "./transport-server.ts";

/** A peer port that writes down what it is told, and closes with the test. */
interface Port {
  readonly listener: PeerListener;
  readonly streams: number[];
  readonly turnedAway: string[];
}

const closing: (() => void | Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function openPort(limits: Partial<PeerListenerLimits> = {}): Promise<Port> {
  const streams: number[] = [];
  const turnedAway: string[] = [];
  const listener = await listenForPeers({
    host: "127.0.0.1",
    port: 0,
    secret: secretCalled("ours"),
    limits: { ...defaultPeerListenerLimits, ...limits },
    onStream: (stream) => {
      streams.push(1);
      closing.push(() => stream.destroy());
    },
    onTurnedAway: (_address, why) => turnedAway.push(why),
  });
  closing.push(() => listener.close());
  return { listener, streams, turnedAway };
}

async function until(done: () => boolean): Promise<void> {
  while (!done()) {
    await new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  }
}

/** Plain TCP to the port; resets and refusals are part of the game. */
function attack(port: Port): { socket: Socket; isOver: () => boolean; received: () => number } {
  const socket = connectTcp(port.listener.port, "127.0.0.1");
  let over = false;
  let received = 0;
  socket.on("error", () => socket.destroy());
  socket.on("data", (bytes: Buffer) => void (received += bytes.length));
  socket.on("close", () => void (over = true));
  closing.push(() => void socket.destroy());
  return { socket, isOver: () => over, received: () => received };
}

test("[PEER3] two servers with the secret speak TLS 1.3 with an ephemeral key exchange and no certificate", async () => {
  const { identity, key } = derivePeerKey(secretCalled("ours"));
  const port = await openPort();
  const socket = connectTls({
    ...peerTlsOptions,
    host: "127.0.0.1",
    port: port.listener.port,
    pskCallback: () => ({ psk: key, identity }),
    checkServerIdentity: () => new Error("a certificate"),
  });
  closing.push(() => void socket.destroy());
  await once(socket, "secureConnect");
  expect(socket.getProtocol()).toBe("TLSv1.3");
  expect(peerTlsOptions.ciphers.split(":")).toContain(socket.getCipher().name);
  expect(socket.getEphemeralKeyInfo()).toMatchObject({ type: "ECDH", name: "X25519" });
  expect(socket.getPeerCertificate()).toEqual({});
  await until(() => port.streams.length === 1);
  expect(port.listener.unauthenticatedCount, "it counts no more among those").toBe(0);
});

test("[PEER3] key and identity differ, tell nothing of each other, and change with the secret", () => {
  const ours = derivePeerKey(secretCalled("ours"));
  expect(derivePeerKey(secretCalled("ours"))).toEqual(ours);
  const theirs = derivePeerKey(secretCalled("theirs"));
  expect(theirs.identity).not.toBe(ours.identity);
  expect(Buffer.from(theirs.key)).not.toEqual(Buffer.from(ours.key));
  expect(ours.key).toHaveLength(32);
  expect(() => derivePeerKey(new Uint8Array(15))).toThrow("15 bytes");
});

test("[PEER2] an attacker without the secret, whatever he begins with, never becomes a stream", async () => {
  const port = await openPort();
  const { port: number } = port.listener;
  const { identity } = derivePeerKey(secretCalled("ours"));
  const hello = encodeGreeting({
    type: "hello",
    versions: peerVersions,
    from: { name: named("n2"), incarnation: incarnationOf("n2"), run: "ab".repeat(16) as RunId, cluster },
    nonce: "cd".repeat(16),
    to: named("n1"),
  });
  const append = new Uint8Array(frameHeaderBytes);
  putFrameHeader(append, 0, { type: frameTypes.append, flags: 0, kind: 0, payloadBytes: 1_000_000 });
  // In the clear: frames that would do harm, other protocols, garbage, a record that claims a length it never has.
  const openers = [
    Buffer.from(hello),
    Buffer.from(append),
    Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    Buffer.alloc(100_000, 0x5a),
    Buffer.from("16030140000100003ffc0303", "hex"),
    Buffer.from("ffffffffffffffff", "hex"),
  ];
  const attackers = openers.map((bytes) => {
    const one = attack(port);
    one.socket.write(bytes);
    return one;
  });
  // With TLS, and without the key: none, another, and the right name with another key; also older TLS.
  const other = derivePeerKey(secretCalled("theirs"));
  const wrong: TLSSocket[] = [
    connectTls({ host: "127.0.0.1", port: number, rejectUnauthorized: false }),
    connectTls({
      ...peerTlsOptions,
      host: "127.0.0.1",
      port: number,
      pskCallback: () => ({ psk: other.key, identity: other.identity }),
    }),
    connectTls({
      ...peerTlsOptions,
      host: "127.0.0.1",
      port: number,
      pskCallback: () => ({ psk: other.key, identity }),
    }),
    connectTls({
      host: "127.0.0.1",
      port: number,
      maxVersion: "TLSv1.2",
      ciphers: "PSK",
      pskCallback: () => ({ psk: other.key, identity }),
    }),
  ];
  let failed = 0;
  for (const socket of wrong) {
    closing.push(() => void socket.destroy());
    socket.on("error", () => void failed++);
  }
  await until(() => failed === wrong.length && attackers.filter(({ isOver }) => isOver()).length >= 4);
  expect(port.streams).toEqual([]);
  // The two that claim a record that never comes whole hold a socket until the deadline.
  await until(() => attackers.every(({ isOver }) => isOver()));
  expect(port.streams).toEqual([]);
  expect(port.listener.unauthenticatedCount).toBe(0);
  expect(new Set(port.turnedAway)).toEqual(new Set(["unauthenticated", "slow"]));
});

test("[PEER4] silent, half-open and dripping connections end at the deadline, however busy they are", async () => {
  const port = await openPort({ authenticateWithinMs: 60 });
  const silent = attack(port);
  const halfOpen = attack(port);
  halfOpen.socket.end();
  const dripping = attack(port);
  // The beginning of a handshake record of 16,384 bytes, a byte at a time: TLS's own timer would start over each time.
  dripping.socket.write(Buffer.from("1603014000", "hex"));
  const drip = setInterval(() => dripping.socket.write(Buffer.from([1])), 5);
  closing.push(() => clearInterval(drip));
  await until(() => silent.isOver() && halfOpen.isOver() && dripping.isOver());
  expect(port.listener.unauthenticatedCount).toBe(0);
  expect(port.streams).toEqual([]);
  expect(port.turnedAway).toContain("slow");
});

test("[PEER4] more connections than the bounds are turned away at once, and a server with the secret gets in after", async () => {
  const port = await openPort({ unauthenticatedMax: 8, unauthenticatedPerAddressMax: 5, authenticateWithinMs: 1_000 });
  const attackers = Array.from({ length: 30 }, () => attack(port));
  await until(() => attackers.filter(({ isOver }) => isOver()).length === 25);
  expect(port.listener.unauthenticatedCount).toBe(5);
  expect(port.turnedAway).toEqual(Array.from({ length: 25 }, () => "too_many"));
  for (const { socket } of attackers) socket.destroy();
  await until(() => port.listener.unauthenticatedCount === 0);
  const heard = hear(
    nodePeerDialler({ secret: secretCalled("ours") }).dial({ host: "127.0.0.1", port: port.listener.port }),
  );
  closing.push(() => heard.stream.destroy());
  await until(() => heard.events.includes("opened"));
});

test("[PEER3] a dialler does not talk to a server that shows a certificate, even one that it could trust", async () => {
  const fixtures = new URL("fixtures/", import.meta.url);
  const cert = readFileSync(new URL("impostor-cert.pem", fixtures));
  const key = readFileSync(new URL("impostor-key.pem", fixtures));
  let heardBytes = 0;
  const impostor = createTlsServer({ key, cert, minVersion: "TLSv1.3" }, (socket) => {
    socket.on("data", (bytes: Buffer) => void (heardBytes += bytes.length));
    socket.on("error", () => socket.destroy());
  });
  impostor.on("tlsClientError", () => undefined);
  closing.push(() => void impostor.close());
  impostor.listen(0, "127.0.0.1");
  await once(impostor, "listening");
  const address = impostor.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const { port } = address;
  const heard = hear(nodePeerDialler({ secret: secretCalled("ours") }).dial({ host: "127.0.0.1", port }));
  await until(() => heard.events.length > 0);
  expect(heard.events).toEqual(["unauthenticated"]);
  // The same with a root that this machine believes: the certificate is in order, and no more welcome.
  const options = { ...peerDialOptions(derivePeerKey(secretCalled("ours"))), ca: [cert], host: "127.0.0.1", port };
  const trusting = connectTls(options);
  closing.push(() => void trusting.destroy());
  const said: string[] = [];
  trusting.on("secureConnect", () => said.push("it talks to him"));
  trusting.on("error", (error: Error) => said.push(error.message));
  await until(() => said.length > 0);
  expect(said).toEqual(["the server shows a certificate instead of knowing the cluster secret"]);
  expect(heardBytes).toBe(0);
});

test("[PEER2] a server that answers with something else than TLS is told apart from one that does not run", async () => {
  const other = createTcpServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end("SSH-2.0-OpenSSH\r\n".repeat(100));
  });
  closing.push(() => void other.close());
  other.listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const heard = hear(nodePeerDialler({ secret: secretCalled("ours") }).dial({ host: "127.0.0.1", port: address.port }));
  await until(() => heard.events.length > 0);
  expect(heard.events).toEqual(["unauthenticated"]);
});

/** A server, and one who has the secret and does not behave. */
async function insider(): Promise<{ world: PeerWorld; server: TransportServer; stream: ReturnType<typeof hear> }> {
  const world = socketWorld();
  closing.push(() => world.close());
  const server = await TransportServer.start(world, "n1");
  closing.push(() => server.host.crash());
  const stream = hear(world.host("n2").dialler.dial(server.address));
  await until(() => stream.events.includes("opened"));
  return { world, server, stream };
}

const ends = (server: TransportServer): (string | null)[] =>
  server.news.flatMap((news) => (news.type === "no-link" && news.end.how === "refusal" ? [news.end.refusal.code] : []));

test("[PEER6] who has the secret and sends frames before a greeting, garbage or a recorded greeting gets no link", async () => {
  const { server, stream, world } = await insider();
  const append = new Uint8Array(frameHeaderBytes);
  putFrameHeader(append, 0, { type: frameTypes.append, flags: 0, kind: 0, payloadBytes: 0 });
  stream.stream.write([append]);
  await until(() => ends(server).length === 1);
  const garbage = hear(world.host("n2").dialler.dial(server.address));
  await until(() => garbage.events.includes("opened"));
  garbage.stream.write([Buffer.alloc(5_000, 0xa5)]);
  await until(() => ends(server).length === 2);
  // All that a dialler said on another connection, word for word, its answer to that connection's number included.
  const replay = hear(world.host("n2").dialler.dial(server.address));
  await until(() => replay.events.includes("opened"));
  const from = { name: named("n2"), incarnation: incarnationOf("n2"), run: "ab".repeat(16) as RunId, cluster };
  replay.stream.write([
    encodeGreeting({ type: "hello", versions: peerVersions, from, nonce: "cd".repeat(16), to: named("n1") }),
    encodeGreeting({ type: "confirm", echo: "ef".repeat(16), choice: 0, insists: true }),
  ]);
  await until(() => ends(server).length === 3 || server.news.some(({ type }) => type === "up"));
  expect(ends(server)).toEqual(["malformed", "malformed", "replay"]);
  expect(server.news.some(({ type }) => type === "up" || type === "frame")).toBe(false);
  // And the other side reads why.
  await until(() => replay.bytes.length > 0 && replay.events.length > 1);
  const text = Buffer.from(replay.bytes).toString("latin1");
  expect(text).toContain("the confirmation answers another connection");
});

test("[PEER7] who has the secret and drips its greeting is ended in time", async () => {
  const world = socketWorld();
  closing.push(() => world.close());
  const host = world.host("n1");
  let accept: ((stream: Parameters<TransportServer["transport"]["accept"]>[0]) => void) | null = null;
  const server = await TransportServer.startOn(
    { ...host, listen: (onStream) => host.listen((stream) => (accept ?? onStream)(stream)) },
    "n1",
    { greetWithinMs: 60 },
  );
  accept = (stream) => server.transport.accept(stream);
  closing.push(() => host.crash());
  const stream = hear(world.host("n2").dialler.dial(server.address));
  await until(() => stream.events.includes("opened"));
  const header = new Uint8Array(frameHeaderBytes);
  putFrameHeader(header, 0, { type: frameTypes.hello, flags: 0, kind: 0, payloadBytes: 400 });
  stream.stream.write([header]);
  const drip = setInterval(() => stream.stream.write([Uint8Array.of(1)]), 5);
  closing.push(() => clearInterval(drip));
  await until(() => ends(server).length === 1);
  expect(ends(server)).toEqual(["slow"]);
});

test("[PEER18] what is held for a server that has greeted and then reads nothing is bounded", async () => {
  const world = socketWorld();
  closing.push(() => world.close());
  const server = await TransportServer.start(world, "n1");
  closing.push(() => server.host.crash());
  const { random } = world.host("n2");
  const links = new PeerLinks({
    name: named("n2"),
    incarnation: incarnationOf("n2"),
    cluster,
    limits: defaultLinkLimits,
    random,
  });
  const dialled = links.addPeer(millis(0), named("n1"), server.address);
  const [dial] = dialled;
  if (dial?.type !== "dial") throw new Error("it does not dial");
  const { port } = server.address;
  const socket = connectTls({ ...peerDialOptions(derivePeerKey(secretCalled("one secret"))), host: "127.0.0.1", port });
  closing.push(() => void socket.destroy());
  const step = (event: Parameters<PeerLinks["step"]>[0]): void => {
    for (const effect of links.step(event)) if (effect.type === "write") socket.write(effect.bytes);
    if (links.isLinked(named("n1"))) socket.pause();
  };
  socket.on("data", (bytes: Buffer) => step({ type: "received", now: millis(0), connection: dial.connection, bytes }));
  socket.on("error", () => socket.destroy());
  await once(socket, "secureConnect");
  step({ type: "opened", now: millis(0), connection: dial.connection });
  await until(() => server.transport.isLinked(named("n2")));
  const { appendQueueBytesMax, bulkQueueBytesMax, appendWindowBytes, bulkWindowBytes } = defaultLinkLimits;
  const payload = new Uint8Array(64 * 1024);
  const outcomes = { append: "", bulk: "" };
  const frame = { kind: 1, payload, tag: 1, subject: null } as const;
  for (let turn = 0; turn < 100; turn++) {
    for (let count = 0; count < 100; count++) {
      for (const lane of ["append", "bulk"] as const)
        outcomes[lane] = server.transport.send(named("n2"), { ...frame, lane });
    }
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    const [status] = server.transport.status();
    expect(status!.waitingBytes).toBeLessThanOrEqual(appendQueueBytesMax + bulkQueueBytesMax + 4_096);
    expect(status!.unconfirmedBytes).toBeLessThanOrEqual(appendWindowBytes + bulkWindowBytes + 4_096);
  }
  expect(outcomes).toEqual({ append: "full", bulk: "full" });
});
