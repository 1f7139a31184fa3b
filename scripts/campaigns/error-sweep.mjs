/**
 * `npm run campaign -- error-sweep`: every error at every call of a whole server's story, once and from there on. The
 * short form of the same sweep is part of `npm test` (test/damage/server-errors.test.ts).
 */
import { sweep } from "./crash-sweep.mjs";

/**
 * @param {Record<string, string>} args
 * @returns {{ counts: Record<string, number> }}
 */
export function run({ seed = "1" }) {
  return sweep("test/damage/server-errors.test.ts", seed);
}
