/** What the hostile campaign does to a server's data and surroundings: bodies that poison, hands in the files, a confined user. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Guest } from "./attackers.mjs";
import { command, Served } from "./served.mjs";

/** @typedef {{ control: string, attack: string, measured: string, condition: string, pass: boolean }} Row */

/**
 * Bodies that would break a reader, a page or a replay, if anything in them were more than text.
 *
 * @param {Served} server
 * @returns {Promise<Row>}
 */
export async function poison(server) {
  const bodies = [
    "\u0000",
    "\ud83d\ude00\u202e\u2066",
    '{"t":"gap","from":1,"to":9999}',
    "</script><script>",
    "\r\n\r\nHTTP/1.1 200 OK",
    "data: {}\n\nevent: x",
    "\u001b[2J",
    "__proto__",
    "x".repeat(64 * 1024),
    "\\u0000\\ud800",
  ];
  const guest = await Guest.open(server.ports.tcpPort, "eve");
  await guest.sendMany(bodies.length, (n) => ({ t: n === 0 ? "join" : "join", room: "poison" }));
  await guest.sendMany(bodies.length, (n) => ({ t: "send", room: "poison", cid: `b${n}`, body: bodies[n] }), {
    atOnce: 0,
  });
  const stored = guest.answers.get("ok") ?? 0;
  guest.end();
  const before = await bodiesOf(server);
  await server.stop();
  await server.start();
  const after = await bodiesOf(server);
  const isSame = [before, after].every((found) => JSON.stringify(found) === JSON.stringify(bodies));
  return {
    control: "E21",
    attack: `${bodies.length} bodies made to break pages and replay`,
    condition: "read back as they were sent, also after a start",
    measured: `${stored - bodies.length} stored, ${after.length} read after a start`,
    pass: isSame,
  };
}

/**
 * @param {Served} server
 * @returns {Promise<string[]>}
 */
async function bodiesOf({ ports }) {
  const answer = await fetch(`http://127.0.0.1:${ports.port}/v1/rooms/poison/messages?after=0&limit=100`, {
    headers: { "synod-user": "eve" },
  });
  return /** @type {{ items: { body: string }[] }} */ (await answer.json()).items.map(({ body }) => body);
}

/**
 * @param {Served} server that has run; it is stopped, and stays so
 * @returns {Promise<Row[]>}
 */
export async function atRest(server) {
  const mode = (statSync(server.data).mode & 0o777).toString(8);
  const second = spawnSync(process.execPath, [command, "serve", "--data", server.data, "--port", "0"], {
    timeout: 30_000,
  });
  await server.stop();
  const journal = readdirSync(join(server.data, "journal")).find((name) => name.endsWith(".wal")) ?? "";
  const file = join(server.data, "journal", journal);
  const bytes = readFileSync(file);
  const at = bytes.indexOf("yyyyyyyy");
  const edited = Buffer.from(bytes);
  if (at >= 0) edited[at] = 0x7a;
  writeFileSync(file, edited);
  const verified = spawnSync(process.execPath, [command, "verify", server.data], { encoding: "utf8" });
  const started = spawnSync(process.execPath, [command, "serve", "--data", server.data, "--port", "0"], {
    timeout: 30_000,
  });
  writeFileSync(file, bytes);
  const again = spawnSync(process.execPath, [command, "verify", server.data], { encoding: "utf8" });
  return [
    {
      control: "E24",
      attack: "a second process on the directory",
      condition: "refused with 4; the directory is 0700",
      measured: `code ${second.status}, mode ${mode}`,
      pass: second.status === 4 && mode === "700",
    },
    {
      control: "E24",
      attack: "one letter of a stored message is changed by hand",
      condition: "verify names it and ends with 1, a start is refused; 0 once it is put back",
      measured: `verify ${verified.status}, start ${started.status}, put back: verify ${again.status}`,
      pass:
        at >= 0 &&
        verified.status === 1 &&
        verified.stdout.includes(journal) &&
        started.status === 1 &&
        again.status === 0,
    },
  ];
}

/**
 * As a user with no rights, in a mount namespace where nothing but the data directory can be written.
 *
 * @returns {Promise<Row>}
 */
export async function confined() {
  const row = {
    control: "E26",
    attack: "run as nobody in a read-only mount namespace, without core dumps",
    condition: "serves, stores, starts again and stops with 0; nothing else can be written",
  };
  if (process.getuid?.() !== 0)
    return { ...row, measured: "not tried: it takes root to make the namespace", pass: false };
  const server = new Served();
  mkdirSync(server.data, { recursive: true, mode: 0o700 });
  chmodSync(server.folder, 0o755);
  spawnSync("chown", ["65534:65534", server.data]);
  // The namespace is the command's own and ends with it.
  const script = [
    'mount --bind "$1" "$1"',
    "mount --bind / / && mount -o remount,bind,ro /",
    "ulimit -c 0",
    "shift",
    'touch /tmp/synod-hostile-probe 2>/dev/null && echo "{\\"level\\":\\"error\\",\\"event\\":\\"writable\\"}" >&2',
    'exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs "$@"',
  ].join("\n");
  const through = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", server.data];
  try {
    let stored = 0;
    const codes = [];
    let uid = "";
    for (let life = 1; life <= 2; life++) {
      await server.start({ through });
      uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${server.ports.pid}/status`, "utf8"))?.[1] ?? "";
      const guest = await Guest.open(server.ports.tcpPort, "alice");
      await guest.sendMany(100, (n) => ({ t: "send", room: "lobby", cid: `${life}-${n}`, body: "x" }));
      stored += guest.answers.get("ok") ?? 0;
      guest.end();
      codes.push(await server.stop());
    }
    const faults = server.faults();
    return {
      ...row,
      measured: `uid ${uid}, ${stored} stored in two lives, ended with ${codes.join(" and ")}, ${faults.length} faults`,
      pass: uid === "65534" && stored === 200 && codes.every((code) => code === 0) && faults.length === 0,
    };
  } finally {
    await server.dispose();
  }
}
