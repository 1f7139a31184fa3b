import type { AnomalyList } from "./anomaly.ts";

/** How far one user said to have read one room, and what was told of it. */
export interface ReadMark {
  invoked: number;
  acknowledged: number;
  final: number | null;
}

/** Read marks: they never go back, are shown only as far as somebody set them, and are there in the end. */
export class ReadMarkHistory {
  readonly #found: AnomalyList;
  readonly #marks = new Map<string, ReadMark>();
  readonly #shown = new Map<string, number>();

  constructor(found: AnomalyList) {
    this.#found = found;
  }

  of(room: string, user: string): ReadMark {
    const key = `${room}\n${user}`;
    let mark = this.#marks.get(key);
    if (mark === undefined) {
      mark = { invoked: 0, acknowledged: 0, final: null };
      this.#marks.set(key, mark);
    }
    return mark;
  }

  shown(shown: { readonly client: string; readonly user: string; readonly room: string; readonly seq: number }): void {
    const { client, user, room, seq } = shown;
    const mark = this.of(room, user);
    const key = `${client}\n${room}\n${user}`;
    const before = this.#shown.get(key) ?? 0;
    if (seq < before) {
      this.#found.add("read mark regressed", room, `${client} was shown ${before}, then ${seq}, of ${user}`);
    }
    if (seq > mark.invoked) {
      this.#found.add(
        "unexpected read mark",
        room,
        `${client} was shown ${seq} of ${user}, who marked at most ${mark.invoked}`,
      );
    }
    this.#shown.set(key, Math.max(before, seq));
  }

  finish(): void {
    for (const [key, mark] of this.#marks) {
      if (mark.final === null) continue;
      const [room = "", user = ""] = key.split("\n");
      if (mark.final < mark.acknowledged) {
        this.#found.add("lost read mark", room, `${user} marked ${mark.acknowledged}; at the end it is ${mark.final}`);
      }
      if (mark.final > mark.invoked) {
        this.#found.add(
          "unexpected read mark",
          room,
          `${user} marked at most ${mark.invoked}; at the end it is ${mark.final}`,
        );
      }
    }
  }
}
