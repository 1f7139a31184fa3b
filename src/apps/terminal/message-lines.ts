import type picocolors from "picocolors";
import stringWidth from "string-width";
import type { Seq, UserName } from "../../base/ids.ts";
import { membersOf } from "../../protocol/names.ts";
import type { Gap, RoomMessage } from "../../client/reader.ts";
import { visibleLines, visibleText } from "./visible-text.ts";

export type Colours = ReturnType<typeof picocolors.createColors>;

/** Messages as lines for people. Nothing that a stranger wrote reaches the terminal unescaped. */
export interface LineOptions {
  readonly colours: Colours;
  readonly user: UserName | null;
  /** Shows the place of every message, and not only of one's own. */
  readonly showSeq: boolean;
  /** Names the room: the message is not of the one that is looked at. */
  readonly showRoom: boolean;
}

/** `seq` null: its place is not settled yet. */
export type ShownMessage = Omit<RoomMessage, "seq" | "gap"> & { readonly seq: Seq | null };

const nameColumns = 10;
const nameColumnsMax = 20;
const seqColumns = 6;

/** One message: time, who, what, and behind one's own the mark that it is stored. */
export function messageLines(message: ShownMessage, options: LineOptions): string[] {
  const { colours, user, showSeq, showRoom } = options;
  const isOwn = message.from === user;
  const name = shortened(visibleText(message.from), nameColumnsMax);
  const paint = isOwn ? colours.bold : paintOf(message.from, colours);
  const seq = showSeq ? `${colours.dim(String(message.seq ?? "?").padStart(seqColumns))} ` : "";
  const room = showRoom ? ` ${colours.dim(roomLabel(message, user))}` : "";
  const padding = " ".repeat(Math.max(nameColumns - stringWidth(name), 0));
  const head = `${seq}${colours.dim(timeOfDay(message.ts))} ${paint(name)}${room === "" ? padding : room} `;
  const indent = " ".repeat(stringWidth(head));
  const lines = bodyLines(message, colours);
  const mark = isOwn && !showSeq ? `  ${colours.green("✓")} ${colours.dim(String(message.seq ?? "?"))}` : "";
  return lines.map((line, at) => `${at === 0 ? head : indent}${line}${at === lines.length - 1 ? mark : ""}`);
}

/** A hole where messages were. */
export function gapLine(gap: Gap, colours: Colours): string {
  return colours.yellow(`── ${gapWords(gap)} ──`);
}

function gapWords({ from, to, reason }: Gap): string {
  const isOne = from === to;
  const which = isOne ? `message ${from}` : `messages ${from} to ${to}`;
  switch (reason) {
    case "reset":
      return "this room has another history now; it is shown from the beginning";
    case "retention":
      return `${which} ${isOne ? "is" : "are"} not kept any more (retention)`;
    case "deleted":
      return `this room was deleted${to < from ? "" : `, and ${which} with it`}`;
    case "removed":
      return `you are no member of this room any more${to < from ? "" : `, and can't read ${which}`}`;
    case "damaged":
      return `${which} ${isOne ? "is" : "are"} damaged on this server and can't be given; another one may have ${isOne ? "it" : "them"}`;
    default:
      return `${which} can't be given (${visibleText(reason)})`;
  }
}

/** The rows of a terminal that a line takes. */
export function rowsOf(line: string, columns: number): number {
  return Math.max(1, Math.ceil(stringWidth(line) / Math.max(1, columns)));
}

/** As much as fits into so many columns. */
export function shortened(text: string, columns: number): string {
  if (stringWidth(text) <= columns) return text;
  let short = "";
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(short + segment) >= columns) break;
    short += segment;
  }
  return `${short}…`;
}

const graphemes = new Intl.Segmenter();

function bodyLines({ kind, ref, body }: ShownMessage, colours: Colours): string[] {
  switch (kind) {
    case "text":
      return visibleLines(body);
    case "edit": {
      const [first = "", ...rest] = visibleLines(body);
      return [`${colours.dim(`changed ${ref} to:`)} ${first}`, ...rest];
    }
    case "delete":
      return [colours.dim(`deleted ${ref}`)];
    case "react":
      return [`${visibleText(body)} ${colours.dim(`on ${ref}`)}`];
    case "unreact":
      return [colours.dim(`took back ${visibleText(body)} on ${ref}`)];
    default:
      return visibleLines(body).map((line, at) =>
        at === 0 ? `${colours.dim(`[${visibleText(kind)}]`)} ${line}` : line,
      );
  }
}

/** `in #ops`, and for a direct room whose two users are known, the one who is spoken to. */
function roomLabel({ room, from }: ShownMessage, user: UserName | null): string {
  if (!room.startsWith("@")) return `in #${visibleText(room)}:`;
  const [one, other] = membersOf(room);
  const to = from === one ? other : one;
  return to === user ? "to you:" : `to ${visibleText(to)}:`;
}

function paintOf(name: string, colours: Colours): (text: string) => string {
  const paints = [colours.cyan, colours.magenta, colours.yellow, colours.blue, colours.green];
  let sum = 0;
  for (let at = 0; at < name.length; at++) sum = (sum * 31 + name.charCodeAt(at)) % 9_973;
  return paints[sum % paints.length]!;
}

/** Hours and minutes of this machine's zone. */
function timeOfDay(ts: number): string {
  const at = new Date(ts);
  return `${String(at.getHours()).padStart(2, "0")}:${String(at.getMinutes()).padStart(2, "0")}`;
}

/** The day of this machine's zone, as 2026-11-23. */
export function dayOf(ts: number): string {
  const at = new Date(ts);
  const [month, date] = [at.getMonth() + 1, at.getDate()].map((value) => String(value).padStart(2, "0"));
  return `${at.getFullYear()}-${month}-${date}`;
}
