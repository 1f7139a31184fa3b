import stringWidth from "string-width";
import { visibleText } from "../terminal/visible-text.ts";

/** A field of an answer, however deep; undefined where there is none. */
export function at(value: unknown, ...path: string[]): unknown {
  let found = value;
  for (const name of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return undefined;
    found = (found as Record<string, unknown>)[name];
  }
  return found;
}

/** For people: whatever a stranger put into it obeys nobody's terminal. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return "?";
  return visibleText(typeof value === "string" ? value : JSON.stringify(value));
}

/** Lines of columns that stand below one another; the first row is the head. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows)
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, stringWidth(cell));
  return rows.map((row) =>
    row
      .map((cell, at) => cell + " ".repeat(widths[at]! - stringWidth(cell)))
      .join("  ")
      .trimEnd(),
  );
}
