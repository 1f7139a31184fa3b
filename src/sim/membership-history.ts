import type { AnomalyList } from "./anomaly.ts";

/** What a change, once made, does to a user: `join` leaves outside whoever is outside of a private room. */
export type MembershipWay = "in" | "out" | "join";

/**
 * How a change ended. `over`: refused or failed; made or not, it is not made any more. `unknown`: nobody answered, or on
 * another connection; an attempt may still be on its way, and be made at any time.
 */
export type MembershipOutcome = "done" | "over" | "unknown";

export interface MembershipChange {
  readonly way: MembershipWay;
  readonly room: string;
  readonly user: string;
  readonly invokedAt: number;
}

/** What is certain of one user and one room. Times are places in the order of everything that was recorded. */
interface Standing {
  readonly user: string;
  /** Changes under way, those that never ended included. */
  comings: number;
  goings: number;
  lastComingEndedAt: number;
  lastGoingEndedAt: number;
  /** A member without doubt since then; null when it may be otherwise. */
  insideSince: number | null;
  outsideSince: number | null;
}

/**
 * Who may see a private room, as far as it is certain from the changes that were asked for and how they ended: what a
 * change does, it does between its call and its end.
 *
 * 1. outside: a going was done, every coming had ended before it was asked for, and none was asked for since
 * 2. inside: the same the other way round
 * 3. whoever is outside since before a question was asked, or a message was sent, is given no answer and not the message
 * 4. whoever is inside since before that is not told that there is no such room, nor that they are no member
 */
export class MembershipHistory {
  readonly #found: AnomalyList;
  /** By room, then by user. */
  readonly #rooms = new Map<string, Map<string, Standing>>();
  /** How often somebody who was outside for certain was refused. */
  outsidersRefused = 0;

  constructor(found: AnomalyList) {
    this.#found = found;
  }

  begun(change: MembershipChange): void {
    const standing = this.#of(change.room, change.user);
    if (change.way === "in") {
      standing.comings++;
      standing.outsideSince = null;
    } else if (change.way === "out") {
      standing.goings++;
      standing.insideSince = null;
    }
  }

  ended(change: MembershipChange, outcome: MembershipOutcome, now: number): void {
    const { way, room, user, invokedAt } = change;
    const standing = this.#of(room, user);
    if (outcome === "unknown") return;
    if (way === "in") {
      standing.comings--;
      standing.lastComingEndedAt = now;
    } else if (way === "out") {
      standing.goings--;
      standing.lastGoingEndedAt = now;
    }
    if (outcome !== "done") return;
    if (way === "out") {
      if (standing.comings === 0 && standing.lastComingEndedAt < invokedAt) standing.outsideSince ??= now;
    } else if (standing.goings === 0 && standing.lastGoingEndedAt < invokedAt) standing.insideSince ??= now;
  }

  /** A user was given something of a room, asked for or sent at `invokedAt`. */
  answered(given: { room: string; user: string; invokedAt: number; what: string }): void {
    const { outsideSince } = this.#of(given.room, given.user);
    if (outsideSince === null || given.invokedAt < outsideSince) return;
    this.#found.add("told an outsider", given.room, `${given.user}, outside since ${outsideSince}: ${given.what}`);
  }

  /** A user was told that there is no such room, or that they are no member, of what they asked at `invokedAt`. */
  refused(told: { room: string; user: string; invokedAt: number; what: string }): void {
    const { insideSince, outsideSince } = this.#of(told.room, told.user);
    if (outsideSince !== null && told.invokedAt > outsideSince) this.outsidersRefused++;
    if (insideSince === null || told.invokedAt < insideSince) return;
    this.#found.add("member shut out", told.room, `${told.user}, a member since ${insideSince}: ${told.what}`);
  }

  /** A page of members, asked for at `invokedAt`; `through`: the last name it covers, null for all. */
  listed(page: {
    room: string;
    invokedAt: number;
    members: readonly string[];
    through: string | null;
    reader: string;
  }): void {
    const { room, invokedAt, members, through, reader } = page;
    for (const { user, insideSince, outsideSince } of this.#rooms.get(room)?.values() ?? []) {
      const isListed = members.includes(user);
      if (isListed && outsideSince !== null && invokedAt > outsideSince) {
        this.#found.add("wrong members", room, `${reader} was told that ${user} is in, out since ${outsideSince}`);
      }
      const isCovered = through === null || user <= through;
      if (!isListed && isCovered && insideSince !== null && invokedAt > insideSince) {
        this.#found.add("wrong members", room, `${reader} was not told of ${user}, who is in since ${insideSince}`);
      }
    }
  }

  #of(room: string, user: string): Standing {
    let users = this.#rooms.get(room);
    if (users === undefined) this.#rooms.set(room, (users = new Map<string, Standing>()));
    let standing = users.get(user);
    if (standing === undefined) {
      standing = {
        user,
        comings: 0,
        goings: 0,
        lastComingEndedAt: 0,
        lastGoingEndedAt: 0,
        insideSince: null,
        outsideSince: null,
      };
      users.set(user, standing);
    }
    return standing;
  }
}
