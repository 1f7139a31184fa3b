import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { Connection } from "../../src/apps/bench/connection.ts";
import { EtcdPublishWire } from "../../src/apps/bench/wires/etcd.ts";

/** A server that speaks HTTP/2 by Node's own module, so that our frames are judged by others' code. */
async function grpcServer(answer: (stream: ServerHttp2Stream, body: Buffer) => void): Promise<number> {
  const server = createServer();
  server.on("stream", (stream, headers) => {
    expect(headers).toMatchObject({ ":method": "POST", ":path": "/etcdserverpb.KV/Put", te: "trailers" });
    expect(headers["content-type"]).toBe("application/grpc");
    const pieces: Buffer[] = [];
    stream.on("data", (piece: Buffer) => pieces.push(piece));
    stream.on("end", () => answer(stream, Buffer.concat(pieces)));
  });
  const sockets = new Set<{ destroy(): void }>();
  server.on("session", (session) => sockets.add(session));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await once(server.close(), "close");
  });
  return (server.address() as AddressInfo).port;
}

/** As etcd answers a put: headers, a message, and how the call went. */
function putAnswer(stream: ServerHttp2Stream): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x00]));
}

/** As etcd answers a call that fails. */
function refusal(stream: ServerHttp2Stream): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", "grpc-status": "14", "grpc-message": "no leader" },
    { endStream: true },
  );
}

async function connected(port: number, wire: EtcdPublishWire): Promise<Connection> {
  const connection = await Connection.open({ host: "127.0.0.1", port, readInto: Buffer.alloc(64 * 1024) });
  onTestFinished(() => connection.end());
  await wire.open(connection);
  return connection;
}

/** Sends requests 1 … count in one write and settles when each had an answer. */
async function answersTo(connection: Connection, wire: EtcdPublishWire, count: number) {
  const block = Buffer.alloc(wire.requestBytes * count);
  for (let number = 1; number <= count; number += 1) {
    wire.putRequest(block, (number - 1) * wire.requestBytes, number, Buffer.from("1234567890123456"));
  }
  const acknowledged: number[] = [];
  const refused: number[] = [];
  const all = new Promise<void>((resolve) => {
    const told = (list: number[], number: number): void => {
      list.push(number);
      if (acknowledged.length + refused.length === count) resolve();
    };
    connection.readBy((bytes, length) =>
      wire.readAnswers(bytes, 0, length, {
        acknowledged: (number) => told(acknowledged, number),
        refused: (number) => told(refused, number),
      }),
    );
  });
  connection.write(block);
  await all;
  return { acknowledged: acknowledged.sort((one, other) => one - other), refused };
}

test("a put is one stream of HTTP/2, with a PutRequest inside, and its answer acknowledges it", async () => {
  const bodies: Buffer[] = [];
  const port = await grpcServer((stream, body) => {
    bodies.push(body);
    putAnswer(stream);
  });
  const wire = new EtcdPublishWire({ host: "127.0.0.1", client: 7, bodyBytes: 128 });
  const connection = await connected(port, wire);
  const { acknowledged, refused } = await answersTo(connection, wire, 40);
  expect(acknowledged).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
  expect(refused).toEqual([]);
  const last = bodies.at(-1)!;
  // gRPC's prefix, then key and value as protobuf has them: tag, length, bytes.
  expect(last.readUInt32BE(1)).toBe(last.length - 5);
  expect(last.subarray(5, 18).toString("latin1")).toBe("\n\u000bbench/00007");
  expect([last[18], last.readUInt16LE(19)]).toEqual([0x12, 0x0180]);
  expect(last.length).toBe(21 + 128);
  expect(last.subarray(21, 47).toString()).toMatch(/^1234567890123456\d{10}$/);
});

test("a call that etcd ends without a message is refused", async () => {
  let calls = 0;
  const port = await grpcServer((stream) => {
    calls += 1;
    if (calls % 2 === 1) putAnswer(stream);
    else refusal(stream);
  });
  const wire = new EtcdPublishWire({ host: "127.0.0.1", client: 0, bodyBytes: 64 });
  const { acknowledged, refused } = await answersTo(await connected(port, wire), wire, 4);
  expect([acknowledged.length, refused.length]).toEqual([2, 2]);
});
