import { InvalidArgumentError } from "commander";

/** An argument that is a whole number; anything else is refused with a sentence, and so below. */
export function whole(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(text);
}

export function wholeBelow(bound: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d{1,10}$/.test(text) || value >= bound) {
      throw new InvalidArgumentError(`It must be a whole number below ${bound}.`);
    }
    return value;
  };
}

export function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d{1,6}(\.\d{1,3})?$/.test(text) || value === 0)
    throw new InvalidArgumentError("It must be a number of seconds.");
  return value;
}
