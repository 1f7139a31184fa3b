import { assert } from "../../base/assert.ts";
import type { Entry } from "../../base/entry.ts";
import { type LogIndex, logIndex, type Term, term } from "../../base/ids.ts";
import type { Append, CommitNotice, Snapshot, SnapshotOffer } from "../messages.ts";
import type { ReplicaId } from "../replica.ts";
import type { ReplicationOptions } from "./replication-options.ts";

/**
 * The follower's side of replication: takes what the leader of a term sends, and says what it has.
 *
 * 1. entries are truncated only where the leader's are of another term, never because a message is shorter or older
 * 2. only what agrees with this leader's log and is durable is acknowledged, after the term itself is durable
 * 3. what is committed is known to agree: commit <= verified
 * 4. damaged entries are replaced in their place by the same ones, and never cut off
 */
export class Following {
  readonly #options: ReplicationOptions;
  #leader: { replica: ReplicaId; term: Term; session: LogIndex } | null = null;
  /** Up to here the log is known to be the leader's. */
  #verified = logIndex(0);
  /** Something was asked that is answered when the disk has it. */
  #owesAck = false;
  #acknowledged = -1;
  /** Until this write is durable nothing is acknowledged: a snapshot takes the place of damaged entries with it. */
  #heldUntil = 0;
  /** The snapshot that was asked for. */
  #wanted: Snapshot | null = null;
  #repairs: { ticket: number; entries: readonly Entry[] }[] = [];

  constructor(options: ReplicationOptions) {
    this.#options = options;
  }

  /** `termTicket`: nothing of this term may be acknowledged before it is durable. */
  append(message: Append, termTicket: number): void {
    this.#follow(message.from, message.term, message.session);
    const { log } = this.#options;
    const { previousIndex, previousTerm, entries } = message;
    // Whatever is committed here is in every later leader's log: no need, and below the base no way, to compare.
    const isBehindCommit = previousIndex < log.commit;
    if (!isBehindCommit && log.termAt(previousIndex) !== previousTerm) {
      this.#refuse(message);
      return;
    }
    const from = isBehindCommit ? Math.min(entries.length, log.commit - previousIndex) : 0;
    const last = this.#take(entries, from, logIndex(previousIndex + entries.length));
    if (last > this.#verified) this.#verified = last;
    this.#commitThrough(message.commit);
    this.#owesAck = true;
    this.#acknowledged = -1;
    this.#acknowledge(termTicket, last);
  }

  committed(message: CommitNotice, termTicket: number): void {
    this.#follow(message.from, message.term, message.session);
    this.#commitThrough(message.commit);
    if (!message.answer) return;
    this.#owesAck = true;
    this.#acknowledged = -1;
    this.#acknowledge(termTicket, logIndex(0));
  }

  /** The leader's log begins behind what is needed next. */
  offered(message: SnapshotOffer, termTicket: number): void {
    this.#follow(message.from, message.term, message.session);
    const { log } = this.#options;
    const { snapshot } = message;
    const isHere = log.termAt(snapshot.index) === snapshot.term && log.damage.first > snapshot.index;
    if (snapshot.index <= log.commit || isHere) {
      // It is here already: up to there the log is the leader's, for a snapshot is of committed entries.
      this.#verified = logIndex(Math.max(this.#verified, Math.min(snapshot.index, log.lastIndex)));
      this.#commitThrough(snapshot.index);
      this.#owesAck = true;
      this.#acknowledged = -1;
      this.#acknowledge(termTicket, logIndex(0));
      return;
    }
    this.wants(snapshot, message.from);
  }

  /** A snapshot of committed entries would help, whoever has it. */
  wants(snapshot: Snapshot, from: ReplicaId): void {
    if (snapshot.index <= this.#options.log.commit) return;
    if (this.#wanted !== null && this.#wanted.index >= snapshot.index) return;
    this.#wanted = snapshot;
    this.#options.effects.push({ type: "snapshot-wanted", snapshot, from });
  }

  /**
   * The state behind `snapshot.index` is here; `joins` is what the chain says of the entry behind it. Answers whether
   * the log begins behind it now.
   */
  received(snapshot: Snapshot, joins: boolean | null): boolean {
    const { log, history, effects } = this.#options;
    this.#wanted = null;
    if (snapshot.index <= log.commit) return false;
    const keepsLog = this.#joins(snapshot, joins);
    if (keepsLog === null) return false;
    const ticket = effects.nextTicket();
    this.#heldUntil = ticket;
    effects.push({ type: "install-snapshot", snapshot, keepsLog, ticket });
    if (keepsLog) {
      log.damage.released(snapshot.index);
      log.commitThrough(snapshot.index);
      log.compact(snapshot.index, snapshot.term);
      history.rebased({ index: snapshot.configurationIndex, configuration: snapshot.configuration }, snapshot.index);
    } else {
      log.restore(snapshot.index, snapshot.term, ticket);
      history.restored({ index: snapshot.configurationIndex, configuration: snapshot.configuration });
      this.#repairs = [];
    }
    this.#verified = logIndex(Math.max(snapshot.index, Math.min(this.#verified, log.lastIndex)));
    this.#owesAck = this.#leader !== null;
    this.#acknowledged = -1;
    return true;
  }

  /**
   * Whether the log goes on behind a snapshot's place with what stands there: entries behind it may have been
   * acknowledged, so they are let go only when they are known to be another branch. Null while nobody knows.
   */
  #joins({ index, term: ofTerm }: Snapshot, joins: boolean | null): boolean | null {
    const { log } = this.#options;
    if (!log.damage.holds(index)) return log.termAt(index) === ofTerm;
    // What is damaged behind it stays so, and its repair will show where it belongs.
    return log.damage.holds(index + 1) ? true : joins;
  }

  /** The snapshot can't be had now; the next offer asks for it again. */
  failed(): void {
    this.#wanted = null;
  }

  /** The term is another one: whom this replica followed has nothing to be told any more. */
  termChanged(): void {
    this.#leader = null;
    this.#owesAck = false;
  }

  /** Something was flushed. Answers whether the last damaged entry is sound again. */
  flushed(termTicket: number): boolean {
    const { log, effects } = this.#options;
    const wasDamaged = log.damage.first < Infinity;
    while (this.#repairs.length > 0 && this.#repairs[0]!.ticket <= effects.durable) {
      const { entries } = this.#repairs.shift()!;
      log.repaired(entries);
      this.#options.history.repaired(entries);
    }
    this.#acknowledge(termTicket, null);
    return wasDamaged && log.damage.first === Infinity;
  }

  /**
   * Entries for the whole first damaged range. They may be another branch's; storage proves by the chain of what stands
   * behind them that they are the same, when it writes them.
   */
  repair(entries: readonly Entry[]): void {
    const { log, effects } = this.#options;
    const first = entries[0]!.index;
    assert(log.damage.holds(first) && log.damage.endOf(first) === entries.at(-1)!.index, "not a whole damaged range");
    if (this.#repairs.some((repair) => repair.entries[0]!.index === first)) return;
    const ticket = effects.nextTicket();
    this.#repairs.push({ ticket, entries });
    effects.push({ type: "repair", entries, ticket });
  }

  /**
   * Entries from the start of the first damaged range on, as the leader of `ofTerm` has them, sent for a repair. When
   * the last of them is of a later term than anything that can have stood there, what is damaged is a branch that this
   * leader's log has lost, and makes way as at any conflict. Answers whether it did.
   */
  replaceLost(from: ReplicaId, ofTerm: Term, entries: readonly Entry[]): boolean {
    const { log } = this.#options;
    const [first, last] = [entries[0]!, entries.at(-1)!];
    const isFromLeader = this.#leader?.replica === from && this.#leader.term === ofTerm;
    if (!isFromLeader || this.#verified < first.index - 1 || last.term <= log.termAtMost(last.index)) return false;
    this.#truncate(first.index);
    this.#append(entries);
    this.#verified = last.index;
    this.#owesAck = true;
    return true;
  }

  repairFailed(ticket: number): void {
    this.#repairs = this.#repairs.filter((repair) => repair.ticket !== ticket);
  }

  #follow(replica: ReplicaId, ofTerm: Term, session: LogIndex): void {
    if (this.#leader?.term === ofTerm && this.#leader.session === session) return;
    // What the last leader's log agreed with says nothing about this one's.
    if (this.#leader?.term !== ofTerm) this.#verified = this.#options.log.commit;
    this.#leader = { replica, term: ofTerm, session };
  }

  /**
   * Writes what is not in the log, from entry `from` on; what is of another term there goes first. Answers up to where
   * the log is the leader's now: `last`, unless the entries end where the log is damaged.
   */
  #take(entries: readonly Entry[], from: number, last: LogIndex): LogIndex {
    const { log } = this.#options;
    let at = from;
    // How many entries right before `at` stand in damaged places.
    let unproven = 0;
    for (; at < entries.length; at++) {
      const { index, term: ofTerm } = entries[at]!;
      if (index > log.lastIndex) break;
      const isDamaged = log.damage.holds(index);
      if (isDamaged ? ofTerm > log.termAtMost(index) : log.termAt(index) !== ofTerm) {
        // What is damaged right before a conflict may be of the same lost branch: it is written anew along with it.
        at -= unproven;
        this.#truncate(entries[at]!.index);
        break;
      }
      if (isDamaged) unproven++;
      // The same index and term: all before is the same too (Raft paper 5.3), the damaged entries included.
      else if (unproven > 0) {
        this.repair(entries.slice(at - unproven, at));
        unproven = 0;
      }
    }
    if (at === entries.length) return logIndex(last - unproven);
    this.#append(at === 0 ? entries : entries.slice(at));
    return last;
  }

  #truncate(from: LogIndex): void {
    const { log, history } = this.#options;
    assert(from > this.#verified, "the leader contradicts itself");
    log.truncate(from);
    history.truncated(from);
    this.#repairs = this.#repairs.filter(({ entries }) => entries.at(-1)!.index < from);
  }

  #append(entries: readonly Entry[]): void {
    const { log, history, effects } = this.#options;
    const ticket = effects.nextTicket();
    log.append(entries, ticket);
    history.noteAll(entries);
    effects.push({ type: "append", entries, ticket });
  }

  #commitThrough(told: LogIndex): void {
    const { log, effects } = this.#options;
    // A damaged entry can't be applied before it is repaired, whoever has decided it.
    const through = logIndex(Math.min(told, this.#verified, log.damage.first - 1));
    if (through <= log.commit) return;
    log.commitThrough(through);
    effects.push({ type: "committed", through });
  }

  /** Says what is durable and agrees, if somebody waits for it and it is `atLeast`, or more than was said before. */
  #acknowledge(termTicket: number, atLeast: LogIndex | null): void {
    const { log, effects, group, self } = this.#options;
    const leader = this.#leader;
    if (!this.#owesAck || leader === null || effects.durable < Math.max(termTicket, this.#heldUntil)) return;
    const matched = log.durable < this.#verified ? log.durable : this.#verified;
    if (atLeast === null ? matched <= this.#acknowledged : matched < atLeast && matched < log.damage.first - 1) return;
    this.#acknowledged = matched;
    this.#owesAck = matched < this.#verified;
    effects.send({
      type: "append-ack",
      group,
      from: self,
      to: leader.replica,
      term: leader.term,
      matched,
      commit: log.commit,
      session: leader.session,
    });
  }

  #refuse(message: Append): void {
    const { log, effects, group, self } = this.#options;
    const hintIndex = log.mayAgreeAt(message.previousIndex, message.previousTerm);
    effects.send({
      type: "append-refused",
      group,
      from: self,
      to: message.from,
      term: message.term,
      previousIndex: message.previousIndex,
      hintIndex,
      hintTerm: log.termAt(hintIndex) ?? term(0),
      session: message.session,
    });
  }
}
