import { describe, expect, test } from "vitest";
import { lockfileFaults, satisfies } from "../../scripts/check-lockfile.mjs";
import { missingEntries, platformOf } from "../../scripts/complete-lockfile.mjs";
import { readJson } from "../../scripts/repository.mjs";

type Lock = Parameters<typeof lockfileFaults>[0];

const good = { version: "1.0.0", license: "MIT", integrity: "sha512-x" };

describe("a version lies in a range", () => {
  const cases: readonly [version: string, range: string, inside: boolean][] = [
    ["20.20.0", ">=20", true],
    ["20.20.0", ">=20.20.1", false],
    ["20.20.0", ">= 10.x", true],
    ["20.20.0", ">20", false],
    ["20.20.0", ">20.19", true],
    ["20.20.0", "<=20", true],
    ["20.20.0", "<20.20.0", false],
    ["20.20.0", "20 || >=22", true],
    ["20.20.0", "20.x", true],
    ["20.20.0", "20.19", false],
    ["20.20.0", "^20.19.0 || >=22.12.0", true],
    ["20.20.0", "^22.12.0 || ^24.0.0 || >=26.0.0", false],
    ["20.20.0", "^20.21.0", false],
    ["20.20.0", "~20.19.3", false],
    ["20.20.0", "~20.20", true],
    ["20.20.0", ">=18 <21", true],
    ["20.20.0", ">=18 <20", false],
    ["20.20.0", "18 - 20", true],
    ["20.20.0", "18 - 19.9.9", false],
    ["20.20.0", "*", true],
    ["0.2.4", "^0.2.3", true],
    ["0.3.0", "^0.2.3", false],
  ];
  test.each(cases)("%s in %s: %s", (version, range, inside) => {
    expect(satisfies(version, range)).toBe(inside);
  });

  test("a range that is not understood is not waved through", () => {
    expect(() => satisfies("20.20.0", "lts/*")).toThrow("not understood");
  });
});

describe("a package we could not ship is named", () => {
  const cases: readonly [title: string, entry: Lock["packages"][string], says: RegExp | null][] = [
    ["a good one", good, null],
    ["a newer Node", { ...good, engines: { node: ">=22.12" } }, /wants Node >=22\.12/],
    ["an install script", { ...good, hasInstallScript: true }, /runs a script/],
    ["the same in a tool", { ...good, hasInstallScript: true, dev: true }, null],
    ["a download address", { ...good, resolved: "https://registry.example/a.tgz" }, /download address/],
    ["no hash", { ...good, integrity: undefined }, /has no hash/],
    ["no hash in a tool", { ...good, integrity: undefined, dev: true }, /has no hash/],
    ["no hash in a tool for another platform", { ...good, integrity: undefined, dev: true, optional: true }, null],
    ["no licence", { ...good, license: undefined }, /licence \(none\)/],
    ["a licence that binds us", { ...good, license: "AGPL-3.0-only" }, /AGPL-3\.0-only/],
    ["one good licence of two", { ...good, license: "(GPL-2.0 OR MIT)" }, null],
    ["one bad licence of two", { ...good, license: "MIT AND GPL-2.0" }, /GPL-2\.0/],
    ["a tool's licence in a tool", { ...good, license: "MPL-2.0", dev: true }, null],
    ["a tool's licence in the server", { ...good, license: "MPL-2.0" }, /MPL-2\.0/],
  ];
  test.each(cases)("%s", (_title, entry, says) => {
    const faults = lockfileFaults({ packages: { "": {}, "node_modules/a/node_modules/@b/c": entry } });
    if (says === null) expect(faults).toEqual([]);
    else {
      expect(faults).toHaveLength(1);
      expect(faults[0]).toMatch(says);
      expect(faults[0]).toMatch(/^@b\/c@1\.0\.0 /);
    }
  });

  test("one package more than the budget", () => {
    const names = Array.from({ length: 46 }, (_, at) => [`node_modules/p${at}`, good] as const);
    expect(lockfileFaults({ packages: Object.fromEntries(names.slice(1)) })).toEqual([]);
    expect(lockfileFaults({ packages: Object.fromEntries(names) })).toEqual([
      "46 packages at run time, 45 are allowed",
    ]);
  });
});

describe("packages of other platforms", () => {
  const tool = {
    ...good,
    dev: true,
    optionalDependencies: { "@a/cli-linux-x64": "1.2.3", "@a/cli-darwin-arm64": "1.2.3" },
  };

  test("that npm left out are named, with the platform their name tells", () => {
    const lock = { packages: { "node_modules/a": tool, "node_modules/@a/cli-linux-x64": { ...good, dev: true } } };
    expect(missingEntries(lock)).toEqual({
      "node_modules/@a/cli-darwin-arm64": {
        version: "1.2.3",
        cpu: ["arm64"],
        os: ["darwin"],
        dev: true,
        license: "MIT",
        optional: true,
      },
    });
    expect(lockfileFaults(lock)).toEqual([
      "1 packages of other platforms are not named: node scripts/complete-lockfile.mjs",
    ]);
  });

  test("count as named beside the tool or in any folder above it", () => {
    const deep = { ...good, dev: true, optionalDependencies: { "b-linux-x64": "1.0.0", "c-linux-x64": "1.0.0" } };
    const lock = {
      packages: {
        "node_modules/x/node_modules/a": deep,
        "node_modules/x/node_modules/b-linux-x64": good,
        "node_modules/c-linux-x64": good,
      },
    };
    expect(missingEntries(lock)).toEqual({});
  });

  test("are never guessed for the server", () => {
    expect(() => missingEntries({ packages: { "node_modules/a": { ...tool, dev: false } } })).toThrow(
      "needed at run time",
    );
    expect(() => platformOf("fast-hash-native")).toThrow("does not say for which platform");
  });

  test.each([
    ["@a/binding-linux-x64-musl", { cpu: ["x64"], os: ["linux"], libc: ["musl"] }],
    ["@a/binding-linux-arm-gnueabihf", { cpu: ["arm"], os: ["linux"], libc: ["glibc"] }],
    ["@a/binding-win32-x64-msvc", { cpu: ["x64"], os: ["win32"] }],
    ["@a/binding-wasm32-wasi", { cpu: ["wasm32"] }],
    ["a-freebsd-x64", { cpu: ["x64"], os: ["freebsd"] }],
  ])("%s", (name, platform) => {
    expect(platformOf(name)).toEqual(platform);
  });
});

test("the lockfile of this repository is good", () => {
  expect(lockfileFaults(readJson("package-lock.json") as Lock)).toEqual([]);
});
