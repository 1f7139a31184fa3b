import { connect, type Socket } from "node:net";
import { expect } from "vitest";
import { WebSocket } from "ws";
import { defaultLimits } from "../../src/base/limits.ts";
import { seededRandom } from "../../src/base/random.ts";
import { requestPortOf } from "../../src/doors/ports-of-server.ts";
import { PublicDoor } from "../../src/doors/public-door.ts";
import { TcpDoor } from "../../src/doors/tcp-door.ts";
import { TcpListener } from "../../src/doors/tcp-listener.ts";
import { decodeBinary, encodeBinary } from "../../src/protocol/binary-codec.ts";
import { publicDocuments } from "../../src/protocol/documents.ts";
import { FrameSplitter } from "../../src/protocol/frame-splitter.ts";
import { binaryGreeting, type ClientFrame, subprotocols } from "../../src/protocol/schema.ts";
import { startTestServer, type WorldOptions } from "../server/server-world.ts";
import { concat, realClock, RememberingLog, until } from "./fake-server.ts";

// The doors before the server they are made for, over real sockets, on a simulated disk; and clients of each door.

const closers: (() => Promise<void> | void)[] = [];

/** Ends what this test began, clients before doors. For `afterEach`. */
export async function closeTown(): Promise<void> {
  for (const close of closers.splice(0)) await close();
}

/** What is to be ended before the doors. */
export const endWith = (close: () => void): void => void closers.unshift(close);

export type Json = Record<string, unknown>;

export async function town(options: WorldOptions = {}) {
  const { server, fileSystem } = await startTestServer(options);
  const remembered = new RememberingLog();
  const log = options.log ?? remembered;
  const limits = { ...defaultLimits, ...options.limits };
  const port = requestPortOf(server);
  const tcp = new TcpListener(new TcpDoor({ server: port, clock: realClock, limits, log }));
  const door = new PublicDoor({
    server: port,
    clock: realClock,
    random: seededRandom(3),
    limits,
    log,
    trust: { origins: [], hosts: null },
    page: null,
    documents: publicDocuments({ version: "1" }),
  });
  const tcpPort = await tcp.listen({ host: "127.0.0.1", port: 0 });
  const httpPort = await door.listen({ host: "127.0.0.1", port: 0 });
  closers.push(async () => {
    await tcp.close();
    await door.close();
    await server.stop(0);
    expect(remembered.events).toEqual([]);
  });
  const url = `http://127.0.0.1:${httpPort}`;
  const http = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: {
        "synod-user": "alice",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text === "" ? {} : (JSON.parse(text) as Json), headers: response.headers };
  };
  return { server, fileSystem, door, tcpPort, httpPort, url, http };
}

export type Town = Awaited<ReturnType<typeof town>>;

export interface Talker {
  readonly heard: Json[];
  say(...frames: object[]): void;
  /** The answer to the request of this id. */
  answer(id: number | string): Promise<Json>;
  /** Says it with a new id, and settles with the answer. */
  ask(frame: object): Promise<Json>;
  /** The first frame that is so, once it is there. */
  hears(isSo: (frame: Json) => boolean): Promise<Json>;
}

function talker(heard: Json[], say: (...frames: object[]) => void): Talker {
  const hears = async (isSo: (frame: Json) => boolean): Promise<Json> => {
    await until(() => heard.some(isSo));
    return heard.find(isSo)!;
  };
  const answer = (id: number | string): Promise<Json> => hears((frame) => frame["id"] === id);
  let last = 1_000;
  const ask = (frame: object): Promise<Json> => {
    const id = ++last;
    say({ ...frame, id });
    return answer(id);
  };
  return { heard, say, answer, ask, hears };
}

const hello = (user: string): object => ({ t: "hello", v: 1, user });

async function welcomed<T extends Talker>(user: string, talking: T): Promise<T> {
  talking.say(hello(user));
  expect(await talking.hears(() => true)).toMatchObject({ t: "welcome", user });
  return talking;
}

export async function overTcp(port: number, user: string): Promise<Talker & { socket: Socket }> {
  const socket = connect(port, "127.0.0.1");
  endWith(() => socket.destroy());
  const heard: Json[] = [];
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString();
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) heard.push(...([JSON.parse(line)].flat() as Json[]));
  });
  const say = (...frames: object[]): void =>
    void socket.write(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(""));
  return welcomed(user, { ...talker(heard, say), socket });
}

export async function overBinaryTcp(port: number, user: string): Promise<Talker & { socket: Socket }> {
  const socket = connect(port, "127.0.0.1");
  endWith(() => socket.destroy());
  const heard: Json[] = [];
  const splitter = new FrameSplitter(1 << 24);
  let isGreeted = false;
  socket.on("data", (bytes: Buffer) => {
    // The server greets in binary too, once.
    splitter.add(isGreeted ? bytes : bytes.subarray(1));
    if (!isGreeted) expect(bytes[0]).toBe(binaryGreeting);
    isGreeted = true;
    while (splitter.next()) heard.push(decoded(splitter.bytes, splitter.start, splitter.end));
  });
  socket.write(Uint8Array.of(binaryGreeting));
  return welcomed(user, { ...talker(heard, (...frames) => void socket.write(encoded(frames))), socket });
}

export async function overWebSocket(port: number, user: string): Promise<Talker & { socket: WebSocket }> {
  const heard: Json[] = [];
  const socket = await opened(port, subprotocols.json);
  socket.on("message", (data: Buffer) => heard.push(...([JSON.parse(data.toString())].flat() as Json[])));
  const say = (...frames: object[]): void => {
    for (const frame of frames) socket.send(JSON.stringify(frame));
  };
  return welcomed(user, { ...talker(heard, say), socket });
}

export async function overBinaryWebSocket(port: number, user: string): Promise<Talker & { socket: WebSocket }> {
  const heard: Json[] = [];
  const socket = await opened(port, subprotocols.binary);
  socket.on("message", (data: Buffer) => {
    const splitter = new FrameSplitter(1 << 24);
    splitter.add(data);
    while (splitter.next()) heard.push(decoded(splitter.bytes, splitter.start, splitter.end));
  });
  return welcomed(user, { ...talker(heard, (...frames) => socket.send(encoded(frames))), socket });
}

/** Every way to hold a conversation. */
export const wires = [
  { wire: "JSON over TCP", enter: (town: Town, user: string): Promise<Talker> => overTcp(town.tcpPort, user) },
  { wire: "binary over TCP", enter: (town: Town, user: string): Promise<Talker> => overBinaryTcp(town.tcpPort, user) },
  { wire: "JSON over WebSocket", enter: (town: Town, user: string) => overWebSocket(town.httpPort, user) },
  { wire: "binary over WebSocket", enter: (town: Town, user: string) => overBinaryWebSocket(town.httpPort, user) },
] as const;

async function opened(port: number, subprotocol: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/ws`, subprotocol);
  endWith(() => socket.terminate());
  await until(() => socket.readyState === WebSocket.OPEN);
  expect(socket.protocol).toBe(subprotocol);
  return socket;
}

const encoded = (frames: readonly object[]): Uint8Array =>
  concat(frames.map((frame) => encodeBinary("client", frame as ClientFrame)));

const decoded = (bytes: Uint8Array, start: number, end: number): Json =>
  decodeBinary("server", bytes, start, end, { ...defaultLimits, frameBytesMax: 1 << 24 }) as unknown as Json;
