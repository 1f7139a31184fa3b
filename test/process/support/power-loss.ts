import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Random } from "../../../src/base/random.ts";

/** What a power loss took back. */
export interface Loss {
  /** Bytes that stand as they did before a write. */
  readonly bytes: number;
  /** Names that are there again, or are there no more. */
  readonly names: number;
  /** Bytes that files are shorter by. */
  readonly cut: number;
}

/** A record of unkind-machine.c, whose head says what the fields mean. */
interface Noted {
  readonly place: number;
  readonly kind: number;
  readonly text: string;
  readonly inode: number;
  readonly offset: number;
  readonly length: number;
  readonly other: number;
  readonly stamp: number;
  readonly bytes: Uint8Array;
}

const [write, done, synced, named, unnamed, renamed, folder, beyond] = [1, 2, 3, 4, 5, 6, 7, 8];
const headBytes = 48;
/** What a disk writes whole or not at all. */
const sectorBytes = 512;

/**
 * The power is gone, and the process with it: takes back what a machine's disk had not made durable.
 *
 * Without `random` all of it. With it, some: of the writes to a sector the newest few, of what happened to names everything
 * from some moment on, and a file may keep a length whose content is lost. Both are what a disk may do. Afterwards
 * everything that is there is durable.
 */
export function losePower(machine: string, random: Random | null): Loss {
  const noted = readNoted(machine);
  const unknown = noted.find(({ kind }) => kind === beyond);
  if (unknown !== undefined) throw new Error(`${unknown.text} is not modelled: nobody knows what it leaves`);
  const loss = { bytes: 0, names: 0, cut: 0 };
  const inodes = new Set(noted.filter(({ kind }) => kind === write).map(({ inode }) => inode));
  for (const inode of inodes) {
    const { bytes, cut } = undoWrites(join(machine, `i${inode}`), { noted, inode, random });
    loss.bytes += bytes;
    loss.cut += cut;
  }
  const loose = looseNames(noted);
  const first = random === null ? 0 : random.whole(loose.length + 1);
  for (const one of loose.slice(first).reverse()) if (undoName(machine, one)) loss.names++;
  for (const name of readdirSync(machine)) if (/^(log|slot\d+|i\d+)$/.test(name)) rmSync(join(machine, name));
  return loss;
}

function readNoted(machine: string): Noted[] {
  const file = join(machine, "log");
  const noted = existsSync(file) ? [...recordsOf(readFileSync(file))] : [];
  const finished = new Set(noted.filter(({ kind }) => kind === done).map(({ stamp }) => stamp));
  // What was on its way when the process died comes behind everything.
  for (const name of readdirSync(machine).filter((item) => item.startsWith("slot"))) {
    const [slot] = recordsOf(readFileSync(join(machine, name)));
    if (slot?.kind === write && !finished.has(slot.stamp)) noted.push({ ...slot, place: Infinity });
  }
  return noted;
}

/** A record that is cut short was being noted when the process died: what it speaks of had not begun. */
function* recordsOf(bytes: Buffer): Generator<Noted> {
  for (let place = 0; place + headBytes <= bytes.length; ) {
    const at = place;
    const field = (index: number): number => Number(bytes.readBigUInt64LE(at + 8 + 8 * index));
    const [kind, textBytes] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    const [inode, offset, length, other, stamp] = [field(0), field(1), field(2), field(3), field(4)];
    const from = at + headBytes + textBytes;
    const kept = kind === write ? Math.max(0, Math.min(length, other - offset)) : 0;
    place = from + kept;
    if (place > bytes.length) return;
    const text = bytes.toString("utf8", at + headBytes, from);
    yield { place: at, kind, text, inode, offset, length, other, stamp, bytes: bytes.subarray(from, place) };
  }
}

type Range = readonly [from: number, to: number];

/** Takes back what was written to one file since its content was durable, wherever its name is by now. */
function undoWrites(
  path: string,
  { noted, inode, random }: { noted: readonly Noted[]; inode: number; random: Random | null },
): { bytes: number; cut: number } {
  const own = noted.filter((one) => one.inode === inode && [write, done, synced].includes(one.kind));
  const loose: { one: Noted; ranges: readonly Range[] }[] = [];
  // What was there before anything was noted is durable.
  let durableBytes: number | null = null;
  for (const [at, one] of own.entries()) {
    if (one.kind === synced) durableBytes = one.length;
    else if (one.kind === done) durableBytes = Math.max(durableBytes ?? one.other, one.offset + one.length);
    else {
      durableBytes ??= one.other;
      const ranges = looseRanges(one, own.slice(at + 1));
      if (ranges.length > 0) loose.push({ one, ranges });
    }
  }
  const file = openSync(path, "r+");
  try {
    const size = fstatSync(file).size;
    const bytes = putBack(file, loose, random);
    // A write that made the file longer and was not synced: its length may be lost, or be all that is left of it.
    const least = Math.min(size, durableBytes ?? size);
    const length = random === null || random.whole(2) === 0 ? least : size;
    ftruncateSync(file, length);
    return { bytes, cut: size - length };
  } finally {
    closeSync(file);
  }
}

/** The parts of a write that no later sync covers. */
function looseRanges(one: Noted, later: readonly Noted[]): Range[] {
  let ranges: Range[] = [[one.offset, one.offset + one.length]];
  for (const { kind, offset, length } of later) {
    if (kind === synced && offset > one.place) return [];
    if (kind !== done) continue;
    ranges = ranges.flatMap(([from, to]): Range[] => [
      ...(from < Math.min(to, offset) ? [[from, Math.min(to, offset)] as const] : []),
      ...(Math.max(from, offset + length) < to ? [[Math.max(from, offset + length), to] as const] : []),
    ]);
  }
  return ranges;
}

function putBack(
  file: number,
  loose: readonly { readonly one: Noted; readonly ranges: readonly Range[] }[],
  random: Random | null,
): number {
  const counts = new Map<number, number>();
  for (const { ranges } of loose) {
    for (const sector of sectorsOf(ranges)) counts.set(sector.number, (counts.get(sector.number) ?? 0) + 1);
  }
  // How many of the newest writes each sector has not got.
  if (random !== null) for (const [sector, count] of counts) counts.set(sector, random.whole(count + 1));
  let bytes = 0;
  for (const { one, ranges } of loose.toReversed()) {
    for (const { number, from, to } of sectorsOf(ranges)) {
      const left = counts.get(number)!;
      if (left === 0) continue;
      counts.set(number, left - 1);
      const former = new Uint8Array(to - from);
      former.set(one.bytes.subarray(from - one.offset, to - one.offset));
      writeSync(file, former, 0, former.length, from);
      bytes += former.length;
    }
  }
  return bytes;
}

function* sectorsOf(ranges: readonly Range[]): Generator<{ number: number; from: number; to: number }> {
  for (const [from, to] of ranges) {
    for (let at = from; at < to; ) {
      const number = Math.floor(at / sectorBytes);
      const end = Math.min(to, (number + 1) * sectorBytes);
      yield { number, from: at, to: end };
      at = end;
    }
  }
}

/** What happened to names and was not synced with their folders, in order. */
function looseNames(noted: readonly Noted[]): Noted[] {
  const syncs = noted.filter(({ kind }) => kind === folder);
  const isSynced = (inode: number, place: number): boolean =>
    syncs.some((sync) => sync.inode === inode && sync.offset > place);
  return noted.filter(({ kind, other, offset, place }) => {
    if (kind === named || kind === unnamed) return !isSynced(other, place);
    return kind === renamed && !(isSynced(other, place) && isSynced(offset, place));
  });
}

/** False: it had not happened, or somebody has undone it since. */
function undoName(machine: string, one: Noted): boolean {
  const kept = (inode: number): string => join(machine, `i${inode}`);
  switch (one.kind) {
    case named:
      if (inodeOf(one.text) !== one.inode) return false;
      rmSync(one.text, { recursive: true });
      return true;
    case unnamed:
      if (inodeOf(one.text) !== null) return false;
      if (one.length === 1) mkdirSync(one.text, { mode: 0o700 });
      else if (existsSync(kept(one.inode))) linkSync(kept(one.inode), one.text);
      else return false;
      return true;
    default: {
      const [from, to] = one.text.split("\0") as [string, string];
      if (inodeOf(to) !== one.inode) return false;
      renameSync(to, from);
      if (one.length !== 0) linkSync(kept(one.length), to);
      return true;
    }
  }
}

function inodeOf(path: string): number | null {
  return lstatSync(path, { throwIfNoEntry: false })?.ino ?? null;
}
