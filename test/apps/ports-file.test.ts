import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { portsOf, removePorts, writePorts } from "../../src/apps/cli/ports-file.ts";
import { CommandFailed, exitCodes } from "../../src/apps/terminal/exit-codes.ts";

const directory = mkdtempSync(join(tmpdir(), "synod-ports-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("a directory that was named leads to its own server, and to no other when it has none", () => {
  const ports = { port: 1, tcpPort: 2, adminPort: 3, pid: 4, node: "n1" };
  writePorts(directory, ports);
  expect(portsOf(directory)).toEqual(ports);

  removePorts(directory);
  let failure: unknown = null;
  try {
    portsOf(directory);
  } catch (cause) {
    failure = cause;
  }
  expect(failure).toBeInstanceOf(CommandFailed);
  expect(failure).toMatchObject({ exitCode: exitCodes.unreachable });
  expect(String(failure)).toContain(`no server runs on ${directory}`);
});
