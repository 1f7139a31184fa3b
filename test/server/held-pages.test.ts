import { expect, test } from "vitest";
import { utf8 } from "../../src/protocol/utf8.ts";
import { bodyStart, recordBodyLength } from "../../src/rooms/message-record.ts";
import type { RecordRef } from "../../src/server/history.ts";
import { startTestServer, TestClient } from "./server-world.ts";

const limits = { chunkBytes: 4_096, unsealedBytesMax: 1 << 20, ringSlots: 8, idWindowEntries: 8 };

const bodyOf = ({ bytes, offset }: RecordRef): string => {
  const start = bodyStart(bytes, offset);
  return new TextDecoder().decode(bytes.slice(start, start + recordBodyLength(bytes, offset)));
};

const body = (seq: number): string => `m${seq} ${"x".repeat(200)}`;

async function send(writer: TestClient, from: number, to: number): Promise<void> {
  for (let seq = from; seq <= to; seq++) {
    await writer.ask({ t: "send", room: "lobby", cid: `c${seq}`, body: body(seq) });
  }
}

test("a page that was read from memory keeps what it says after memory was used for other messages", async () => {
  const { server } = await startTestServer({ limits });
  const writer = await TestClient.open(server, "alice");
  await send(writer, 1, 10);
  const room = server.state.room("lobby")!;
  expect(server.memory.live(room).memoryFirst).toBe(1);
  const bounds = { itemsMax: 100, bytesMax: 1 << 20 } as const;
  const up = await server.history.page(room, { from: 1, to: 10, direction: "up", ...bounds });
  const one = await server.history.message(room, 5);
  const found = await server.history.find(room, utf8("alice"), utf8("c7"), 1, 10);
  const chunk = server.state.lastChunk;
  // Each chunk that is sealed lets go of what its messages lay in, and the next take its place.
  await send(writer, 11, 60);
  await server.sealer.idle();
  expect(server.state.lastChunk).toBeGreaterThan(chunk + 1);
  expect(up.map(bodyOf)).toEqual(Array.from({ length: 10 }, (_, i) => body(i + 1)));
  expect(bodyOf(one!)).toBe(body(5));
  expect(bodyOf(found!)).toBe(body(7));
  // From a chunk, what stands behind it in memory, and the other way round.
  const across = await server.history.page(room, { from: 1, to: 60, direction: "down", ...bounds });
  const upwards = await server.history.page(room, { from: 1, to: 60, direction: "up", ...bounds });
  await send(writer, 61, 120);
  await server.sealer.idle();
  expect(upwards.map(bodyOf)).toEqual(Array.from({ length: 60 }, (_, i) => body(i + 1)));
  expect(across.map(bodyOf)).toEqual(Array.from({ length: 60 }, (_, i) => body(60 - i)));
  await server.stop(0);
});
