/** Chance, as the outside gives it. Seeded by whoever starts the world. */
export interface Random {
  /** A whole number in [0, below). `below` is at most 2^32. */
  whole(below: number): number;
  /** `count` random bytes. In production from the operating system's generator, fit for ids that must not be guessed. */
  bytes(count: number): Uint8Array;
}

/** Hex of `count` random bytes. */
export function randomHex(random: Random, count: number): string {
  let text = "";
  for (const byte of random.bytes(count)) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** A number in [0, 1) with 32 bits of chance. */
export function fraction(random: Random): number {
  return random.whole(0x1_0000_0000) / 0x1_0000_0000;
}

/**
 * A generator that gives the same numbers for the same seed, on every platform. For the simulator and for tests;
 * never for ids in production. The algorithm is sfc32 (Chris Doty-Humphrey, PractRand), its state filled by
 * splitmix32 from the seed.
 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const split = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = split();
  let b = split();
  let c = split();
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let round = 0; round < 12; round++) next();
  return {
    // The multiply-shift keeps every value equally likely to within 2^-32 × below, enough for a simulator.
    whole: (below) => Math.floor((next() / 0x1_0000_0000) * below),
    bytes: (count) => {
      const out = new Uint8Array(count);
      for (let i = 0; i < count; i++) out[i] = next() & 0xff;
      return out;
    },
  };
}
