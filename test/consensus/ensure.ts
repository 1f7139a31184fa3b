/** Ends the run with what must not be. */
export function ensure(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant: ${what}`);
}
