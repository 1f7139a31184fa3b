#!/usr/bin/env node
// The command's first file, as CommonJS on purpose: Node reads modules with the thread pool, so by the time a module
// runs, the pool has its size. This file runs before that. Disk writes, history reads and name lookups share the pool.
process.env["UV_THREADPOOL_SIZE"] ??= "16";

// Node would open its inspector on this signal, a way into the process that nobody asked for. From the first moment, and
// for every command, it does nothing.
process.on("SIGUSR1", () => undefined);

void import("./main.ts");
