import type { Language } from "./texts.ts";

const locales = { en: undefined, zh: "zh-CN" } as const;
type Style = "time" | "day";
const formats = new Map<string, Intl.DateTimeFormat>();

function format(style: Style, language: Language): Intl.DateTimeFormat {
  const key = `${style} ${language}`;
  const known = formats.get(key);
  if (known !== undefined) return known;
  const options: Intl.DateTimeFormatOptions =
    style === "time"
      ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
      : { year: "numeric", month: "long", day: "numeric", weekday: "short" };
  // English without a country: the day as the browser's owner writes it would mix languages.
  const made = new Intl.DateTimeFormat(locales[language] ?? "en-GB", options);
  formats.set(key, made);
  return made;
}

/** Hours and minutes in the reader's own time zone. */
export const clockTime = (ts: number, language: Language): string => format("time", language).format(ts);

export const dayName = (ts: number, language: Language): string => format("day", language).format(ts);

/** Whether both are of one day in the reader's own time zone. */
export function isSameDay(a: number, b: number): boolean {
  const one = new Date(a);
  const other = new Date(b);
  return one.getDate() === other.getDate() && Math.abs(a - b) < 2 * 86_400_000;
}
