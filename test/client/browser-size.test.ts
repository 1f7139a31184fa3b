import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What a page loads that uses everything `synod/client` exports. Raise it knowingly: every page pays for it. */
const gzippedBytesMax = 15_400;

test("the library for browsers is one file without dependencies, and small", async () => {
  const built = await build({
    root,
    configFile: false,
    logLevel: "error",
    build: {
      write: false,
      minify: true,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: {
        input: `${root}src/platform/browser/connect.ts`,
        preserveEntrySignatures: "strict",
        output: { format: "es" },
      },
    },
  });
  const outputs = Array.isArray(built) ? built : [built];
  const files = outputs.flatMap((one) => ("output" in one ? one.output : []));
  expect(files.map(({ type }) => type)).toEqual(["chunk"]);
  const [file] = files;
  if (file?.type !== "chunk") throw new Error("no code was built");
  expect([...file.imports, ...file.dynamicImports]).toEqual([]);
  expect(Object.keys(file.modules).filter((path) => path.includes("node_modules"))).toEqual([]);
  // It is the whole library, and not what was left of it.
  expect(file.code).toContain("synod.v1.json");
  expect(file.exports).toEqual(["connect"]);
  expect(gzipSync(file.code, { level: 9 }).length).toBeLessThan(gzippedBytesMax);
});
