import { crc32 } from "node:zlib";

import { assert } from "../base/assert.ts";
import { getU32, getU48, putU32, putU48 } from "../base/byte-order.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import { type Random, randomHex } from "../base/random.ts";
import type { Timestamp } from "../base/units.ts";
import { historyFolder } from "./chunk/chunk-name.ts";
import type { Damage } from "./damage.ts";
import { type Disk, type FileName, fileName, quarantineFolder } from "./disk.ts";
import { decodeFileHeader, encodeFileHeader, fileHeaderBytes } from "./file-header.ts";
import { formatAbove } from "./newer-format.ts";
import { quarantine } from "./quarantine.ts";
import { snapshotFolder } from "./snapshot-file.ts";

/**
 * Whose directory this is, and that only one process has it.
 *
 * The file `identity` holds two pages of 4096 bytes that say the same, so that no single damage makes the directory
 * nameless:
 *
 * ```
 *  0 64 bytes header (file-header.ts), magic SYNODDIR, number = which copy, 0 or 1
 * 64 u32 groups   68 u48 created (milliseconds since 1970)   74 u8 bytes of node name   75 node name   330 u8 1 = joined
 * .. zeros        4092 u32 crc32 of the 4092 bytes before
 * ```
 * It is written once, whole or not at all, as the first file: a directory without it holds nothing of value, and a
 * directory with anything else but without it is refused.
 */
export const identityFile = fileName("identity");
/** An empty file that says: the journal of this directory was opened before, so that finding none is damage. */
export const startedFile = fileName("started");
/** An empty file that says: this directory is being made another life of its server, and what is left may be half of one. */
const newLifeFile = fileName("new-life");
/** An empty file that says: this life of the directory has no journal yet, though there are chunks. Removed by its first start. */
export const newbornFile = fileName("newborn");
/** An empty file that says: this directory has less than its server has acknowledged to others, so it is an older copy. */
export const olderCopyFile = fileName("older-copy");
/** An empty file that says: numbers may be given out again, to other messages, and rooms have not got another line yet. */
export const lineOwedFile = fileName("line-owed");

/** The empty files at the top, each of which says one thing by being there. */
export const isMarkFile = (file: FileName): boolean => markFiles.includes(file);
const markFiles = [startedFile, newLifeFile, newbornFile, olderCopyFile, lineOwedFile];

export const identityMagic = "SYNODDIR";
/** The format of the whole directory. Raised when an older version must not touch it. */
export const directoryFormat = 1;

const pageBytes = 4096;
const copies = 2;
const nodeNameBytesMax = 255;
/** Behind the longest name. Directories of before it was written have a 0 there, and were all founded. */
const joinedAt = fileHeaderBytes + 11 + nodeNameBytesMax;

/** Folders that belong to Synod. */
const ownFolders = ["journal", historyFolder, snapshotFolder, quarantineFolder];

export interface Identity {
  readonly cluster: ClusterId;
  readonly incarnation: Incarnation;
  readonly node: NodeName;
  /** Consensus groups; fixed when the cluster is founded. */
  readonly groups: number;
  readonly created: Timestamp;
  /**
   * Made to join a cluster that others had founded. A log of it in which nobody is named as a member is nobody's; that of
   * a directory that was founded here is its own server's alone.
   */
  readonly joined: boolean;
}

/** Keeps two processes off one directory. */
export interface Lock {
  /**
   * Takes the directory. Rejects with a `LockRefusal` when another process that is alive has it or when others may read
   * it; what a process left that died is taken over.
   */
  acquire(): Promise<void>;
  /** Gives it back. */
  release(): Promise<void>;
}

/** Why a lock was not given. The message is one line that says why and what to do. */
export interface LockRefusal extends Error {
  readonly reason: "locked" | "permissions";
}

export type RefusalReason =
  | "locked"
  | "permissions"
  | "empty"
  | "half-made"
  | "damaged"
  | "newer-format"
  | "other-node"
  | "other-groups"
  | "other-cluster";

/** This directory can't be used as asked. The message is one line that says why and what to do; nothing was changed. */
export class DirectoryRefused extends Error {
  override readonly name = "DirectoryRefused";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.reason = reason;
  }
}

export interface DataDirectory {
  readonly identity: Identity;
  /** The directory was empty and this opening made it. */
  readonly founded: boolean;
  /** A copy of the identity that was damaged; it has been written again from the other one. */
  readonly damage: readonly Damage[];
  /** Files and folders (these end in "/") at the top that are not Synod's. They are left alone. */
  readonly unknown: readonly string[];
  /** Moves a file out of the way and answers its new name. */
  quarantine(file: FileName): Promise<FileName>;
  /** Gives the lock back. The directory must not be used any more. */
  close(): Promise<void>;
}

export interface DataDirectoryOptions {
  readonly disk: Disk;
  readonly lock: Lock;
  readonly random: Random;
  readonly node: NodeName;
  readonly groups: number;
  /** An empty directory may be made into one of this server. Whether a cluster may be founded is the caller's decision. */
  readonly found: boolean;
  /** The cluster to join; founding makes a new one if it is not given. An existing directory must belong to it. */
  readonly cluster?: ClusterId;
  /**
   * Asked instead of `cluster`, once the directory is taken and known to be empty, and before anything is written: the
   * cluster to join, or null to found one. What it rejects with, the opening does, and the directory stays as it was.
   */
  readonly belonging?: (incarnation: Incarnation) => Promise<ClusterId | null>;
  readonly now: Timestamp;
  /** Files at the top that the lock keeps there. */
  readonly lockFiles?: (file: FileName) => boolean;
}

/** Takes the directory, and reads or makes its identity. Rejects with `DirectoryRefused`; then nothing was changed. */
export async function openDataDirectory(options: DataDirectoryOptions): Promise<DataDirectory> {
  const { disk, lock } = options;
  try {
    await lock.acquire();
  } catch (cause) {
    throw isLockRefusal(cause) ? new DirectoryRefused(cause.reason, cause.message, { cause }) : cause;
  }
  try {
    const read = await readIdentity(disk);
    const unknown = await unknownAtTop(disk, options.lockFiles ?? (() => false));
    const before = read?.identity ?? (await found(options, unknown));
    checkIdentity(before, options);
    const isBetweenLives = (await disk.sizeOf(newLifeFile)) !== null;
    const identity = isBetweenLives ? (await beginNewLife(before, options)).identity : before;
    // The copy that still holds is written over both.
    if (read !== null && read.damage.length > 0) await disk.publish(identityFile, encodeIdentity(identity));
    return {
      identity,
      founded: read === null,
      damage: read?.damage ?? [],
      unknown,
      quarantine: (file) => quarantine(disk, file),
      close: () => lock.release(),
    };
  } catch (fault) {
    await lock.release();
    throw fault;
  }
}

/**
 * Makes a directory another life of its server: one that has promised nothing, and joins the cluster it belongs to. For a
 * member of a cluster whose journal is damaged where its newest vote may have stood, or a promise that nobody can tell
 * any more: under its old name it must not vote again, and what it lacks the others have. Journal and snapshots go to
 * quarantine, nothing is deleted; chunks stay, for they are the same on all servers.
 *
 * A file says that it has begun, so that a start after a crash in its midst ends it before it looks at anything else: what
 * is left of a journal half moved could look like a whole one. The directory is locked, and not used meanwhile.
 */
export async function beginNewLife(
  identity: Identity,
  { disk, random, now }: Pick<DataDirectoryOptions, "disk" | "random" | "now">,
): Promise<{ identity: Identity; moved: FileName[] }> {
  await disk.publish(newLifeFile, []);
  const moved: FileName[] = [];
  for (const folder of ["journal", snapshotFolder]) {
    for (const file of await disk.list(folder)) moved.push(await quarantine(disk, file));
  }
  await disk.publish(newbornFile, []);
  await disk.remove(startedFile);
  const next = { ...identity, incarnation: randomHex(random, 16) as Incarnation, joined: true, created: now };
  await disk.publish(identityFile, encodeIdentity(next));
  await disk.remove(olderCopyFile);
  await disk.remove(newLifeFile);
  return { identity: next, moved };
}

/** The lock comes from outside, so its refusal is known by its shape. */
function isLockRefusal(cause: unknown): cause is LockRefusal {
  return cause instanceof Error && "reason" in cause && (cause.reason === "locked" || cause.reason === "permissions");
}

async function found(options: DataDirectoryOptions, unknown: readonly string[]): Promise<Identity> {
  const { disk, random, node, groups, now } = options;
  for (const folder of await disk.folders("")) {
    if (!ownFolders.includes(folder) || !(await holdsFiles(disk, folder))) continue;
    throw new DirectoryRefused(
      "half-made",
      `the data directory has files in ${folder}/ but no identity; restore the file "identity" or start with an empty directory`,
    );
  }
  if (!options.found) {
    const others = unknown.length === 0 ? "" : ` (it holds ${unknown.slice(0, 3).join(", ")}, which is not Synod's)`;
    throw new DirectoryRefused("empty", `the data directory holds no data of Synod yet${others}`);
  }
  const incarnation = randomHex(random, 16) as Incarnation;
  const joins = options.belonging === undefined ? (options.cluster ?? null) : await options.belonging(incarnation);
  const cluster = joins ?? (randomHex(random, 16) as ClusterId);
  const identity: Identity = { cluster, incarnation, node, groups, created: now, joined: joins !== null };
  await disk.publish(identityFile, encodeIdentity(identity));
  return identity;
}

async function holdsFiles(disk: Disk, folder: string): Promise<boolean> {
  if ((await disk.list(folder)).length > 0) return true;
  for (const inner of await disk.folders(folder)) if (await holdsFiles(disk, `${folder}/${inner}`)) return true;
  return false;
}

async function unknownAtTop(disk: Disk, isLock: (file: FileName) => boolean): Promise<string[]> {
  const files = (await disk.list("")).filter((file) => file !== identityFile && !isMarkFile(file) && !isLock(file));
  const folders = (await disk.folders("")).filter((folder) => !ownFolders.includes(folder));
  return [...files, ...folders.map((folder) => `${folder}/`)];
}

function checkIdentity(identity: Identity, options: DataDirectoryOptions): void {
  if (identity.node !== options.node) {
    throw new DirectoryRefused(
      "other-node",
      `the data directory belongs to the server ${JSON.stringify(identity.node)}, this one is called ${JSON.stringify(options.node)}; use its name or another directory`,
    );
  }
  if (identity.groups !== options.groups) {
    throw new DirectoryRefused(
      "other-groups",
      `the data directory was made for ${identity.groups} groups, not ${options.groups}; the count can't be changed later`,
    );
  }
  if (options.cluster !== undefined && identity.cluster !== options.cluster) {
    throw new DirectoryRefused(
      "other-cluster",
      `the data directory belongs to cluster ${identity.cluster}, not to ${options.cluster}; use another directory`,
    );
  }
}

/** Both pages, as they are published. */
export function encodeIdentity(identity: Identity): Uint8Array[] {
  const node = new TextEncoder().encode(identity.node);
  assert(node.length > 0 && node.length <= nodeNameBytesMax, "a node name has 1 to 255 bytes");
  return Array.from({ length: copies }, (_, number) => {
    const page = new Uint8Array(pageBytes);
    page.set(
      encodeFileHeader({
        magic: identityMagic,
        format: directoryFormat,
        cluster: identity.cluster,
        incarnation: identity.incarnation,
        group: 0,
        number,
        generation: 0,
      }),
    );
    putU32(page, fileHeaderBytes, identity.groups);
    putU48(page, fileHeaderBytes + 4, identity.created);
    page[fileHeaderBytes + 10] = node.length;
    page.set(node, fileHeaderBytes + 11);
    page[joinedAt] = identity.joined ? 1 : 0;
    putU32(page, pageBytes - 4, crc32(page.subarray(0, pageBytes - 4)));
    return page;
  });
}

/**
 * The identity, or null if there is no such file. One damaged copy is listed as damage; without a sound one, or with two
 * that differ, the directory is refused.
 */
export async function readIdentity(disk: Disk): Promise<{ identity: Identity; damage: Damage[] } | null> {
  const size = await disk.sizeOf(identityFile);
  if (size === null) return null;
  const damage: Damage[] = [];
  const sound: Identity[] = [];
  for (let number = 0; number < copies; number++) {
    const offset = number * pageBytes;
    const found = decodePage(await disk.read(identityFile, offset, pageBytes), number);
    if (typeof found === "string") damage.push({ file: identityFile, offset, length: pageBytes, what: found });
    else sound.push(found);
  }
  const [first, second] = sound;
  if (first === undefined) {
    throw new DirectoryRefused(
      "damaged",
      'both copies of the file "identity" are damaged, so it can\'t be told whose data directory this is; restore that file from a backup',
    );
  }
  if (second !== undefined && !sameIdentity(first, second)) {
    throw new DirectoryRefused(
      "damaged",
      'the two copies in the file "identity" differ; restore that file from a backup',
    );
  }
  if (size > copies * pageBytes) {
    const length = size - copies * pageBytes;
    damage.push({
      file: identityFile,
      offset: copies * pageBytes,
      length,
      what: "there are bytes behind the identity",
    });
  }
  return { identity: first, damage };
}

function decodePage(page: Uint8Array, number: number): Identity | string {
  const newer = formatAbove(directoryFormat, page, identityMagic);
  if (newer !== null) {
    throw new DirectoryRefused(
      "newer-format",
      `the data directory has format ${newer}, this version knows ${directoryFormat}; use the newer version of Synod that wrote it`,
    );
  }
  const header = decodeFileHeader(page, identityMagic);
  if (typeof header === "string") return header;
  if (page.length < pageBytes) return "the file ends inside its page";
  if (getU32(page, pageBytes - 4) !== crc32(page.subarray(0, pageBytes - 4)))
    return "the checksum of the page does not match";
  if (header.incarnation === null || header.number !== number) return "the page is not the one that belongs here";
  const start = fileHeaderBytes + 11;
  return {
    cluster: header.cluster,
    incarnation: header.incarnation,
    node: new TextDecoder().decode(page.subarray(start, start + page[start - 1]!)) as NodeName,
    groups: getU32(page, fileHeaderBytes),
    created: getU48(page, fileHeaderBytes + 4) as Timestamp,
    joined: page[joinedAt] === 1,
  };
}

function sameIdentity(a: Identity, b: Identity): boolean {
  return (
    a.cluster === b.cluster &&
    a.incarnation === b.incarnation &&
    a.node === b.node &&
    a.groups === b.groups &&
    a.created === b.created &&
    a.joined === b.joined
  );
}
