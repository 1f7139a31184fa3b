#!/usr/bin/env node
// The command's first file, as CommonJS on purpose: Node reads modules with the thread pool, so by the time a module
// runs, the pool has its size. This file runs before that. Disk writes, history reads and name lookups share the pool.
process.env["UV_THREADPOOL_SIZE"] ??= "16";

void import("./main.ts");
