/**
 * `npm run campaign -- error-sweep [--part=1/4] [--seed=1]`: every error at every call of a whole server's story, once and
 * from there on. The short form of the same sweep is part of `npm test` (test/damage/server-errors.test.ts).
 */
import { sweep } from "./crash-sweep.mjs";

export const flags = ["part", "seed"];

/**
 * @param {Record<string, string>} args
 * @returns {Promise<{ counts: Record<string, number | string> }>}
 */
export async function run({ seed = "1", part = "1/1" }) {
  const settings = { SYNOD_SEED: seed, SYNOD_PART: part };
  const { counts } = await sweep("test/damage/server-errors.test.ts", settings);
  return { counts: { part, ...counts } };
}
