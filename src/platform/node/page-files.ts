import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { assert } from "../../base/assert.ts";
import type { Page, PageFile } from "../../doors/page.ts";

/** The page is small; anything this large is another folder, given by mistake. */
const pageBytesMax = 32 * 1024 * 1024;

/** Vite puts eight characters of a hash before the extension: `index-Bx3_9kQz.js`. */
const hashed = /-[\w-]{8}\.\w+$/;

const contentTypes: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".ico": "image/x-icon",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
};

/**
 * Reads the built page into memory, once, with the `.br` and `.gz` beside each file. After this no request can name a
 * path on disk. Rejects when the folder is not there or is too large; files of a kind not listed above are left out.
 */
export async function readPage(folder: string): Promise<Page> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  let total = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = await readFile(path);
    total += bytes.length;
    assert(total <= pageBytesMax, `the page in ${folder} has more than ${pageBytesMax} bytes`);
    found.set(`/${relative(folder, path).split(sep).join("/")}`, Uint8Array.from(bytes));
  }
  const page = new Map<string, PageFile>();
  for (const [path, bytes] of found) {
    const contentType = contentTypes[extname(path)];
    if (contentType === undefined) continue;
    const etag = `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`;
    const isImmutable = hashed.test(path);
    const brotli = found.get(`${path}.br`) ?? null;
    const gzip = found.get(`${path}.gz`) ?? null;
    page.set(path, { contentType, etag, isImmutable, bytes, brotli, gzip });
  }
  return page;
}
