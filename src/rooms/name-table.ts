import { sameBytes } from "./byte-hash.ts";

/** What a table of names holds: a thing with a name in bytes and that name's hash. */
export interface Named {
  readonly name: string;
  readonly nameBytes: Uint8Array;
  readonly nameHash: number;
}

/**
 * Things found by the bytes of their name, where the bytes stand in a record: no string is made to look one up.
 * Open addressing with linear probing; at most half full. The order in the table says nothing and must not decide
 * anything: `at` counts in the order of adding, and `sorted` in that of the names.
 */
export class NameTable<T extends Named> {
  #slots: (T | undefined)[] = new Array<T | undefined>(8).fill(undefined);
  /** In the order of adding. */
  #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** The thing at this place, from 0, in the order of adding: the same everywhere when the log decides what is added. */
  at(place: number): T {
    return this.#items[place]!;
  }

  /** The thing whose name stands in `b` from `start` on, `length` bytes with this hash. */
  find(b: Uint8Array, start: number, length: number, hash: number): T | undefined {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const item = slots[i];
      if (item === undefined) return undefined;
      if (item.nameHash === hash && sameBytes(item.nameBytes, b, start, length)) return item;
    }
  }

  /** Adds a thing whose name is not in the table. */
  add(item: T): void {
    if ((this.#items.length + 1) * 2 > this.#slots.length) this.#grow();
    this.#place(item);
    this.#items.push(item);
  }

  /** Takes out a thing that is in the table. */
  remove(item: T): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = item.nameHash & mask;
    while (slots[hole] !== item) hole = (hole + 1) & mask;
    // What stands behind moves up, so that every search still meets it before it meets a hole (Knuth 6.4, algorithm R).
    for (let i = (hole + 1) & mask; ; i = (i + 1) & mask) {
      const next = slots[i];
      if (next === undefined) break;
      const home = next.nameHash & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slots[hole] = next;
      hole = i;
    }
    slots[hole] = undefined;
    this.#items.splice(this.#items.indexOf(item), 1);
  }

  clear(): void {
    this.#slots = new Array<T | undefined>(8).fill(undefined);
    this.#items = [];
  }

  /** All things, in the order of adding. */
  [Symbol.iterator](): IterableIterator<T> {
    return this.#items.values();
  }

  /** All things in the order of their names' UTF-16 units: the same everywhere, and many times faster than that of bytes. */
  sorted(): T[] {
    return [...this.#items].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #place(item: T): void {
    const mask = this.#slots.length - 1;
    let i = item.nameHash & mask;
    while (this.#slots[i] !== undefined) i = (i + 1) & mask;
    this.#slots[i] = item;
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Array<T | undefined>(before.length * 2).fill(undefined);
    for (const item of before) if (item !== undefined) this.#place(item);
  }
}
