import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Server } from "socket.io";
import { afterEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { Connection } from "../../src/apps/bench/connection.ts";
import { makePublishWire, makeReaderWire } from "../../src/apps/bench/make-wire.ts";
import { bodyAt, getDigits, numberDigits } from "../../src/apps/bench/message-body.ts";
import {
  expectMessage,
  maskedMessage,
  opcode,
  readMessage,
  serverMessage,
  upgrade,
} from "../../src/apps/bench/wires/websocket.ts";

const endings: (() => void)[] = [];
afterEach(() => {
  for (const end of endings.splice(0)) end();
});

async function open(port: number): Promise<Connection> {
  const connection = await Connection.open({ host: "127.0.0.1", port, readInto: Buffer.alloc(4096) });
  endings.push(() => connection.end());
  return connection;
}

test("messages of every length class reach a real server and come back whole", async () => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
  endings.push(() => server.close());
  server.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      socket.ping("are you there");
      socket.send(data);
    });
  });
  await once(server, "listening");
  const connection = await open((server.address() as AddressInfo).port);
  await upgrade(connection, { path: "/", host: "127.0.0.1", subprotocol: null });
  for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]) {
    const payload = Buffer.alloc(length, "Synod");
    connection.write(maskedMessage(opcode.binary, payload));
    await expectMessage(connection, `an echo of ${length}`, (bytes, from, to) => {
      expect(payload.equals(bytes.subarray(from, to))).toBe(true);
      return true;
    });
  }
});

test("a server's frames are cut the same wherever the stream is cut", () => {
  const bytes = Buffer.concat([10, 126, 70_000].map((length) => serverMessage(opcode.text, Buffer.alloc(length, 65))));
  for (let cut = 0; cut <= bytes.length; cut += cut > 160 && cut < bytes.length - 4 ? 997 : 1) {
    const lengths: number[] = [];
    const sink = { frame: (_: number, __: Uint8Array, from: number, to: number) => lengths.push(to - from) };
    let at = 0;
    for (const end of [cut, bytes.length]) {
      for (let next = readMessage(bytes, at, end, sink); next !== at; next = readMessage(bytes, at, end, sink))
        at = next;
    }
    expect(lengths).toEqual([10, 126, 70_000]);
  }
});

test("a refused upgrade says why", async () => {
  const server = createServer((_, response) => response.writeHead(404).end());
  endings.push(() => server.close());
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const connection = await open((server.address() as AddressInfo).port);
  await expect(upgrade(connection, { path: "/", host: "127.0.0.1", subprotocol: null })).rejects.toThrow(
    /refused the upgrade|closed/,
  );
});

test("Socket.IO: what our publisher emits is what our reader reads", async () => {
  const server = createServer();
  const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });
  endings.push(() => void io.close());
  io.on("connection", (socket) => {
    socket.on("publish", (body: string) => io.emit("message", body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  const target = { host: "127.0.0.1", rooms: ["bench"], proof: null };
  const reader = makeReaderWire("socket-io", target, { reader: 0, rooms: ["bench"], bodyBytes: 200 });
  const publisher = makePublishWire("socket-io", target, { client: 0, clients: 4, bodyBytes: 200 });
  const readerConnection = await open(port);
  await reader.open(readerConnection);
  const publisherConnection = await open(port);
  await publisher.open(publisherConnection);
  const request = Buffer.alloc(publisher.requestBytes * 3);
  const sentAt = Buffer.from("1234567890123456");
  for (const number of [1, 2, 3]) {
    publisher.putRequest(request, (number - 1) * publisher.requestBytes, number, sentAt);
  }
  const numbers = await new Promise<number[]>((resolve) => {
    const seen: number[] = [];
    readerConnection.readBy((bytes, length) =>
      reader.readDeliveries(bytes, 0, length, {
        delivered: (from, at) => {
          seen.push(getDigits(from, at + bodyAt.number, numberDigits));
          if (seen.length === 3) resolve(seen);
        },
      }),
    );
    publisherConnection.write(request);
  });
  expect(numbers).toEqual([1, 2, 3]);
});
