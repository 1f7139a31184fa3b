import { describe, expect, test } from "vitest";
import { countReport, lastLine, type StageResult, type VitestReport, verdict } from "../../scripts/test-report.mjs";

const report = (...statuses: [fullName: string, status: string][]): VitestReport => ({
  testResults: [
    {
      name: "a.test.ts",
      status: statuses.some(([, status]) => status === "failed") ? "failed" : "passed",
      assertionResults: statuses.map(([fullName, status]) => ({ fullName, status })),
    },
  ],
});
const nothing = new Map<string, string>();
const result = (counts: Partial<StageResult>): StageResult => ({
  name: "units",
  passed: 0,
  failed: 0,
  skipped: 0,
  faults: [],
  ms: 0,
  ...counts,
});

describe("a report is counted", () => {
  test("passed, failed, and nothing else to say", () => {
    const counts = countReport(report(["a", "passed"], ["b", "failed"]), {
      stage: "units",
      exitCode: 1,
      lacks: nothing,
    });
    expect(counts).toEqual({ passed: 1, failed: 1, skipped: 0, faults: ["failed: b"] });
  });

  test("a failure is told with the head of its message, however long that is", () => {
    const lines = Array.from({ length: 100 }, (_, line) => `line ${line} ${"x".repeat(1_000)}`);
    const failed = { fullName: "b", status: "failed", failureMessages: [lines.join("\n")] };
    const counts = countReport(
      { testResults: [{ name: "a.test.ts", status: "failed", assertionResults: [failed] }] },
      { stage: "units", exitCode: 1, lacks: nothing },
    );
    expect(counts.faults).toHaveLength(1);
    expect(counts.faults[0]).toMatch(/^failed: b\n {4}line 0 x+\n {4}line 1 /u);
    expect(counts.faults[0]?.length).toBeLessThan(12_000);
  });

  test("a file that broke before its first test is one failure", () => {
    const broken = { testResults: [{ name: "a.test.ts", status: "failed", assertionResults: [] }] };
    const counts = countReport(broken, { stage: "units", exitCode: 1, lacks: nothing });
    expect(counts.failed).toBe(1);
    expect(counts.faults).toEqual(["a test file broke outside its tests: a.test.ts"]);
  });

  test("a bad exit without a failed test is one failure", () => {
    expect(countReport(report(["a", "passed"]), { stage: "units", exitCode: 1, lacks: nothing }).failed).toBe(1);
    expect(countReport(report(["a", "passed"]), { stage: "units", exitCode: null, lacks: nothing }).failed).toBe(1);
  });
});

describe("a skipped test", () => {
  const skips = (title: string, stage: string, lacks: ReadonlyMap<string, string>): string[] =>
    countReport(report([title, "skipped"]), { stage, exitCode: 0, lacks }).faults;

  test("is a fault when nothing it needs is missing", () => {
    expect(skips("pulls the plug [needs root]", "process", nothing)).toHaveLength(1);
    expect(skips("opens the page", "browser", nothing)).toHaveLength(1);
    expect(skips("for later", "units", new Map([["chromium", "no browser"]]))).toHaveLength(1);
  });

  test("is excused by what the machine lacks", () => {
    expect(skips("pulls the plug [needs root]", "process", new Map([["root", "not root"]]))).toEqual([]);
    expect(skips("opens the page", "browser", new Map([["chromium", "no browser"]]))).toEqual([]);
  });

  test("counts as skipped either way, also when it is a plan", () => {
    expect(countReport(report(["later", "todo"]), { stage: "units", exitCode: 0, lacks: nothing }).skipped).toBe(1);
  });
});

describe("the verdict", () => {
  const testsWanted = { testsWanted: true };

  test("is good when something passed and nothing is wrong", () => {
    expect(verdict([result({ passed: 3 })], testsWanted).ok).toBe(true);
  });

  test("is bad on a failure, a fault, and on no test at all", () => {
    expect(verdict([result({ passed: 3 }), result({ failed: 1 })], testsWanted).ok).toBe(false);
    expect(verdict([result({ passed: 3, skipped: 1, faults: ["skipped"] })], testsWanted).ok).toBe(false);
    expect(verdict([result({})], testsWanted).faults).toEqual(["not a single test passed"]);
    expect(verdict([], testsWanted).ok).toBe(false);
  });

  test("of a check alone needs no test", () => {
    expect(verdict([result({ name: "check" })], { testsWanted: false }).ok).toBe(true);
  });
});

test("the last line adds up all stages and names skipped ones only when there are any", () => {
  expect(lastLine([result({ passed: 2 }), result({ passed: 3, failed: 1 })])).toBe("5 passed, 1 failed");
  expect(lastLine([result({ passed: 2, skipped: 4 })])).toBe("2 passed, 0 failed, 4 skipped");
});
