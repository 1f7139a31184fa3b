import type { Damage } from "../damage.ts";

/** Thrown where wrong or missing bytes of a chunk would otherwise have been served, or taken for "not found". */
export class ChunkDamage extends Error {
  override readonly name = "ChunkDamage";
  readonly damage: Damage;

  constructor(damage: Damage) {
    super(`${damage.file}, bytes ${damage.offset} to ${damage.offset + damage.length}: ${damage.what}`);
    this.damage = damage;
  }
}
