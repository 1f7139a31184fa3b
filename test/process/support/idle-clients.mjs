/**
 * A process that holds many connections which greet, read a few rooms and then say nothing. Arguments: port of TCP, how
 * many, the number of the first. Tells its parent `{ open }` once all are answered, `{ heard }` with a message once every
 * one of them was given it and nothing else, and `{ lost }` when one ends early.
 */
import { connect } from "node:net";

const [port = 0, count = 0, first = 0] = process.argv.slice(2).map(Number);
const openingAtOnce = 200;
const rooms = ["lobby", "north", "south"];
/** Answers to a greeting and its subscriptions: `welcome`, and `ok` and `caught-up` for each room. */
const linesEach = 1 + 2 * rooms.length;

/** What came behind the answers: each line with its place among them, and to how many it came. @type {Map<string, number>} */
const heard = new Map();

/** @param {number} place @param {string} line */
function hear(place, line) {
  const key = `${place} ${line}`;
  const times = (heard.get(key) ?? 0) + 1;
  heard.set(key, times);
  if (times !== count || heard.size !== 1) return;
  /** @type {unknown} */
  const message = JSON.parse(line);
  process.send?.({ heard: message });
}

/** @param {number} number */
function open(number) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let lines = 0;
    let rest = "";
    socket.setEncoding("utf8");
    socket.on("data", (/** @type {string} */ text) => {
      const whole = (rest + text).split("\n");
      rest = whole.pop() ?? "";
      for (const line of whole) {
        lines++;
        if (lines === linesEach) resolve(undefined);
        else if (lines > linesEach) hear(lines - linesEach, line);
      }
    });
    socket.on("error", reject);
    socket.on("close", () => {
      process.send?.({ lost: number });
      reject(new Error(`connection ${number} was closed after ${lines} lines`));
    });
    const frames = [
      { t: "hello", v: 1, user: `idle${number}` },
      ...rooms.map((room, id) => ({ t: "sub", id: id + 1, room, after: "latest" })),
    ];
    socket.write(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(""));
  });
}

for (let at = 0; at < count; at += openingAtOnce) {
  const batch = Math.min(openingAtOnce, count - at);
  await Promise.all(Array.from({ length: batch }, (_, place) => open(first + at + place)));
}
process.send?.({ open: count });
process.on("disconnect", () => process.exit(0));
