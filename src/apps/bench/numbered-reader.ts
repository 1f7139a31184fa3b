import type { FanOutMeter } from "./fan-out-load.ts";

/** One reader: every number must be the one after the last. */
export class NumberedReader {
  private readonly meter: FanOutMeter;
  private expected = 1;

  constructor(meter: FanOutMeter) {
    this.meter = meter;
  }

  /** Answers whether it was this one's turn. */
  got(number: number): boolean {
    if (number !== this.expected) {
      this.meter.errors.add(`a reader got ${number} instead of ${this.expected}`);
      return false;
    }
    this.expected += 1;
    this.meter.arrived(number);
    return true;
  }
}
