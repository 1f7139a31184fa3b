/** Lines of a Markdown table. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(" | ")} |`,
  `| ${head.map(() => "---").join(" | ")} |`,
  ...rows.map((cells) => `| ${cells.join(" | ")} |`),
];

/** Whole numbers with thin groups: 1,234,567. */
export const count = (value: number | null): string =>
  value === null ? "" : Math.round(value).toLocaleString("en-US");

/** Three digits that count. */
export const short = (value: number | null): string =>
  value === null ? "" : value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
