/** `npm run bench:growth -- [flags]`: how Synod's costs grow, against itself; `--help` says more. Builds what is stale. */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bootstrapOrExit } from "./bootstrap.mjs";
import { root } from "./repository.mjs";

bootstrapOrExit();
const program = pathToFileURL(join(root, "dist/apps/bench/growth/bench-growth.js")).href;
const { benchGrowth } = /** @type {typeof import("../src/apps/bench/growth/bench-growth.ts")} */ (
  await import(program)
);
process.exitCode = await benchGrowth(root, process.argv.slice(2));
