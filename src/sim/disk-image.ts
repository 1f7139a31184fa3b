/**
 * What a simulated disk holds: names, folders and contents, once as the process sees them (the cache) and once as the
 * platter has them, and the operations that lie between the two.
 */

/** What a disk writes whole or not at all. */
export const sectorBytes = 512;

interface Content {
  bytes: Uint8Array;
  /** Another disk has the same array: whoever changes it takes one of its own first. */
  isShared: boolean;
  /** Bytes beyond it are never seen; they are zero when the file grows over them. */
  size: number;
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
      const bytes = inode.platter.bytes.subarray(0, inode.platter.size);
      read = { cache: contentOf(bytes), platter: contentOf(bytes) };
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
  return { bytes: content.bytes, size: content.size, isShared: true };
}

export function unshare(content: Content): void {
  if (!content.isShared) return;
  content.bytes = content.bytes.slice();
  content.isShared = false;
}

export function emptyTree(): Tree {
  return { folders: new Set([""]), names: new Map() };
}

export function emptyContent(): Content {
  return { bytes: new Uint8Array(0), size: 0, isShared: false };
}

export function contentOf(bytes: Uint8Array): Content {
  return { bytes: bytes.slice(), size: bytes.length, isShared: false };
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
