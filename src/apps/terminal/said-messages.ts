import { unreachable } from "../../base/assert.ts";
import type { RoomName } from "../../base/ids.ts";
import type { SentMessage } from "../../client/sent-message.ts";
import type { Colours } from "./message-lines.ts";
import { placeOf } from "./place-of.ts";
import type { Screen } from "./screen.ts";
import { visibleText } from "./visible-text.ts";

/** Pending messages shown at once; the rest is counted. */
const pendingLinesMax = 4;

/** What became of everything that was said. */
export interface SaidTally {
  stored: number;
  refused: number;
  unknown: number;
}

export interface SaidParts {
  readonly screen: Screen;
  readonly colours: Colours;
  /** Prints data instead of lines for people. */
  readonly json: ((value: object) => void) | null;
  /** What a room is called on the screen. */
  readonly labelOf: (room: RoomName) => string;
  /** Whether what is stored in this room comes to be shown in its place. */
  readonly shows: (room: RoomName) => boolean;
  readonly isCurrent: (room: RoomName) => boolean;
}

/**
 * What this person said, below everything else, until it stands in its place.
 *
 * 1. Everything said is shown as pending until its room shows it, or it is known not to be stored.
 * 2. What fails is said, with the text it failed for.
 */
export class SaidMessages {
  readonly tally: SaidTally = { stored: 0, refused: 0, unknown: 0 };
  readonly #parts: SaidParts;
  /** Not settled, or stored and not shown yet; by room and cid. */
  readonly #pending = new Map<string, { readonly sent: SentMessage; shown: boolean }>();
  #unsettled = 0;
  #isDrawDue = false;

  constructor(parts: SaidParts) {
    this.#parts = parts;
  }

  /** What is not stored yet, or is stored and not shown in its place yet. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** What was said and has no outcome yet. */
  get unsettledCount(): number {
    return this.#unsettled;
  }

  /** Something is about to be sent: it counts already. */
  announce(): void {
    this.#unsettled++;
  }

  /** What was announced is on its way. */
  sent(sent: SentMessage): void {
    this.#pending.set(keyOf(sent), { sent, shown: false });
    if (sent.outcome !== null) this.changed(sent);
    else this.draw();
  }

  /** The state of a message is another one. */
  changed(sent: SentMessage): void {
    const { outcome } = sent;
    const pending = this.#pending.get(keyOf(sent));
    if (pending === undefined) return;
    if (outcome === null) {
      this.draw();
      return;
    }
    this.#unsettled--;
    const { json } = this.#parts;
    switch (outcome.state) {
      case "stored":
        this.tally.stored++;
        json?.({ stored: placeOf(outcome.stored) });
        // It stays below until its room shows it, which may have been before the answer.
        if (pending.shown || !this.#parts.shows(sent.room)) this.#pending.delete(keyOf(sent));
        this.draw();
        return;
      case "refused": {
        const { code, message } = outcome.error;
        this.tally.refused++;
        json?.({ refused: { cid: sent.cid, room: sent.room, code, message } });
        this.#notStored(sent, `not sent: ${message}`);
        return;
      }
      case "unknown": {
        const { message } = outcome.error;
        this.tally.unknown++;
        json?.({ unknown: { cid: sent.cid, room: sent.room, message } });
        this.#notStored(sent, `nobody knows whether this was stored: ${message}`);
        return;
      }
      default:
        unreachable(outcome);
    }
  }

  /** A message of this person was shown in its place. */
  shown(message: { readonly room: RoomName; readonly cid: string }): void {
    const pending = this.#pending.get(keyOf(message));
    if (pending === undefined) return;
    pending.shown = true;
    if (pending.sent.outcome !== null) this.#pending.delete(keyOf(message));
  }

  /** Once a turn: a pasted text is many messages. */
  draw(): void {
    if (this.#isDrawDue) return;
    this.#isDrawDue = true;
    setImmediate(() => {
      this.#isDrawDue = false;
      const sends = Array.from(this.#pending.values(), ({ sent }) => sent);
      const last = sends.slice(-pendingLinesMax);
      this.#parts.screen.setPending(
        last.map((sent) => this.#line(sent)),
        sends.length - last.length,
      );
    });
  }

  #line(sent: SentMessage): string {
    const { colours, isCurrent, labelOf } = this.#parts;
    const { dim, green } = colours;
    const mark = sent.outcome?.state === "stored" ? green("✓") : dim("…");
    const where = isCurrent(sent.room) ? "" : `${labelOf(sent.room)} `;
    const state = sent.outcome === null ? dim(`  ${sent.state === "queued" ? "waiting" : "sending"}`) : "";
    return `${mark} ${dim(where + visibleText(sent.content.body))}${state}`;
  }

  #notStored(sent: SentMessage, why: string): void {
    this.#pending.delete(keyOf(sent));
    const { colours, labelOf, screen } = this.#parts;
    const { red, dim } = colours;
    screen.print([
      `${red("✗")} ${visibleText(sent.content.body)}  ${red(visibleText(why))} ${dim(`in ${labelOf(sent.room)}`)}`,
    ]);
    this.draw();
  }
}

const keyOf = ({ room, cid }: { readonly room: RoomName; readonly cid: string }): string => `${cid} ${room}`;
