import { existsSync } from "node:fs";
import { chmod, link, mkdir, open, readdir, readFile, readlink, rm, stat } from "node:fs/promises";
import { createHash } from "node:crypto";
import { constants, hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Lock, LockRefusal } from "../../storage/data-directory.ts";
import type { FileName } from "../../storage/disk.ts";

/** The lock was not given: another process has the directory, or other users may enter it. */
export class LockRefused extends Error implements LockRefusal {
  override readonly name = "LockRefused";
  readonly reason: "locked" | "permissions";

  constructor(reason: "locked" | "permissions", message: string) {
    super(message);
    this.reason = reason;
  }
}

/** What a lock file says about who holds it. */
interface Holder {
  readonly pid: number;
  /** When the process began, in ticks since the machine started: a pid that is used again has another. */
  readonly started: string;
  /** Random id of this start of the machine. */
  readonly boot: string;
  /** The pid means nothing outside its namespace, and a container that is started again has a new one. */
  readonly namespace: string;
  readonly host: string;
}

/** What the machine does not tell (anything but Linux). */
const unknown = "none";

/**
 * One process per data directory, on one machine (a directory shared over a network is not protected by this).
 *
 * Every process has a lock file of its own, `lock.BOOT.PID.STARTED`, that appears with its whole content. A process makes
 * its file first and looks at the others then, so of two that come together at least one sees the other; whoever sees one
 * that is alive removes its own and is refused. A file is removed by others only when the process that its name tells
 * is dead, and no later process can have that name: taking over what `kill -9` left needs no second lock.
 *
 * On a disk that is full to the last byte the file is empty, and its name tells the rest too,
 * `lock.BOOT.PID.STARTED.NAMESPACE.HOST`, each shortened to what fits: a full disk still serves what it has.
 */
export function nodeDataLock(directory: string, options: { pid?: number } = {}): Lock {
  const pid = options.pid ?? process.pid;
  let held: string | null = null;
  return {
    async acquire() {
      await makeDirectory(directory);
      const me = await holderOf(pid);
      const own = await placeLock(directory, me);
      try {
        await refuseIfHeld(directory, own, me);
      } catch (fault) {
        await rm(own, { force: true });
        throw fault;
      }
      held = own;
    },
    async release() {
      if (held !== null) await rm(held, { force: true });
      held = null;
    },
  };
}

/** Whether a file at the top of the data directory is one of the lock's. */
export const isLockFile = (file: FileName): boolean => file.startsWith("lock.");

/** Makes the lock's file, with its content where that finds space; answers its path. */
async function placeLock(directory: string, me: Holder): Promise<string> {
  const name = join(directory, nameOf(me));
  try {
    await placeFile(name, JSON.stringify(me));
    return name;
  } catch (cause) {
    if (!isFull(cause)) throw cause;
  }
  const long = join(directory, `${nameOf(me)}.${shortened(me.namespace)}.${shortened(me.host)}`);
  try {
    await (await open(long, "wx", 0o600)).close();
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") throw locked(directory, "this very process has opened it already");
    throw cause;
  }
  return long;
}

const nameOf = (holder: Holder): string => `lock.${holder.boot.slice(0, 8)}.${holder.pid}.${holder.started}`;

const shortened = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);

async function refuseIfHeld(directory: string, own: string, me: Holder): Promise<void> {
  for (const entry of await readdir(directory)) {
    const file = join(directory, entry);
    if (!entry.startsWith("lock.") || entry.endsWith(".tmp") || file === own) continue;
    const holder = await readHolder(file, me);
    // Gone between the listing and now: its process ended in good order.
    if (holder === "gone") continue;
    if (holder === null) throw locked(directory, `${file} is no lock file of this version`);
    const standing = await standingOf(holder, me);
    if (standing === "dead") {
      await rm(file, { force: true });
    } else if (standing === "alive") {
      throw locked(directory, `process ${holder.pid} uses it; stop that one first`);
    } else {
      throw locked(
        directory,
        `process ${holder.pid} on ${holder.host} may use it and can't be seen from here; if it has ended, remove ${file}`,
      );
    }
  }
}

function locked(directory: string, why: string): LockRefused {
  return new LockRefused("locked", `the data directory ${directory} is in use: ${why}`);
}

async function readHolder(file: string, me: Holder): Promise<Holder | "gone" | null> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return "gone";
    throw cause;
  }
  if (text === "") return holderOfName(basename(file), me);
  try {
    const value: unknown = JSON.parse(text);
    return isHolder(value) ? value : null;
  } catch (cause) {
    if (cause instanceof SyntaxError) return null;
    throw cause;
  }
}

/** What the name of an empty lock file tells, held against who asks: a short form that is that of the own stands for it. */
function holderOfName(name: string, me: Holder): Holder | null {
  const [, boot, pid, started, namespace, host, ...more] = name.split(".");
  if (boot === undefined || started === undefined || host === undefined || more.length > 0) return null;
  return {
    pid: Number(pid),
    started,
    boot: boot === me.boot.slice(0, 8) ? me.boot : boot,
    namespace: namespace === shortened(me.namespace) ? me.namespace : namespace!,
    host: host === shortened(me.host) ? me.host : "another host",
  };
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== "object" || value === null) return false;
  const texts = ["started", "boot", "namespace", "host"] as const;
  const fields = value as Record<string, unknown>;
  return Number.isSafeInteger(fields["pid"]) && texts.every((name) => typeof fields[name] === "string");
}

async function standingOf(holder: Holder, me: Holder): Promise<"alive" | "dead" | "unknown"> {
  if (holder.boot !== me.boot) return "dead";
  if (holder.namespace !== me.namespace) {
    // The same container, started again: nothing of its former life runs any more.
    return holder.host === me.host ? "dead" : "unknown";
  }
  return (await startOf(holder.pid)) === holder.started ? "alive" : "dead";
}

async function holderOf(pid: number): Promise<Holder> {
  return {
    pid,
    started: (await startOf(pid)) ?? unknown,
    boot: (await orUnknown(readFile("/proc/sys/kernel/random/boot_id", "utf8"))).trim(),
    namespace: await orUnknown(readlink(`/proc/${pid}/ns/pid`)),
    host: hostname(),
  };
}

/** When a process that runs began; null if there is none. */
async function startOf(pid: number): Promise<string | null> {
  let line: string;
  try {
    line = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (cause) {
    const code = codeOf(cause);
    if (code !== "ENOENT" && code !== "ESRCH") throw cause;
    return process.platform !== "linux" && isRunning(pid) ? unknown : null;
  }
  // The name of the program may hold spaces and brackets, so fields are counted from the last bracket: state is the
  // first behind it, the start the twentieth.
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return codeOf(cause) === "EPERM";
  }
}

async function orUnknown(text: Promise<string>): Promise<string> {
  try {
    return await text;
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return unknown;
    throw cause;
  }
}

/** Makes a file that has its whole content from the moment it has its name. */
async function placeFile(name: string, content: string): Promise<void> {
  const draft = `${name}.tmp`;
  await rm(draft, { force: true });
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(draft, name);
  } catch (cause) {
    if (codeOf(cause) !== "EEXIST") throw cause;
    throw locked(dirname(name), "this very process has opened it already");
  } finally {
    await rm(draft, { force: true });
  }
}

/** The directory, readable by its owner only. One that holds something and can be read by others is refused. */
async function makeDirectory(directory: string): Promise<void> {
  await makeFolders(directory);
  if (process.platform === "win32") return;
  const mode = (await stat(directory)).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  if ((await readdir(directory)).length > 0) {
    const octal = mode.toString(8).padStart(4, "0");
    throw new LockRefused(
      "permissions",
      `the data directory ${directory} can be entered by other users (mode ${octal}); run: chmod 700 ${directory}`,
    );
  }
  await chmod(directory, 0o700);
}

/** Node's own way to make parents too never ends where one is there and takes no folders, such as /proc. */
async function makeFolders(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (cause) {
    const parent = dirname(directory);
    if (codeOf(cause) === "EEXIST" && (await stat(directory)).isDirectory()) return;
    if (codeOf(cause) !== "ENOENT" || existsSync(parent)) throw cause;
    await makeFolders(parent);
    // By another process meanwhile, too.
    await makeFolders(directory);
  }
}

/** No space left, or no quota, for which Node has a number and no name. */
function isFull(cause: unknown): boolean {
  if (codeOf(cause) === "ENOSPC") return true;
  return typeof cause === "object" && cause !== null && "errno" in cause && cause.errno === -constants.errno.EDQUOT;
}

function codeOf(cause: unknown): string {
  if (typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string")
    return cause.code;
  return "";
}
