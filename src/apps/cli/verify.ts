import { stat } from "node:fs/promises";
import picocolors from "picocolors";
import { isLockFile, LockRefused, nodeDataLock } from "../../platform/node/data-lock.ts";
import { nodeFileSystem } from "../../platform/node/node-file-system.ts";
import { knownChunks, neededChunks } from "../../server/needed-chunks.ts";
import { isMarkFile } from "../../storage/data-directory.ts";
import { openDisk } from "../../storage/disk.ts";
import { systemCodeOf } from "../../storage/file-system.ts";
import { type DirectoryReport, verifyDirectory } from "../../storage/verify.ts";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { portsFile } from "./ports-file.ts";

export interface VerifyCommand {
  readonly directory: string;
  readonly json: boolean;
}

/** `synod verify`: checks every byte of a stopped server's directory. Changes nothing in it. Code 1 for any damage, and for what can't be told. */
export async function verify(command: VerifyCommand): Promise<0 | 1> {
  const { directory, json } = command;
  await mustBeDirectory(directory);
  const release = await stopped(directory);
  const disk = openDisk(nodeFileSystem(directory));
  try {
    const found = await verifyDirectory({
      disk,
      neededChunks: ({ state }, entries) => neededChunks(state, entries),
      knownChunks: ({ state }, entries) => knownChunks(state, entries),
    });
    const report: DirectoryReport = { ...found, unknown: found.unknown.filter((file) => !own(file)) };
    const lines = json ? [JSON.stringify(report)] : reportLines(directory, report);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
    return report.damage.length + report.newer.length === 0 ? exitCodes.ok : exitCodes.failed;
  } finally {
    await disk.close();
    await release();
  }
}

/** Files at the top that this program writes beside the data. */
const own = (file: DirectoryReport["unknown"][number]): boolean =>
  file === portsFile || isMarkFile(file) || isLockFile(file);

async function mustBeDirectory(directory: string): Promise<void> {
  try {
    if ((await stat(directory)).isDirectory()) return;
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
  }
  throw new CommandFailed(exitCodes.usage, `${directory} is no directory`);
}

/** Makes sure that no server writes there meanwhile. A copy that can't be written to needs no lock. */
async function stopped(directory: string): Promise<() => Promise<void>> {
  const lock = nodeDataLock(directory);
  try {
    await lock.acquire();
    return () => lock.release();
  } catch (cause) {
    if (cause instanceof LockRefused && cause.reason === "locked") {
      throw new CommandFailed(exitCodes.refused, cause.message, { cause });
    }
    const isOnlyReadable = ["EROFS", "EACCES", "EPERM"].includes(systemCodeOf(cause));
    if (!isOnlyReadable && !(cause instanceof LockRefused)) throw cause;
    return () => Promise.resolve();
  }
}

function reportLines(directory: string, report: DirectoryReport): string[] {
  const { bold, green, red, dim } = picocolors;
  const { damage, newer, totals, torn, quarantined, unknown, identity } = report;
  const verdict =
    damage.length === 0
      ? newer.length === 0
        ? green("sound")
        : red("not checked whole: a newer version wrote some of it")
      : red(`damaged in ${damage.length} ${damage.length === 1 ? "place" : "places"}`);
  const lines = [`${bold(visibleText(directory))}  ${verdict}`];
  if (identity !== null) lines.push(`  server    ${identity.node}, cluster ${identity.cluster}`);
  lines.push(
    `  history   ${totals.messages} messages of ${totals.rooms} rooms in ${totals.chunks} chunks, ${totals.days.length} days`,
    `  journal   ${totals.entries} entries behind the last snapshot, up to entry ${totals.lastIndex}`,
  );
  for (const { file, offset, length, what, room, seqs } of damage) {
    const range = length === 0 ? "" : ` bytes ${offset} to ${offset + length}`;
    const messages =
      room === undefined ? "" : ` (#${visibleText(room)}${seqs === undefined ? "" : ` ${seqs[0]} to ${seqs[1]}`})`;
    lines.push(`  ${red("damage")}    ${visibleText(file)}${range}: ${visibleText(what)}${messages}`);
  }
  for (const { file, format } of newer) {
    lines.push(
      `  ${red("newer")}     ${visibleText(file)}: format ${format}; verify it with the version that wrote it`,
    );
  }
  if (torn !== null) lines.push(dim(`  torn      ${torn.file}: a last write that was never acknowledged; no loss`));
  if (quarantined.length > 0) lines.push(`  aside     ${quarantined.map(visibleText).join(", ")}`);
  if (unknown.length > 0) lines.push(dim(`  unknown   ${unknown.map(visibleText).join(", ")}`));
  return lines;
}
