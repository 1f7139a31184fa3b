import { expect } from "vitest";
import { getU32 } from "../../src/base/byte-order.ts";
import type { UserName } from "../../src/base/ids.ts";
import type { Random } from "../../src/base/random.ts";
import { operate } from "../../src/server/operator.ts";
import { batchHeaderAt, batchHeaderBytes } from "../../src/storage/journal/layout.ts";
import type { ServerLife } from "./server-life.ts";

/** A message as it is read. */
export interface Item {
  readonly seq: number;
  readonly from: string;
  readonly cid: string;
  readonly body: string;
  readonly kind?: string;
  readonly ref?: number;
}

/** Where one batch of a journal stands. */
export interface Batch {
  readonly file: string;
  readonly offset: number;
  readonly length: number;
  /** The bytes of its first record, whatever stands behind it; 0: it has none. */
  readonly firstRecordBytes: number;
}

export const filesOf = (life: ServerLife, folder: string): string[] =>
  [...life.fileSystem.files().keys()].filter((file) => file.startsWith(`${folder}/`)).sort();

/** The batches of the newest segment, in order. */
export function batchesOf(life: ServerLife): Batch[] {
  const file = filesOf(life, "journal")
    .filter((one) => one.endsWith(".wal"))
    .at(-1)!;
  const bytes = life.fileSystem.files().get(file)!;
  const generation = bytes.slice(52, 60);
  const batches: Batch[] = [];
  for (let offset = 512; ; ) {
    const header = batchHeaderAt(bytes, offset, generation);
    if (header === null) return batches;
    const firstRecordBytes = header.recordCount === 0 ? 0 : getU32(bytes, offset + batchHeaderBytes);
    batches.push({ file, offset, length: header.length, firstRecordBytes });
    offset += header.length;
  }
}

/** The words in the first record of a batch. */
export const wordsIn = (life: ServerLife, { file, offset, firstRecordBytes }: Batch): string[] => {
  const bytes = life.fileSystem.files().get(file)!;
  const from = offset + batchHeaderBytes;
  const text = Buffer.from(bytes.subarray(from, from + firstRecordBytes)).toString("latin1");
  return text.match(words) ?? [];
};

const words = /(?:lobby|ops|den|direct|late|edit|react) \d+/g;

/** The first two words of a message, by which these stories know it; of another one, all of it. */
export const wordsOf = (body: string): string => body.match(words)?.[0] ?? body;

/** Into every private room there is. */
export async function letIn(life: ServerLife): Promise<void> {
  for (const { name, isDirect, isPrivate } of life.server.state.rooms()) {
    if (!isPrivate || isDirect) continue;
    await life.until(operate(life.server, { type: "invite", room: name, user: "alice" as UserName }));
  }
}

/** What can be read of a room, number by number, and its head. */
export async function readable(life: ServerLife, room: string): Promise<Item[]> {
  const found: Item[] = [];
  const { first, head } = life.server.state.room(room) ?? { first: 1, head: 0 };
  for (let after = first - 1; after < head; ) {
    const page = await life.ask("alice", { t: "hist", room, after, limit: 50 });
    if (page.t === "err") {
      expect(page["code"]).toBe("unavailable");
      expect(page["from"]).toBe(after + 1);
      after = page["to"] as number;
      continue;
    }
    const items = page["items"] as Item[];
    expect(items.length).toBeGreaterThan(0);
    found.push(...items);
    after = items.at(-1)!.seq;
  }
  return found;
}

/** Flips one bit, any but those of its length and of what its entry is chained to, of the first record of a batch. */
export function flipInRecord(life: ServerLife, { file, offset, firstRecordBytes }: Batch, random: Random): void {
  const at = offset + batchHeaderBytes + 24 + random.whole(Math.max(1, firstRecordBytes - 24));
  life.fileSystem.flip(file, at, random.whole(8));
}

/** Damages one batch; answers the refusal, null when nothing was damaged by it. */
export async function damaged(life: ServerLife, batch: Batch, at: number): Promise<unknown> {
  life.fileSystem.flip(batch.file, batch.offset + at, 1);
  const before = life.fileSystem.files();
  const refusal = await life.start().then(
    () => null,
    (cause: unknown) => cause,
  );
  if (refusal !== null) expect([...life.fileSystem.files().keys()]).toEqual([...before.keys()]);
  return refusal;
}
