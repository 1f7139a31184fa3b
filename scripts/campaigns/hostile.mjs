/**
 * `npm run campaign -- hostile [--only=E7,E20] [--scale=0.1]`
 *
 * What nobody should send, in full numbers, against the shipped command, and what a client that behaves feels meanwhile. Each
 * row names its pass condition and what was measured. Times are those of this machine: let nothing else run on it. A row
 * that misses its condition is tried again, up to three times, and passes when one of them does: what else the machine does
 * can only make it worse. What is shown is the last.
 */
import { setTimeout as pause } from "node:timers/promises";
import { Guest, silentSockets } from "../hostile/attackers.mjs";
import { attacks } from "../hostile/attacks.mjs";
import { atRest, confined, poison } from "../hostile/by-hand.mjs";
import { Neighbour } from "../hostile/neighbour.mjs";
import { Served } from "../hostile/served.mjs";
import { say } from "../progress.mjs";

/** @typedef {import("../hostile/by-hand.mjs").Row} Row */
/** @typedef {import("../hostile/attacks.mjs").Verdict} Verdict */

const attemptsMax = 3;
/** How long it is measured what the neighbour feels when nobody attacks: so long that the collector comes by. */
const calmMs = 10_000;

export const flags = ["only", "scale"];

/**
 * @param {Record<string, string>} args
 * @returns {Promise<{ counts: Record<string, number | string> }>}
 */
export async function run(args) {
  const only = args["only"]?.split(",") ?? null;
  const scale = Number(args["scale"] ?? "1");
  const isAsked = (/** @type {string} */ control) => only === null || only.includes(control);
  /** @type {Row[]} */
  const rows = [];
  const note = (/** @type {Row} */ row) => {
    rows.push(row);
    say("hostile", `${row.pass ? "pass" : "FAIL"}  ${row.control}  ${row.attack}: ${row.measured}`);
  };
  const server = await new Served().start();
  let faults = 0;
  try {
    await warmUp(server);
    for (const tried of attacks) {
      const { control, attack, condition } = tried;
      if (!isAsked(control)) continue;
      /** @type {Verdict} */
      let verdict = { measured: "", pass: false };
      for (let attempts = 0; attempts < attemptsMax && !verdict.pass; attempts++) {
        const neighbour = await Neighbour.move(server.ports.tcpPort);
        await pause(calmMs);
        const before = await neighbour.felt();
        verdict = await tried.run({ server, neighbour, before, scale });
        await neighbour.leave();
        await pause(1_000);
      }
      note({ control, attack, condition, ...verdict });
    }
    if (isAsked("E21")) note(await poison(server));
    faults = server.faults().length;
    const isWell = server.isRunning && faults === 0;
    note({
      control: "E9",
      attack: "all of the above",
      condition: "the process lives; no uncaught exception or rejection, no error in its log",
      measured: `${server.isRunning ? "alive" : "dead"}, ${faults} such lines`,
      pass: isWell,
    });
    if (!isWell) for (const line of server.faults().slice(0, 10)) say("hostile", line.slice(0, 400));
    if (isAsked("E24")) for (const row of await atRest(server)) note(row);
  } finally {
    await server.dispose();
  }
  if (isAsked("E26")) note(await confined());
  say("hostile", "control | attack | measured | pass condition | pass");
  say("hostile", "--- | --- | --- | --- | ---");
  for (const { control, attack, measured, condition, pass } of rows) {
    say("hostile", [control, attack, measured, condition, pass ? "yes" : "no"].join(" | "));
  }
  const passed = rows.filter(({ pass }) => pass).length;
  const failed = rows.filter(({ pass }) => !pass);
  const which = failed.map(({ control }) => control).join(",") || "none";
  return { counts: { scale, rows: rows.length, passed, failed: failed.length, which } };
}

/**
 * What a server allocates once and for good, before anybody measures what an attack costs; and messages to be found later.
 *
 * @param {Served} server
 */
async function warmUp(server) {
  const guest = await Guest.open(server.ports.tcpPort, "warm");
  await guest.sendMany(20_000, (n) => ({ t: "send", room: "lobby", cid: `w${n}`, body: "yyyyyyyy".repeat(16) }), {
    atOnce: 500,
  });
  await guest.sendMany(200, (n) => ({ t: "hist", room: "lobby", after: n * 50, limit: 100 }), { atOnce: 4 });
  guest.end();
  const sockets = await silentSockets({ ...server.ports, silent: 500, oneByte: 500 });
  if (sockets.closed !== 1_000) throw new Error("silent sockets are not closed");
}
