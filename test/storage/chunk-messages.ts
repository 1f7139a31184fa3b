import { groupId, logIndex, type ClusterId } from "../../src/base/ids.ts";
import { seededRandom } from "../../src/base/random.ts";
import { day } from "../../src/base/units.ts";
import {
  isRecord,
  normalise,
  normalisedLength,
  putRecord,
  recordBytes,
  type RecordParts,
} from "../../src/rooms/message-record.ts";
import { buildChunk, type ChunkImage, type ChunkInput } from "../../src/storage/chunk/build-chunk.ts";
import { chunkNumber, type ChunkMeta } from "../../src/storage/chunk/chunk-layout.ts";

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

export const cluster = "0123456789abcdef0123456789abcdef" as ClusterId;
export const otherCluster = "fedcba9876543210fedcba9876543210" as ClusterId;

export function metaOf(change: Partial<ChunkMeta> = {}): ChunkMeta {
  return {
    cluster,
    group: groupId(0),
    chunk: chunkNumber(12),
    from: logIndex(1000),
    to: logIndex(2000),
    day: day(20261123),
    format: 1,
    generation: 0,
    ...change,
  };
}

/** A message as the tests name it. */
export interface Message {
  readonly room: string;
  readonly from: string;
  readonly cid: string;
  readonly seq: number;
  readonly body: string;
  readonly ts?: number;
  readonly prev?: string;
}

/** The record of a message, as `apply` leaves it. */
export function recordOf(message: Message): Uint8Array {
  const parts: RecordParts = {
    room: utf8(message.room),
    from: utf8(message.from),
    cid: utf8(message.cid),
    kind: utf8(""),
    prev: utf8(message.prev ?? ""),
    refFrom: utf8(""),
    refKind: utf8(""),
    body: utf8(message.body),
    ref: 0,
    checked: message.prev === undefined ? 0 : 1,
    prevSeq: message.prev === undefined ? 0 : 1,
    seq: message.seq,
    ts: message.ts ?? 1_790_000_000_000 + message.seq,
    epoch: 3,
  };
  const b = new Uint8Array(recordBytes(parts));
  putRecord(b, 0, parts);
  return b;
}

/** The record as a chunk keeps it. */
export function storedOf(message: Message): Uint8Array {
  const record = recordOf(message);
  if (!isRecord(record, 0, record.length)) throw new Error("the test made no record");
  const stored = new Uint8Array(normalisedLength(record, 0));
  normalise(record, 0, stored, 0);
  return stored;
}

/** All records one behind the other in one arena. */
export function inputOf(messages: readonly Message[]): ChunkInput {
  return scatteredInput(messages, 1, 0);
}

/** The same records in several arenas, with other bytes between them: the order is the same, the places are not. */
export function scatteredInput(messages: readonly Message[], arenas: number, seed: number): ChunkInput {
  const random = seededRandom(seed);
  const records = messages.map(recordOf);
  const homes: { arena: number; offset: number }[] = [];
  const fill: number[] = new Array<number>(arenas).fill(0);
  for (const record of records) {
    const arena = random.whole(arenas);
    const offset = fill[arena]! + (arenas > 1 ? random.whole(9) : 0);
    homes.push({ arena, offset });
    fill[arena] = offset + record.length;
  }
  const bytes = fill.map((length) => random.bytes(length + 3));
  for (const [i, home] of homes.entries()) bytes[home.arena]!.set(records[i]!, home.offset);
  return {
    count: records.length,
    bytes: (i) => bytes[homes[i]!.arena]!,
    offset: (i) => homes[i]!.offset,
  };
}

export function finished<T>(steps: Generator<unknown, T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

export async function drained<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const step = await steps.next();
    if (step.done === true) return step.value;
  }
}

export const imageOf = (meta: ChunkMeta, messages: readonly Message[]): ChunkImage =>
  finished(buildChunk(meta, inputOf(messages)));

export function wholeOf(image: ChunkImage): Uint8Array {
  const whole = new Uint8Array(image.bytes);
  let o = 0;
  for (const part of image.parts) {
    whole.set(part, o);
    o += part.length;
  }
  return whole;
}

/** Messages of several rooms as a log would have them: rooms take turns as chance decides, seqs are dense from `firstSeq`. */
export function conversation(options: {
  rooms: number;
  messages: number;
  seed: number;
  bodyBytes?: number;
  firstSeq?: number;
}): Message[] {
  const random = seededRandom(options.seed);
  const next: number[] = new Array<number>(options.rooms).fill(options.firstSeq ?? 1);
  return Array.from({ length: options.messages }, (_, i) => {
    const room = random.whole(options.rooms);
    const from = `user${random.whole(7)}`;
    const body = "x".repeat(random.whole((options.bodyBytes ?? 60) * 2 + 1));
    const message = { room: `room-${room}`, from, cid: `c${i}`, seq: next[room]!++, body: `${i} ${body}` };
    return random.whole(3) === 0 ? { ...message, prev: `c${i - 1}` } : message;
  });
}
