import type { Clock } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { beginNewLife, type Identity } from "../storage/data-directory.ts";
import type { Disk } from "../storage/disk.ts";
import type { Log } from "./log.ts";
import type { PeerGround } from "./peers.ts";
import type { PromisesLost } from "./data-refused.ts";
import { SilentMember } from "./silent-member.ts";

/** The data directory of a member, which nobody uses, and how the others are reached. */
export interface AnotherLifeGround {
  readonly identity: Identity;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly peers: PeerGround;
  /** Streams of other servers are to go to this one from now on; null: to nobody any more. */
  onSilent(member: SilentMember | null): void;
  /** The wait is over: what this rejects with ends it, and nothing was changed. @defaultValue never */
  readonly interrupted?: Promise<never>;
}

/**
 * What becomes of a member that can't tell any more what it has promised: it waits until the others are a quorum without it,
 * and then its directory is made another life of it, that has promised nothing. Everything that was there is kept, in
 * quarantine. Settles with the identity to start with; a leader takes it in, and the former life out, by itself.
 */
export async function anotherLife(lost: PromisesLost, ground: AnotherLifeGround): Promise<Identity> {
  const { identity, disk, clock, random, log, peers } = ground;
  const { node, incarnation, cluster } = identity;
  for (const damage of lost.damage) log.error("member.damaged", { ...damage });
  log.error("member.silent", { because: lost.because, incarnation });
  const silent = new SilentMember({ node, incarnation, cluster, clock, random, log, ground: peers });
  ground.onSilent(silent);
  try {
    const leader = await Promise.race([
      silent.proven,
      ...(ground.interrupted === undefined ? [] : [ground.interrupted]),
    ]);
    log.warn("member.not-needed", { ...leader });
  } finally {
    ground.onSilent(null);
    await silent.stop();
  }
  const { identity: next, moved } = await beginNewLife(identity, { disk, random, now: clock.wall() });
  log.warn("life.begun", { incarnation: next.incarnation, before: incarnation, because: lost.because, moved });
  return next;
}
