/**
 * What a simulated disk holds: names, folders and contents, once as the process sees them (the cache) and once as the
 * platter has them, and the operations that lie between the two.
 */

import { TraceHash } from "./trace-hash.ts";

/** What a disk writes whole or not at all. */
export const sectorBytes = 512;

interface Content {
  bytes: Uint8Array;
  /** Another disk has the same array: whoever changes it takes one of its own first. */
  isShared: boolean;
  /** Bytes beyond it are never seen; they are zero when the file grows over them. */
  size: number;
  /** Of the bytes that are seen, null until somebody asks; of all that share them. */
  digest: { text: string | null };
}

export interface Inode {
  cache: Content;
  platter: Content;
}

export interface Tree {
  readonly folders: Set<string>;
  readonly names: Map<string, Inode>;
}

export interface WriteOperation {
  readonly kind: "write";
  readonly inode: Inode;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What was done and is not yet durable. */
export type Pending =
  | WriteOperation
  | { readonly kind: "link"; readonly path: string; readonly inode: Inode }
  | { readonly kind: "unlink"; readonly path: string; readonly after?: Pending }
  | { readonly kind: "rename"; readonly from: string | null; readonly path: string; readonly inode: Inode }
  | { readonly kind: "folder" | "folder-gone"; readonly path: string };

/** All that a disk holds. */
export interface DiskImage {
  readonly cache: Tree;
  readonly platter: Tree;
  readonly pending: readonly Pending[];
}

/** Does to a tree what the operation did. Bytes go to the platter: in the cache they are as soon as they are written. */
export function apply(tree: Tree, operation: Pending): void {
  switch (operation.kind) {
    case "write":
      put(operation.inode.platter, operation.offset, operation.bytes);
      return;
    case "link":
      tree.names.set(operation.path, operation.inode);
      return;
    case "rename":
      if (operation.from !== null) tree.names.delete(operation.from);
      tree.names.set(operation.path, operation.inode);
      return;
    case "unlink":
      if (operation.after?.kind === "rename" && tree.names.get(operation.after.path) !== operation.after.inode) return;
      tree.names.delete(operation.path);
      return;
    case "folder":
      tree.folders.add(operation.path);
      return;
    case "folder-gone":
      tree.folders.delete(operation.path);
  }
}

/** What a new process finds after power loss: the platter, without what lies in folders that are not there. */
export function reread(platter: Tree): Tree {
  const folders = new Set<string>();
  for (const folder of [...platter.folders].sort((a, b) => a.length - b.length)) {
    if (folder === "" || folders.has(folderOf(folder))) folders.add(folder);
  }
  const names = new Map<string, Inode>();
  const seen = new Map<Inode, Inode>();
  for (const [path, inode] of platter.names) {
    if (!folders.has(folderOf(path))) continue;
    let read = seen.get(inode);
    if (read === undefined) {
      read = { cache: share(inode.platter), platter: share(inode.platter) };
      seen.set(inode, read);
    }
    names.set(path, read);
  }
  return { folders, names };
}

export function put(content: Content, offset: number, bytes: Uint8Array): void {
  const end = offset + bytes.length;
  unshare(content);
  if (end > content.bytes.length) {
    const larger = new Uint8Array(Math.max(end, content.bytes.length * 2));
    larger.set(content.bytes.subarray(0, content.size));
    content.bytes = larger;
  } else if (offset > content.size) {
    content.bytes.fill(0, content.size, offset);
  }
  content.bytes.set(bytes, offset);
  content.size = Math.max(content.size, end);
}

/** The same content for another disk, at no cost until one of the two changes it. */
export function share(content: Content): Content {
  content.isShared = true;
  return { bytes: content.bytes, size: content.size, isShared: true, digest: content.digest };
}

/** Before any change of the bytes. */
export function unshare(content: Content): void {
  content.digest = { text: null };
  if (!content.isShared) return;
  content.bytes = content.bytes.slice();
  content.isShared = false;
}

export function cut(content: Content, size: number): void {
  if (size >= content.size) return;
  content.size = size;
  content.digest = { text: null };
}

/** The same image for another disk, and which of its inodes stands for which. */
export function twinOf(image: DiskImage): { twin: DiskImage; inodes: ReadonlyMap<Inode, Inode> } {
  const inodes = new Map<Inode, Inode>();
  const inodeOf = (inode: Inode): Inode => {
    let twin = inodes.get(inode);
    if (twin === undefined) {
      twin = { cache: share(inode.cache), platter: share(inode.platter) };
      inodes.set(inode, twin);
    }
    return twin;
  };
  const treeOf = ({ folders, names }: Tree): Tree => ({
    folders: new Set(folders),
    names: new Map([...names].map(([path, inode]) => [path, inodeOf(inode)])),
  });
  const operations = new Map<Pending, Pending>();
  const operationOf = (operation: Pending): Pending => {
    let twin = operations.get(operation);
    if (twin === undefined) {
      twin = "inode" in operation ? { ...operation, inode: inodeOf(operation.inode) } : { ...operation };
      // A newer write in the same place changes the bytes of an older one.
      if (twin.kind === "write") twin = { ...twin, bytes: twin.bytes.slice() };
      if (twin.kind === "unlink" && twin.after !== undefined) twin = { ...twin, after: operationOf(twin.after) };
      operations.set(operation, twin);
    }
    return twin;
  };
  const twin = { cache: treeOf(image.cache), platter: treeOf(image.platter), pending: image.pending.map(operationOf) };
  return { twin, inodes };
}

/**
 * A text that two images share when the same calls find the same on both, whatever crash comes between: the names in the
 * order in which they are listed, what is in the files, and what is not yet durable.
 */
export function fingerprintOf({ cache, platter, pending }: DiskImage): string {
  const lines: string[] = [];
  const numbers = new Map<Inode, number>();
  const numberOf = (inode: Inode): number => {
    let number = numbers.get(inode);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(inode, number);
      lines.push(`${number}: ${digestOf(inode.cache)} ${digestOf(inode.platter)}`);
    }
    return number;
  };
  for (const { folders, names } of [cache, platter]) {
    lines.push([...folders].join("|"), [...names].map(([path, inode]) => `${path}=${numberOf(inode)}`).join("|"));
  }
  for (const operation of pending) {
    const { kind } = operation;
    const inode = "inode" in operation ? numberOf(operation.inode) : "";
    if (kind === "write") {
      lines.push(`write ${inode} ${operation.offset} ${hashOf(operation.bytes)}`);
    } else {
      const from = kind === "rename" ? operation.from : null;
      const after = kind === "unlink" && operation.after !== undefined ? pending.indexOf(operation.after) : "";
      lines.push(`${kind} ${inode} ${from} ${operation.path} ${after}`);
    }
  }
  return lines.join("\n");
}

function digestOf(content: Content): string {
  content.digest.text ??= hashOf(content.bytes.subarray(0, content.size));
  return content.digest.text;
}

function hashOf(bytes: Uint8Array): string {
  const hash = new TraceHash();
  hash.bytes(bytes);
  return `${bytes.length}-${hash.digest()}`;
}

export function emptyTree(): Tree {
  return { folders: new Set([""]), names: new Map() };
}

export function emptyContent(): Content {
  return { bytes: new Uint8Array(0), size: 0, isShared: false, digest: { text: null } };
}

export function contentOf(bytes: Uint8Array): Content {
  return { bytes: bytes.slice(), size: bytes.length, isShared: false, digest: { text: null } };
}

export function pathOf(operation: Exclude<Pending, WriteOperation> | Pending): string {
  return operation.kind === "write" ? "" : operation.path;
}

export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
