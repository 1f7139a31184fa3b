import type { Schedule } from "../../src/sim/faults.ts";

export interface PinnedSeed {
  readonly seed: number;
  /** @defaultValue 1: it is alone */
  readonly servers?: 3 | 5;
  /** Virtual milliseconds of faults. @defaultValue 120000, or 300000 where there are several servers */
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
  { seed: 208, servers: 5, taught: "a stop must not wait for a successor who finds too few votes" },
  { seed: 306, servers: 3, taught: "a vote that a start copied must outlive the segment it was copied to" },
  { seed: 302, servers: 3, taught: "read marks may go back where a client moves to a server that lags" },
  { seed: 3_025, servers: 3, taught: "a read mark is cut to what is committed, not to what a lagging server has" },
  { seed: 5_005, servers: 3, taught: "a local answer of a server that lags is as of before somebody was put out" },
  {
    seed: 19_769_935,
    servers: 3,
    schedule: [],
    taught: "the oracle hears what retention may have removed before it judges the answer to a send",
  },
  { seed: 511, servers: 3, taught: "what a client was given on one server it must find on the next" },
  {
    seed: 16_416_815,
    servers: 5,
    taught:
      "who was cut off for long waits longer than a request may take: nobody made the rooms, and nobody asked again",
  },
  {
    seed: 283_654,
    servers: 3,
    taught:
      "that a message before was removed by retention is no reason to leave a server, nor to wait as for one in trouble",
  },
  {
    seed: 12_066_353,
    servers: 3,
    taught: "who has had all that there was, and is silent now, is nobody to stay with when another is removed",
  },
];
