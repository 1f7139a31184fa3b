import type { Clock } from "../base/clock.ts";
import type { NodeName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Random } from "../base/random.ts";
import type { ChunkBuilder } from "../storage/chunk/chunk-builder.ts";
import type { Disk } from "../storage/disk.ts";
import type { SnapshotOwner } from "../storage/snapshot-file.ts";
import type { Engine } from "../topology/engine.ts";
import type { Log } from "./log.ts";
import type { PeerGround } from "./peers.ts";

/** What a server is started with from below: the disk, time, chance, and whose data it is. */
export interface Ground {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly limits: Limits;
  readonly node: NodeName;
  readonly owner: SnapshotOwner;
  /** Go on without what is damaged. It is moved aside, and rooms get another line. */
  readonly acceptLoss: boolean;
  /** Rooms that are open to all when the state has to be rebuilt without knowing which were. @defaultValue none */
  readonly openRooms?: ReadonlySet<string>;
  /** The directory is an older copy: numbers given out since are given out again, so rooms get another line. @defaultValue false */
  readonly restored?: boolean;
  /** When a batch of the journal is written; 0 and 0 = at once, as soon as the disk is free. */
  readonly flush: { readonly afterMs: number; readonly afterBytes: number };
  /** Who builds large chunks; left out: this thread does, in slices. */
  readonly chunkBuilder?: ChunkBuilder | undefined;
  /** How other servers are reached; left out: there are none, and none ever comes. */
  readonly peers?: PeerGround | undefined;
  /** The directory was made to join a cluster that others had founded. @defaultValue false */
  readonly joined?: boolean;
  /** Stands before the engine and is asked in its place, for whoever watches it; left out: nobody does. */
  readonly watch?: ((engine: Engine) => Engine) | undefined;
}
