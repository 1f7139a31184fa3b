import type { Schedule } from "../../src/sim/faults.ts";

export interface PinnedSeed {
  readonly seed: number;
  /** Virtual milliseconds of faults. @defaultValue 120000 */
  readonly forMs?: number;
  /** The part of the seed's faults that was enough; left out: what the seed draws. */
  readonly schedule?: Schedule;
  readonly taught: string;
}

/** Seeds that failed once, with what each taught. They run before any fresh one. */
export const pinnedSeeds: readonly PinnedSeed[] = [
  { seed: 5_050, taught: "a reader who was told that a room is not there yet has to ask again once it is" },
  { seed: 5_078, taught: "the same, when everybody else could make the room only after the healing" },
  {
    seed: 1_004,
    taught: "an id guards its message only as long as that is kept: afterwards it may say something else",
  },
  { seed: 20_064, taught: "the same for the place that a lookup told before retention removed it" },
  {
    seed: 34_028_263,
    taught: "a send that was stored and removed by retention before its outcome was known is told as refused",
  },
  {
    seed: 64_663_564,
    taught: "sends stored, and removed by retention while their outcome was unknown, are stored anew in another order",
  },
  { seed: 64_663_626, taught: "a folder's names that could not be synced are not lost while the server goes on" },
  { seed: 64_663_618, taught: "retention between the two halves of a page around a place must not leave a hole in it" },
  { seed: 70_000_177, taught: "a client that sends a small server all it has, again and again, gets nowhere" },
  {
    seed: 771_019,
    taught: "who is let in, and reads, is not told the refusal of a question that was asked before",
  },
  { seed: 771_027, taught: "a message that was removed and stored anew has the time of its new place only" },
  { seed: 72_000_071, taught: "a removal heard late must not end the reading of who has been let in again" },
];
