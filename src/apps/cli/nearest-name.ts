/** Longer names are not compared: nobody mistypes so much. */
const charactersMax = 64;

/** The name that was probably meant, or null when none is near. */
export function nearestName(given: string, names: Iterable<string>): string | null {
  if (given.length > charactersMax) return null;
  const wanted = given.toLowerCase();
  let nearest: string | null = null;
  // A third of the letters may be wrong, at least one.
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < least) [nearest, least] = [name, distance];
  }
  return nearest;
}

/** Letters to insert, remove, replace or swap with their neighbour (optimal string alignment). */
export function editDistance(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let row = 1; row <= one.length; row++) {
    const line = [row];
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1];
      let cost = Math.min(last[column]! + 1, line[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1);
      line.push(cost);
    }
    [beforeLast, last] = [last, line];
  }
  return last[other.length]!;
}
