import { randomBytes, randomInt } from "node:crypto";

import type { Random } from "../../base/random.ts";

/** The operating system's generator, fit for ids that must not be guessed. */
export function nodeRandom(): Random {
  return {
    whole: (below) => randomInt(below),
    bytes: (count) => randomBytes(count),
  };
}
