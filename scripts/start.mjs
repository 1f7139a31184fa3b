/**
 * `npm start -- [flags]`, `npm run demo -- [flags]`: makes the clone ready, then becomes `synod serve [flags]`, or
 * `synod demo [flags]`, as far as anyone can tell: same terminal, same signals, same exit code. package.json says
 * `exec`, because a shell between npm and us would take a SIGTERM for itself and leave the server behind.
 */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { bootstrapOrExit } from "./bootstrap.mjs";
import { root } from "./repository.mjs";

bootstrapOrExit();

const given = process.argv.slice(2);
const words = given[0] === "demo" ? given : ["serve", ...given];
const child = spawn(process.execPath, [join(root, "dist/apps/cli/synod.cjs"), ...words], { stdio: "inherit" });

for (const signal of /** @type {const} */ (["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"])) {
  process.on(signal, () => {
    // A terminal sends Ctrl-C to everyone in it. Passing it on as well would look like a second, impatient Ctrl-C.
    if (signal === "SIGINT" && process.stdin.isTTY) return;
    child.kill(signal);
  });
}

child.on("error", (error) => {
  process.stderr.write(`cannot start the server: ${error.message}\n`);
  process.exitCode = 1;
});
child.on("exit", (code, signal) => {
  // 128 + n is how a shell reports a process that ended by a signal.
  process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
});
