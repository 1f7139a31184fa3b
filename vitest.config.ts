import { relative } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { longestFirst, stages, testFilesOf } from "./scripts/stages.mjs";

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return longestFirst(await super.sort(files), ({ moduleId }) => relative(import.meta.dirname, moduleId));
  }
}

export default defineConfig({
  test: {
    // A test left focused or a suite that found nothing must not look like success.
    allowOnly: false,
    passWithNoTests: false,
    sequence: { sequencer: LongestFirst },
    // What a failing test compared is worth reading whole.
    chaiConfig: { truncateThreshold: 400 },
    projects: stages.map((stage) => {
      const { include, exclude } = testFilesOf(stage);
      return {
        extends: true as const,
        test: {
          name: stage.name,
          root: import.meta.dirname,
          environment: "node",
          isolate: stage.isolate,
          include,
          exclude: ["node_modules/**", "dist/**", ...exclude],
          testTimeout: stage.testTimeoutMs,
          hookTimeout: stage.testTimeoutMs,
        },
      };
    }),
  },
});
