import { type Day, day, type Timestamp, timestamp } from "../base/units.ts";

/**
 * Days of one time zone. Only the orderer asks: the answer is written into the entry, so servers whose zone data
 * differ still agree. A day is looked up once and then known by its borders.
 */
export interface Calendar {
  readonly zone: string;
  dayOf(ts: Timestamp): Day;
  /** The first instant after `ts` that belongs to a later day. */
  nextDayAt(ts: Timestamp): Timestamp;
}

/** Says whether the platform knows the zone. */
export function isTimeZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: zone });
    return true;
  } catch (cause) {
    if (cause instanceof RangeError) return false;
    throw cause;
  }
}

/** A zone's days, from the platform's zone data. Throws RangeError for an unknown zone. */
export function calendar(zone: string): Calendar {
  const format = new Intl.DateTimeFormat("en-US-u-ca-gregory", {
    timeZone: zone,
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
  });
  const lookUp = (ts: number): number => {
    let year = 0;
    let month = 0;
    let date = 0;
    for (const part of format.formatToParts(ts)) {
      if (part.type === "year") year = Number(part.value);
      if (part.type === "month") month = Number(part.value);
      if (part.type === "day") date = Number(part.value);
    }
    return year * 10_000 + month * 100 + date;
  };
  let known = { from: 0, to: 0, day: 0 };
  const find = (ts: number): typeof known => {
    if (ts >= known.from && ts < known.to) return known;
    const today = lookUp(ts);
    known = { from: border(ts, today, -1, lookUp), to: border(ts, today, 1, lookUp), day: today };
    return known;
  };
  return {
    zone,
    dayOf: (ts) => day(find(ts).day),
    nextDayAt: (ts) => timestamp(find(ts).to),
  };
}

const hourMs = 3_600_000;

/**
 * Where the day that `ts` lies in ends (`way` 1: the first instant after it) or begins (`way` -1: its first instant).
 * A day has up to 25 hours where clocks are set back, and zones shift by minutes, so the border is searched for by
 * halving, not computed.
 */
function border(ts: number, today: number, way: 1 | -1, lookUp: (ts: number) => number): number {
  let inside = ts;
  let outside = ts + way * hourMs;
  while (lookUp(outside) === today) {
    inside = outside;
    outside += way * hourMs;
    if (outside < 0) return 0;
  }
  while (Math.abs(outside - inside) > 1) {
    const middle = Math.floor((inside + outside) / 2);
    if (lookUp(middle) === today) inside = middle;
    else outside = middle;
  }
  return way === 1 ? outside : inside;
}
