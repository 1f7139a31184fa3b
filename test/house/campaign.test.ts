import { expect, test } from "vitest";
import { campaignArgs, ledgerLine } from "../../scripts/campaign.mjs";

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
