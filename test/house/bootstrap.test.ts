import { expect, test } from "vitest";
import { checkNodeVersion } from "../../scripts/bootstrap.mjs";

test("a Node that is too old is told so, with what to do", () => {
  for (const version of ["20.20.0", "20.20.2", "20.21.0", "22.0.0", "100.0.0"])
    expect(checkNodeVersion(version)).toBeUndefined();
  for (const version of ["20.19.9", "18.99.0", "9.0.0"]) {
    expect(() => checkNodeVersion(version)).toThrow(`needs Node 20.20.0 or newer, and this is Node ${version}`);
  }
});
