import { assert } from "../base/assert.ts";

/**
 * Leaves out of a failing schedule what it does not need in order to fail: first halves, then ever smaller parts, down
 * to single items (delta debugging, Zeller and Hildebrandt 2002). The result still fails, and, unless `triesMax` ended
 * the search, no single item can be left out of it. `fails` must answer the same for the same schedule.
 */
export async function shrink<Item>(
  schedule: readonly Item[],
  fails: (candidate: readonly Item[]) => boolean | Promise<boolean>,
  options: { readonly triesMax?: number } = {},
): Promise<readonly Item[]> {
  assert(await fails(schedule), "the schedule does not fail");
  let triesLeft = options.triesMax ?? 1_000;
  let kept = schedule;
  let parts = 2;
  while (kept.length > 0 && triesLeft > 0) {
    const size = Math.ceil(kept.length / parts);
    let shorter: readonly Item[] | null = null;
    for (let from = 0; from < kept.length && shorter === null && triesLeft > 0; from += size) {
      const candidate = [...kept.slice(0, from), ...kept.slice(from + size)];
      triesLeft--;
      if (await fails(candidate)) shorter = candidate;
    }
    if (shorter !== null) {
      kept = shorter;
      parts = Math.max(2, parts - 1);
    } else if (size === 1) {
      break;
    } else {
      parts = Math.min(kept.length, parts * 2);
    }
  }
  return kept;
}
