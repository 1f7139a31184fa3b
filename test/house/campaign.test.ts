import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { campaignArgs, campaignHelp, campaignNames, ledgerLine } from "../../scripts/campaign.mjs";
import { root } from "../../scripts/repository.mjs";

const campaign = (...words: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, ["scripts/campaign.mjs", ...words], { cwd: root, encoding: "utf8" });

test("a line of the ledger has five cells, whatever the names contain", () => {
  const line = ledgerLine({
    date: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
    commit: "0123456789ab+",
    machine: "Some | CPU\nat 3 GHz, 2 cores, node 20.20.2",
    name: "seeds",
    counts: { runs: 100, failed: 0 },
  });
  expect(line).toBe(
    "2026-01-02T03:04Z | 0123456789ab+ | Some / CPU at 3 GHz, 2 cores, node 20.20.2 | seeds | runs=100 failed=0",
  );
});

test("arguments are read as name and value, and nothing is guessed", () => {
  expect(campaignArgs(["--seeds=100", "--keep", "--from="])).toEqual({ seeds: "100", keep: "true", from: "" });
  expect(() => campaignArgs(["100"])).toThrow("write --name=value, not 100");
});

test("help is shown and nothing is run; so is what a campaign does not take", () => {
  const before = readFileSync(join(root, "docs/ledger.md"), "utf8");
  const all = campaign("--help");
  expect(all.status).toBe(0);
  for (const name of campaignNames()) expect(all.stdout).toContain(name);
  const one = campaign("sim", "--help");
  expect([one.status, one.stdout]).toEqual([0, campaignHelp("sim")]);
  const refused = campaign("sim", "--topology=leader");
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain("sim does not take --topology; it takes --seeds,");
  expect(campaign("sim", "100")).toMatchObject({ status: 2, stderr: "write --name=value, not 100\n" });
  expect(campaign("none").status).toBe(2);
  expect(readFileSync(join(root, "docs/ledger.md"), "utf8")).toBe(before);
});

test("every campaign says what it takes, and its help names each of that", async () => {
  for (const name of campaignNames()) {
    const { flags } = (await import(join(root, `scripts/campaigns/${name}.mjs`))) as { flags: string[] };
    const help = campaignHelp(name);
    expect(help).toContain(`npm run campaign -- ${name} `);
    for (const flag of flags) expect(help, `${name} --${flag}`).toContain(`--${flag}`);
  }
});
