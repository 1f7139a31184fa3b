/**
 * Thrown when the program itself is wrong. Nobody catches it to go on: the process stops, because a restart is safe
 * and a corrupted room is not.
 */
export class AssertionFailure extends Error {
  override readonly name = "AssertionFailure";
}

/** States what must hold here. Always on, in production too. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new AssertionFailure(what);
}

/**
 * The same for what is looked at with every message: `if (…) broken(…)` puts the words together only where it does not hold.
 * Measured: a number made part of a text that nobody reads costs half a microsecond.
 */
export function broken(what: string): never {
  throw new AssertionFailure(what);
}

/** Ends a `switch` over a union, so that a new member shows every place that must think about it. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`unreachable: ${JSON.stringify(value)}`);
}
