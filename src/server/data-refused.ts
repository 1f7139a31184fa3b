import type { Damage } from "../storage/damage.ts";
import { type Loss, lossLines } from "./loss.ts";

/** The data is damaged, and only a person may decide to go on without what is missing. */
export class DataDamaged extends Error {
  override readonly name = "DataDamaged";
  readonly damage: readonly Damage[];
  readonly loss: Loss;

  constructor(damage: readonly Damage[], loss: Loss) {
    const lost = lossLines(loss).map((line) => `\n  ${line}`);
    super(
      `the data is damaged in ${damage.length} place(s):\n` +
        damage.map((one) => `  ${placeOf(one)}`).join("\n") +
        "\nRestore these files from a backup, or start once with --accept-loss to go on without them." +
        (lost.length === 0 ? "" : `\nGoing on without them would cost:${lost.join("")}`),
    );
    this.damage = damage;
    this.loss = loss;
  }
}

/**
 * A member of a cluster can't tell any more what it has promised to the others: votes, and entries that count on a quorum
 * only with it. It must not go on under its old name; `anotherLife` (another-life.ts) says what becomes of it.
 */
export class PromisesLost extends Error {
  override readonly name = "PromisesLost";
  readonly damage: readonly Damage[];
  readonly because: "damaged" | "restored";

  constructor(damage: readonly Damage[]) {
    const places = damage.map((one) => `\n  ${placeOf(one)}`).join("");
    super(
      damage.length === 0
        ? "this data directory is an older copy of a member of a cluster, which may have promised more since"
        : `the journal of a member of a cluster is damaged in ${damage.length} place(s):${places}`,
    );
    this.damage = damage;
    this.because = damage.length === 0 ? "restored" : "damaged";
  }
}

function placeOf({ file, offset, length, what }: Damage): string {
  return `${file}${length === 0 ? "" : ` bytes ${offset}…${offset + length}`}: ${what}`;
}
