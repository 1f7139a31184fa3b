import { BytePool } from "../base/byte-pool.ts";
import type { Clock, Timer } from "../base/clock.ts";
import type { UserName } from "../base/ids.ts";
import { millis } from "../base/units.ts";

/**
 * What the work of one frame is taken for besides its bytes. A message of 128 bytes costs three times its bytes' part of
 * what one of 1 KiB costs (see docs/benchmarks.md, "Publish").
 */
const frameCost = 512;
/** What is taken with one flush of those who have more than their share: about a millisecond of one core. */
const flushCost = 192 * 1024;
/** As much again is taken each time the flush has been waited for so long: a slow disk has larger batches. */
const refillMs = 3;
/** The smallest part of a flush: of two hundred who all have more, not all are served in each. */
const partCostMin = 1024;

/** A connection whose frames wait for a later turn. */
export interface SharedInput {
  /** Takes frames of this turn for so much, as long as its user's part lasts. */
  goOnSharing(cost: number): void;
}

/** What one user may still have taken in a turn, all connections together. Made when the first of them says something. */
export class UserShare {
  readonly user: UserName;
  connections = 0;
  /** The turn that `left` is of. */
  turn = -1;
  /** Below 0 when the last frame was larger than what was left: that comes off the next turns. */
  left = 0;
  /** Its connections that have more, in the order in which they are served. */
  readonly waiting: SharedInput[] = [];
  isQueued = false;

  constructor(user: UserName) {
    this.user = user;
  }
}

/** The commands that were gathered and have not gone out. */
export interface Gathered {
  readonly hasGathered: boolean;
}

/**
 * How turns are shared out: what somebody sends in one go, up to megabytes on many connections, comes into many turns and
 * many flushes; what another says once is in the next of them.
 *
 * 1. whoever has nothing waiting is taken in the turn in which it comes, up to a part
 * 2. those who have more wait, whatever the number of their connections, and are served in turns: each user gets an equal
 *    part, and each connection of a user an equal part of that; what a frame was larger than its part is owed
 * 3. all of these together get `flushCost` for each flush, and as much again for every `refillMs` that it takes
 * 4. everybody who waits is served some time: also when no batch ever goes out
 *
 * Frames of one connection keep their order: see `SessionInput`.
 */
export class InputShares {
  readonly #clock: Clock;
  readonly #gathered: Gathered;
  /** Where bytes are that wait. */
  readonly memory = new BytePool();
  readonly #users = new Map<UserName, UserShare>();
  #turn = 0;
  #isTurnOpen = false;
  /** Users with connections that wait. */
  readonly #queue: UserShare[] = [];
  /** Taken since the last batch went out. */
  #cost = 0;
  #since: number;
  #isServing = false;
  #timer: Timer | null = null;

  constructor(clock: Clock, gathered: Gathered) {
    this.#clock = clock;
    this.#gathered = gathered;
    this.#since = clock.now();
  }

  /** The share of a user, for one more connection. */
  join(user: UserName): UserShare {
    let share = this.#users.get(user);
    if (share === undefined) {
      share = new UserShare(user);
      this.#users.set(user, share);
    }
    share.connections++;
    return share;
  }

  /** One connection less. */
  leave(share: UserShare, input: SharedInput): void {
    const at = share.waiting.indexOf(input);
    if (at >= 0) share.waiting.splice(at, 1);
    if (--share.connections === 0) this.#users.delete(share.user);
  }

  /** Users that have said something and are connected. */
  get userCount(): number {
    return this.#users.size;
  }

  /** The number of this turn. */
  get turn(): number {
    if (!this.#isTurnOpen) this.#openTurn();
    return this.#turn;
  }

  // By itself: what has a closure allocates for it on every call, also where none is made.
  #openTurn(): void {
    this.#isTurnOpen = true;
    this.#clock.defer(() => this.#endTurn());
  }

  /** What a connection that does not wait may have taken in this turn: as much as is left of its user's part. */
  begin(share: UserShare): number {
    const { turn } = this;
    if (share.turn !== turn) {
      if (share.waiting.length > 0) return 0;
      this.#give(share, partOf(flushCost, this.#queue.length + 1), turn - share.turn);
    }
    return share.left;
  }

  /** A frame of so many bytes was taken. Answers its cost. */
  took(share: UserShare, bytes: number): number {
    const cost = bytes + frameCost;
    share.left -= cost;
    this.#cost += cost;
    return cost;
  }

  /** Is told to go on in a later turn, behind those who wait already. */
  wait(share: UserShare, input: SharedInput): void {
    share.waiting.push(input);
    this.#enqueue(share);
  }

  /** What was gathered has gone out: more is taken for the next flush. */
  gone(): void {
    this.#cost = 0;
    this.#since = this.#clock.now();
    if (this.#timer !== null) this.#serveLater();
  }

  #enqueue(share: UserShare): void {
    if (share.isQueued) return;
    share.isQueued = true;
    this.#queue.push(share);
    // The end of the turn looks who waits.
    void this.turn;
  }

  // What it owes comes off as many parts as it could have had.
  #give(share: UserShare, part: number, times: number): void {
    share.left = Math.min(part, Math.min(0, share.left) + part * times);
    share.turn = this.#turn;
  }

  // What was gathered in this turn is written at its end, and the sockets are read before the next ends: who waits goes on
  // behind both.
  #endTurn(): void {
    this.#isTurnOpen = false;
    this.#turn++;
    // What nothing came of is not waited for.
    if (!this.#gathered.hasGathered) this.#cost = 0;
    if (this.#queue.length > 0) this.#serveLater();
  }

  #serveLater(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#isServing) return;
    this.#isServing = true;
    this.#clock.defer(() => {
      this.#isServing = false;
      this.#serve();
    });
  }

  #serve(): void {
    const allowed = flushCost * (1 + (this.#clock.now() - this.#since) / refillMs);
    let left = allowed - this.#cost;
    if (left <= 0) {
      const waitMs = Math.max(1, Math.ceil((-left / flushCost) * refillMs));
      this.#timer = this.#clock.after(millis(waitMs), () => this.#serveLater());
      return;
    }
    const part = partOf(left, this.#queue.length);
    for (let users = this.#queue.length; users > 0 && left > 0; users--) {
      const share = this.#queue.shift()!;
      share.isQueued = false;
      this.#give(share, part, 1);
      left -= this.#serveUser(share);
      if (share.waiting.length > 0) this.#enqueue(share);
    }
  }

  /** Answers what was taken of it. Whoever was served is behind the user's others then. */
  #serveUser(share: UserShare): number {
    const { waiting, left } = share;
    const each = partOf(left, waiting.length);
    for (let inputs = waiting.length; inputs > 0 && share.left > 0; inputs--) waiting.shift()!.goOnSharing(each);
    return left - share.left;
  }
}

const partOf = (cost: number, among: number): number => Math.max(partCostMin, Math.floor(cost / among));
