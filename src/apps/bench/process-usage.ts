import { readFileSync } from "node:fs";

/** What the kernel says about other processes (proc(5)). Linux only; elsewhere `null`. */

/** Ticks per second in /proc/PID/stat: 100 on every Linux that Node runs on (USER_HZ is part of the kernel's ABI). */
const ticksPerSecond = 100;

/** CPU seconds, user and system, that these processes have used so far; `null` when one of them cannot be read. */
export function cpuSecondsOf(pids: readonly number[]): number | null {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readProc(pid, "stat");
    if (stat === null) return null;
    // The command's name stands in parentheses and may contain spaces; user and system time are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return pids.length === 0 ? null : ticks / ticksPerSecond;
}

/** Resident memory of these processes in bytes; `null` when one of them cannot be read. */
export function residentBytesOf(pids: readonly number[]): number | null {
  let kibibytes = 0;
  for (const pid of pids) {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(pid, "status") ?? "");
    if (found === null) return null;
    kibibytes += Number(found[1]);
  }
  return pids.length === 0 ? null : kibibytes * 1024;
}

function readProc(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return null;
    throw cause;
  }
}
