import type { AnomalyList } from "./anomaly.ts";
import type { Known, RoomHistory, SeenMessage } from "./room-history.ts";
import type { HistoryRequest } from "./sim-client.ts";

export interface HistoryQuestion extends HistoryRequest {
  readonly at: number;
  readonly client: string;
  /** Who asks, where that may make a difference. */
  readonly user?: string;
  /** The highest place that its library had shown or acknowledged to this client by then. @defaultValue 0 */
  readonly known?: number;
}

export interface LookupQuestion {
  readonly at: number;
  readonly client: string;
  /** Who asks, where that may make a difference. */
  readonly user?: string;
  readonly room: string;
  readonly from: string;
  readonly cid: string;
}

export interface PageAnswer {
  readonly items: readonly SeenMessage[];
  readonly first: number;
  readonly head: number;
}

interface AbsenceClaim {
  readonly history: RoomHistory;
  readonly from: string;
  readonly cid: string;
  readonly head: number;
}

interface PlaceClaim {
  readonly history: RoomHistory;
  readonly known: Known;
  readonly seq: number;
  readonly name: string;
}

/**
 * Pages of history and lookups: what their answers say must fit what was acknowledged before they were asked, and what
 * everybody reads until the end.
 */
export class Questions {
  readonly #found: AnomalyList;
  readonly #absences: AbsenceClaim[] = [];
  readonly #placesTold: PlaceClaim[] = [];

  constructor(found: AnomalyList) {
    this.#found = found;
  }

  /** `floor`: the highest place acknowledged before the question. */
  page(
    asked: { readonly history: RoomHistory; readonly question: HistoryQuestion; readonly floor: number },
    answer: PageAnswer,
  ): void {
    const { history, question, floor } = asked;
    const { items, first, head } = answer;
    const name = `${question.client} (history)`;
    history.begins(first, name);
    history.head(head, name);
    this.#checkFloor({ history, name, head, floor: question.linearizable ? floor : 0, atLeast: question.atLeast ?? 0 });
    const { known = 0 } = question;
    if (head < known) {
      this.#found.add("stale session read", history.room, `${name} knew ${known} and was answered head ${head}`);
    }
    for (let at = 0; at < items.length; at++) {
      history.see(items[at]!, name);
      const { seq } = items[at]!;
      const before = at === 0 ? seq - 1 : items[at - 1]!.seq;
      if (seq <= before) this.#found.add("nonmonotonic poll", history.room, `${name}: ${seq} follows ${before}`);
      else if (seq !== before + 1) history.jumped({ reader: name, from: before, to: seq });
    }
    if (question.after !== undefined) {
      const from = Math.max(question.after, first - 1);
      const begins = items[0]?.seq ?? Math.max(head, from) + 1;
      if (begins > from + 1) history.jumped({ reader: name, from, to: begins });
      else if (begins <= from)
        this.#found.add(
          "nonmonotonic poll",
          history.room,
          `${name} asked after ${question.after}, was given ${begins}`,
        );
    }
    if (question.before !== undefined) {
      const to = Math.min(question.before, head + 1);
      const ends = items.at(-1)?.seq ?? Math.min(first - 1, to - 1);
      if (ends < to - 1) history.jumped({ reader: name, from: ends, to });
      else if (ends >= question.before)
        this.#found.add(
          "nonmonotonic poll",
          history.room,
          `${name} asked before ${question.before}, was given ${ends}`,
        );
    }
  }

  /** `floor` as for a page; `seq`: the place acknowledged before the question, 0 if none. */
  lookup(
    asked: {
      readonly history: RoomHistory;
      readonly question: LookupQuestion;
      readonly floor: number;
      readonly seq: number;
    },
    answer: { readonly seq: number | null; readonly head: number },
  ): void {
    const { history, question, floor, seq } = asked;
    const { from, cid } = question;
    const name = `${question.client} (lookup of ${from}/${cid})`;
    history.head(answer.head, name);
    this.#checkFloor({ history, name, head: answer.head, floor, atLeast: 0 });
    if (answer.seq === null) {
      if (seq >= history.removableBelow)
        this.#found.add("false absence", history.room, `${name}: none; ${seq} was acknowledged before`);
      else this.#absences.push({ history, from, cid, head: answer.head });
      return;
    }
    const known = history.known(from, cid);
    if (known === undefined)
      this.#found.add("unexpected", history.room, `${name}: ${answer.seq}, which nobody had sent`);
    else if (seq >= history.removableBelow && seq !== answer.seq) {
      this.#found.add("acknowledgement disagrees", history.room, `${name}: ${answer.seq}; ${seq} was acknowledged`);
    } else {
      this.#placesTold.push({ history, known, seq: answer.seq, name });
    }
  }

  /** The checks that need the whole history: call it behind that of the rooms. */
  finish(): void {
    for (const { history, from, cid, head } of this.#absences) {
      const known = history.known(from, cid);
      const seq = known === undefined ? 0 : known.seenSeq || (known.acknowledged?.seq ?? 0);
      if (seq !== 0 && seq <= head && seq >= history.removableBelow) {
        this.#found.add("false absence", history.room, `${from}/${cid} was denied up to ${head} and stands at ${seq}`);
      }
    }
    for (const { history, known, seq, name } of this.#placesTold) {
      const place = known.seenSeq || (known.acknowledged?.seq ?? seq);
      if (place !== seq && !known.wasForgotten)
        this.#found.add("acknowledgement disagrees", history.room, `${name}: ${seq}; it stands at ${place}`);
    }
  }

  #checkFloor(answer: { history: RoomHistory; name: string; head: number; floor: number; atLeast: number }): void {
    const { history, name, head, floor, atLeast } = answer;
    if (head < floor) {
      this.#found.add(
        "stale linearizable read",
        history.room,
        `${name} was answered head ${head}; ${floor} was acknowledged before`,
      );
    }
    if (head < atLeast) {
      this.#found.add(
        "broken atLeast",
        history.room,
        `${name} asked for at least ${atLeast} and was answered head ${head}`,
      );
    }
  }
}
