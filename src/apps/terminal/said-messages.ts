import { unreachable } from "../../base/assert.ts";
import type { RoomName } from "../../base/ids.ts";
import type { SentMessage } from "../../client/sent-message.ts";
import type { Colours } from "./message-lines.ts";
import { placeOf } from "./place-of.ts";
import type { Screen } from "./screen.ts";
import { visibleText } from "./visible-text.ts";
import { type Held, isLasting, reasonOf } from "./wait-news.ts";

/** Pending messages shown at once; the rest is counted. */
const pendingLinesMax = 4;

/** What became of everything that was said. */
export interface SaidTally {
  stored: number;
  refused: number;
  /** Given up before any server saw it. */
  unsent: number;
  unknown: number;
}

/** Said, and not given to the client yet: its room is still being joined. */
interface Announced {
  readonly room: RoomName;
  readonly body: string;
}

interface Pending {
  readonly sent: SentMessage;
  settled: boolean;
  shown: boolean;
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
  readonly tally: SaidTally = { stored: 0, refused: 0, unsent: 0, unknown: 0 };
  readonly #parts: SaidParts;
  /** Not settled, or stored and not shown yet; by room and cid. */
  readonly #pending = new Map<string, Pending>();
  readonly #announced = new Set<Announced>();
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
  announce(announced: Announced): void {
    this.#announced.add(announced);
    this.#unsettled++;
  }

  /** Sends what was announced, by `send`, unless it was given up. */
  send(announced: Announced, send: (body: string) => SentMessage): void {
    if (!this.#announced.delete(announced)) return;
    const sent = send(announced.body);
    this.#pending.set(keyOf(sent), { sent, settled: false, shown: false });
    if (sent.outcome !== null) this.changed(sent);
    else this.draw();
  }

  /** The state of a message is another one. */
  changed(sent: SentMessage): void {
    const { outcome } = sent;
    const pending = this.#pending.get(keyOf(sent));
    if (pending === undefined || pending.settled) return;
    if (outcome === null) {
      this.draw();
      return;
    }
    pending.settled = true;
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
        if (code === "aborted") this.tally.unsent++;
        else this.tally.refused++;
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

  /** What has waited longest because a server says so; null: nothing does. */
  get held(): Held | null {
    let held: Held | null = null;
    for (const { sent } of this.#pending.values()) {
      const { wait } = sent;
      if (wait !== null && (held === null || wait.since < held.since)) held = wait;
    }
    return held;
  }

  /** An attempt is out, and is not answered. */
  get isSending(): boolean {
    return Array.from(this.#pending.values()).some(({ sent }) => sent.state === "sending");
  }

  /** Waits for nothing any longer: what has been sent has an outcome now, and was told. */
  giveUp(): void {
    for (const { sent } of Array.from(this.#pending.values())) {
      sent.giveUp();
      // A client that has ended tells its messages, and nobody else.
      this.changed(sent);
    }
    for (const { room, body } of this.#announced) {
      this.#unsettled--;
      this.tally.unsent++;
      const message = "given up before its room could be joined";
      this.#parts.json?.({ refused: { cid: null, room, code: "aborted", message } });
      this.#tellNotStored(room, body, `not sent: ${message}`);
    }
    this.#announced.clear();
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
    const state = sent.outcome === null ? dim(`  ${stateOf(sent)}`) : "";
    return `${mark} ${dim(where + visibleText(sent.content.body))}${state}`;
  }

  #notStored(sent: SentMessage, why: string): void {
    this.#pending.delete(keyOf(sent));
    this.#tellNotStored(sent.room, sent.content.body, why);
    this.draw();
  }

  #tellNotStored(room: RoomName, body: string, why: string): void {
    const { colours, labelOf, screen } = this.#parts;
    const { red, dim } = colours;
    screen.print([`${red("✗")} ${visibleText(body)}  ${red(visibleText(why))} ${dim(`in ${labelOf(room)}`)}`]);
  }
}

function stateOf({ state, wait }: SentMessage): string {
  if (wait !== null && isLasting(wait)) return `waiting: ${reasonOf(wait)}`;
  return state === "queued" ? "waiting" : "sending";
}

const keyOf = ({ room, cid }: { readonly room: RoomName; readonly cid: string }): string => `${cid} ${room}`;
