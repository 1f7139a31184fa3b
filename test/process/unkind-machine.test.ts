import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { buildUnkindMachine, UnkindMachine, whyNoUnkindMachine } from "./support/unkind-machine.ts";

const reason = whyNoUnkindMachine();
const built = reason === null ? buildUnkindMachine() : null;
const folder = mkdtempSync(join(tmpdir(), "synod-machine-"));
afterAll(() => {
  built?.remove();
  rmSync(folder, { recursive: true });
});
beforeAll(() => {
  if (reason !== null) process.stdout.write(`unkind machine: not tried, ${reason}\n`);
});

let numbered = 0;
/** A machine whose disk holds these files, durable. */
function machineWith(files: Readonly<Record<string, string>>): { machine: UnkindMachine; data: string } {
  const own = join(folder, `${numbered++}`);
  const data = join(own, "data");
  mkdirSync(data, { recursive: true });
  for (const [name, content] of Object.entries(files)) writeFileSync(join(data, name), content);
  const machine = new UnkindMachine({ library: built!.library, folder: join(own, "machine"), data });
  return { machine, data };
}

/** Runs a program of Node on it, which says `done` and is killed then. */
async function runUntilDone(machine: UnkindMachine, data: string, program: string): Promise<void> {
  const words = ["-e", `const fs = require("node:fs"); ${program}; console.log("done"); setInterval(() => {}, 1000)`];
  const child = spawn(process.execPath, words, {
    cwd: data,
    env: machine.environment,
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
}

const paths = (data: string): string => `const at = (name) => ${JSON.stringify(data)} + "/" + name;`;
const open = (name: string, flags: string): string => `fs.openSync(at("${name}"), ${flags}, 0o600)`;
const both = "fs.constants.O_RDWR";
const durable = "fs.constants.O_RDWR | fs.constants.O_DSYNC";
const made = "fs.constants.O_RDWR | fs.constants.O_CREAT";

test.skipIf(reason !== null)("a power loss takes back what was written and not synced, and nothing else", async () => {
  const { machine, data } = machineWith({
    plain: "0123456789",
    synced: "0123456789",
    dsync: "0123456789",
    long: "0123456789",
    mixed: "0123456789",
  });
  await runUntilDone(
    machine,
    data,
    `${paths(data)}
    fs.writeSync(${open("plain", both)}, "xxxx", 4);
    const synced = ${open("synced", both)};
    fs.writeSync(synced, "aaaa", 2); fs.fdatasyncSync(synced); fs.writeSync(synced, "bbb", 4);
    fs.writeSync(${open("dsync", durable)}, "cccc", 8);
    fs.writeSync(${open("long", durable)}, "f", 0); fs.writeSync(${open("long", both)}, "gg", 4);
    const mixed = ${open("mixed", both)};
    fs.writeSync(mixed, "dddddd", 0); fs.writeSync(${open("mixed", durable)}, "ee", 2);`,
  );
  expect(readFileSync(join(data, "synced"), "utf8")).toBe("01aabbb789");
  expect(machine.losePower(null)).toEqual({ bytes: 4 + 3 + 2 + 4, names: 0, cut: 0 });
  const read = (name: string): string => readFileSync(join(data, name), "utf8");
  expect(read("plain")).toBe("0123456789");
  expect(read("synced")).toBe("01aaaa6789");
  expect(read("dsync")).toBe("01234567cccc");
  // It is as long as it ever was.
  expect(read("long")).toBe("f123456789");
  // What O_DSYNC has written over stays, and what is beside it goes.
  expect(read("mixed")).toBe("01ee456789");
});

test.skipIf(reason !== null)(
  "names that were not synced with their folder are undone, with those that they replaced",
  async () => {
    const { machine, data } = machineWith({ old: "old", replaced: "replaced", gone: "gone", stays: "stays" });
    await runUntilDone(
      machine,
      data,
      `${paths(data)}
    const draft = ${open("draft", made)};
    fs.writeSync(draft, "new"); fs.fsyncSync(draft);
    fs.renameSync(at("old"), at("kept"));
    fs.fsyncSync(fs.openSync(at(""), "r"));
    fs.renameSync(at("draft"), at("replaced"));
    fs.unlinkSync(at("gone"));
    fs.mkdirSync(at("folder"));
    const inside = ${open("folder/inside", made)};
    fs.writeSync(inside, "inside"); fs.fsyncSync(inside); fs.fsyncSync(fs.openSync(at("folder"), "r"));`,
    );
    expect(readdirSync(data).sort()).toEqual(["folder", "kept", "replaced", "stays"]);
    expect(machine.losePower(null)).toEqual({ bytes: 0, names: 3, cut: 0 });
    // The draft was there when the folder was synced; the folder's own name never was.
    expect(readdirSync(data).sort()).toEqual(["draft", "gone", "kept", "replaced", "stays"]);
    for (const [name, content] of [
      ["draft", "new"],
      ["gone", "gone"],
      ["kept", "old"],
      ["replaced", "replaced"],
    ] as const) {
      expect(readFileSync(join(data, name), "utf8")).toBe(content);
    }
  },
);

test.skipIf(reason !== null)(
  "what an earlier process left unsynced can still be lost, and made durable by a later one",
  async () => {
    const { machine, data } = machineWith({ lost: "0123456789", saved: "0123456789" });
    await runUntilDone(
      machine,
      data,
      `${paths(data)} for (const name of ["lost", "saved"]) fs.writeSync(fs.openSync(at(name), "r+"), "first", 0);`,
    );
    await runUntilDone(
      machine,
      data,
      `${paths(data)} fs.fsyncSync(${open("saved", both)}); fs.writeSync(${open("lost", both)}, "2nd", 5)`,
    );
    machine.losePower(null);
    expect(readFileSync(join(data, "lost"), "utf8")).toBe("0123456789");
    expect(readFileSync(join(data, "saved"), "utf8")).toBe("first56789");
    // Everything that is there now is durable.
    expect(machine.losePower(null)).toEqual({ bytes: 0, names: 0, cut: 0 });
  },
);

test.skipIf(reason !== null)("with chance, sectors are lost one by one, and never what was synced", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 8; seed++) {
    const { machine, data } = machineWith({ file: "a".repeat(2048) });
    await runUntilDone(
      machine,
      data,
      `${paths(data)} const file = ${open("file", both)};
      fs.writeSync(file, "b".repeat(512), 0); fs.fdatasyncSync(file); fs.writeSync(file, "c".repeat(2048), 512)`,
    );
    machine.losePower(seededRandom(seed));
    const content = readFileSync(join(data, "file"), "latin1");
    expect(content.slice(0, 512)).toBe("b".repeat(512));
    const sectors = [0, 1, 2, 3].map((at) => content.slice(512 * (at + 1), 512 * (at + 2)));
    for (const sector of sectors) expect(new Set(sector).size).toBeLessThan(2);
    expect([2048, 2560]).toContain(content.length);
    outcomes.add(sectors.map((sector) => sector[0] ?? "-").join(""));
  }
  expect(outcomes.size).toBeGreaterThan(3);
});

test.skipIf(reason !== null)("its clock jumps, its disk is full, slow or fails, when it is told to", async () => {
  const { machine, data } = machineWith({ file: "0123456789" });
  const run = (program: string): string => {
    const words = ["-e", `const fs = require("node:fs"); ${paths(data)} ${program}`];
    return spawnSync(process.execPath, words, { env: machine.environment, encoding: "utf8" }).stdout.trim();
  };
  machine.setClock(-3_600_000);
  const behindMs = Date.now() - Number(run("console.log(Date.now())"));
  expect(Math.round(behindMs / 60_000)).toBe(60);
  const tell = "const tell = (what) => { try { console.log(what()) } catch (cause) { console.log(cause.code) } };";
  machine.fillDisk(true);
  expect(
    run(`${tell} const file = ${open("file", both)};
    tell(() => fs.writeSync(file, "over", 2)); tell(() => fs.statfsSync(at("")).bavail);
    for (let n = 0; n < 50; n++) fs.writeSync(file, "x", 0);
    try { for (;;) fs.writeSync(file, "yy", fs.fstatSync(file).size) } catch (cause) { console.log(cause.code) }`),
  ).toBe("4\n0\nENOSPC");
  machine.fillDisk(false);
  machine.failFlushes(true);
  expect(
    run(
      `${tell} tell(() => fs.writeSync(${open("file", durable)}, "x", 0)); tell(() => fs.fsyncSync(${open("file", both)}))`,
    ),
  ).toBe("EIO\nEIO");
  machine.failFlushes(false);
  machine.slowDisk(300);
  expect(
    Number(
      run(`const from = performance.now(); fs.fsyncSync(${open("file", both)}); console.log(performance.now() - from)`),
    ),
  ).toBeGreaterThan(290);
});

test.skipIf(reason !== null)("what is not modelled is not passed over", async () => {
  const { machine, data } = machineWith({ file: "0123456789" });
  await runUntilDone(machine, data, `${paths(data)} fs.truncateSync(at("file"), 3)`);
  expect(() => machine.losePower(null)).toThrow("ftruncate64 is not modelled");
  expect(statSync(join(data, "file")).size).toBe(3);
  expect(existsSync(join(data, "..", "machine", "log"))).toBe(true);
});
