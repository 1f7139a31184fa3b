import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readPage } from "../../src/platform/node/page-files.ts";

test("[PAGE4] every file of a known kind is read with its compressed forms; links and other kinds are left out", async () => {
  const folder = await mkdtemp(join(tmpdir(), "synod-page-"));
  try {
    await mkdir(join(folder, "assets"));
    await writeFile(join(folder, "index.html"), "<p>page");
    await writeFile(join(folder, "index.html.br"), "BR");
    await writeFile(join(folder, "assets", "main-AbCd12_4.js"), "1");
    await writeFile(join(folder, "assets", "main-AbCd12_4.js.gz"), "GZ");
    await writeFile(join(folder, "notes.doc"), "no");
    await symlink("/etc/passwd", join(folder, "passwd.txt"));
    const page = await readPage(folder);
    expect([...page.keys()].sort()).toEqual(["/assets/main-AbCd12_4.js", "/index.html"]);
    const index = page.get("/index.html")!;
    expect(index).toMatchObject({ contentType: "text/html; charset=utf-8", isImmutable: false, gzip: null });
    expect(Buffer.from(index.brotli!).toString()).toBe("BR");
    expect(index.etag).toMatch(/^"[\w-]{22}"$/);
    const script = page.get("/assets/main-AbCd12_4.js")!;
    expect(script.isImmutable).toBe(true);
    expect(Buffer.from(script.gzip!).toString()).toBe("GZ");
    expect(script.etag).not.toBe(index.etag);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("[PAGE4] a folder that is not there is an error, not an empty page", async () => {
  await expect(readPage(join(tmpdir(), "synod-no-such-page"))).rejects.toThrow("ENOENT");
});
