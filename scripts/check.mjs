/**
 * `npm run check`: everything that can be said about the sources without running them. All steps run, also after one
 * failed, so that one look shows all there is to mend. A step that passes says one line, one that fails says everything.
 */
import { pathToFileURL } from "node:url";
import { bootstrapOrExit } from "./bootstrap.mjs";
import { projects, runTool } from "./build.mjs";
import { say, since } from "./progress.mjs";

/**
 * @typedef {object} CheckStep
 * @property {string} name
 * @property {string} tool path below node_modules
 * @property {() => string[]} words
 */

/** @type {readonly CheckStep[]} */
const steps = [
  // Apart from each other, browser code sees no Node types and server code no DOM; together with tests and scripts, all.
  { name: "types of what is shipped", tool: "typescript/bin/tsc", words: () => ["-b", ...projects()] },
  { name: "types of tests and scripts", tool: "typescript/bin/tsc", words: () => ["-p", "tsconfig.json"] },
  {
    name: "lint",
    tool: "oxlint/bin/oxlint",
    words: () => ["--type-aware", "--deny-warnings", "--report-unused-disable-directives", "."],
  },
  { name: "format", tool: "@biomejs/biome/bin/biome", words: () => ["format", "--reporter=summary", "."] },
  { name: "unused files and packages", tool: "knip/bin/knip.js", words: () => ["--no-progress", "--no-config-hints"] },
  { name: "shape of the package", tool: "publint/src/cli.js", words: () => ["run", "--strict", "--pack", "npm"] },
  { name: "lockfile", tool: "../scripts/check-lockfile.mjs", words: () => [] },
];

/**
 * Runs every step and answers with the names of those that failed.
 *
 * @returns {string[]}
 */
export function check() {
  return steps.flatMap((step) => {
    const startedAt = performance.now();
    const { status, output } = runTool(step.tool, step.words());
    const ok = status === 0;
    say("check", `${ok ? "ok    " : "FAILED"} ${step.name.padEnd(27)} ${since(startedAt)}`);
    if (!ok) process.stdout.write(`\n${output.trim()}\n\n`);
    return ok ? [] : [step.name];
  });
}

if (process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === import.meta.url) {
  bootstrapOrExit();
  const failed = check();
  if (failed.length > 0) process.stderr.write(`failed: ${failed.join(", ")}\n`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
