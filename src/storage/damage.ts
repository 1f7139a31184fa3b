import type { FileName } from "./disk.ts";

/**
 * A range of a file that does not hold what it should. Damage is data: it is listed, named to the operator and
 * repaired; nothing is deleted because of it.
 */
export interface Damage {
  readonly file: FileName;
  readonly offset: number;
  readonly length: number;
  /** One sentence for people. */
  readonly what: string;
  /** The room whose messages are affected, where that can still be told. */
  readonly room?: string;
  /** Its seqs that are affected: first and last. */
  readonly seqs?: readonly [number, number];
}
