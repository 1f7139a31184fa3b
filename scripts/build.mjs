/**
 * Builds dist/: one file of JavaScript and one of types for each source, nothing bundled, and the page by Vite.
 *
 * What no longer has a source is removed from dist/, so a package never carries what the repository has forgotten.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { say } from "./progress.mjs";
import { filesUnder, hashFiles, root } from "./repository.mjs";

/** Written after a build that went well; inside dist/, so that it disappears together with what it vouches for. */
const stamp = join(root, "dist", ".built-from");

/** What Vite builds: for people who chat, and for whoever looks after a cluster. */
const pages = ["web", "web-cluster"];

/**
 * The TypeScript projects that have something to build or check.
 *
 * @returns {string[]}
 */
export function projects() {
  const web = existsSync(join(root, "src/apps/web")) ? ["tsconfig.web.json"] : [];
  return ["tsconfig.browser.json", "tsconfig.node.json", ...web];
}

/**
 * Whether dist/ was made from the sources as they are now.
 *
 * @returns {boolean}
 */
export function isBuilt() {
  return existsSync(stamp) && readFileSync(stamp, "utf8") === sourcesHash();
}

/**
 * Builds everything. Returns null, or what went wrong as text for people.
 *
 * @returns {string | null}
 */
export function build() {
  const hash = sourcesHash();
  removeOrphans();
  const compiled = runTool("typescript/bin/tsc", ["-b", ...projects()]);
  if (compiled.status !== 0) return `The sources do not compile:\n${compiled.output}`;

  const command = join(root, "dist/apps/cli/synod.cjs");
  if (existsSync(command)) chmodSync(command, 0o755);

  for (const name of pages) {
    if (!existsSync(join(root, "src/apps", name, "index.html"))) continue;
    const target = ["--outDir", join(root, "dist", name), "--emptyOutDir"];
    const page = runTool("vite/bin/vite.js", ["build", `src/apps/${name}`, ...target, "--logLevel", "warn"]);
    if (page.status !== 0) return `The page ${name} does not build:\n${page.output}`;
  }
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
  return null;
}

/**
 * One number for everything a build depends on. Contents, not times: a fresh clone has the times of the clone.
 *
 * @returns {string}
 */
function sourcesHash() {
  const settings = readdirSync(root).filter((name) => /^tsconfig.*\.json$/.test(name));
  const files = [...settings, "package.json", "package-lock.json", "scripts/build.mjs", ...filesUnder("src")];
  return `${hashFiles(files.sort((left, right) => (left < right ? -1 : 1)))}\n`;
}

/** @returns {void} */
function removeOrphans() {
  const sources = new Set(filesUnder("src").map((file) => file.replace(/^src\//, "").replace(/\.tsx?$/, "")));
  let orphans = 0;
  for (const file of filesUnder("dist")) {
    if (pages.some((name) => file.startsWith(`dist/${name}/`))) continue;
    const made = /^dist\/(.+?)(?:\.js|\.d\.ts)(?:\.map)?$/.exec(file);
    if (made?.[1] === undefined || sources.has(made[1])) continue;
    rmSync(join(root, file));
    orphans += 1;
  }
  if (orphans > 0) say("build", `removed ${orphans} files whose source is gone`);
}

/**
 * Runs a tool out of node_modules with the Node that runs us, and waits.
 *
 * @param {string} tool path below node_modules
 * @param {string[]} words
 * @returns {{ status: number | null, output: string }}
 */
export function runTool(tool, words) {
  const result = spawnSync(process.execPath, [join(root, "node_modules", tool), ...words], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 256 * 1024 * 1024,
  });
  const reason = result.error === undefined ? "" : `${result.error.message}\n`;
  return { status: result.status, output: `${reason}${result.stdout ?? ""}${result.stderr ?? ""}` };
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const failure = build();
  if (failure !== null) {
    process.stderr.write(`${failure}\n`);
    process.exit(1);
  }
}
