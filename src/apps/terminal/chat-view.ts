import type { RoomName, UserName } from "../../base/ids.ts";
import type { ChatState } from "../../client/events.ts";
import type { TimelineItem } from "../../client/reader.ts";
import { isDirect, membersOf } from "../../protocol/names.ts";
import { chatHelp } from "./chat-input.ts";
import { type Colours, dayOf, gapLine, messageLines, type ShownMessage } from "./message-lines.ts";
import type { Screen } from "./screen.ts";
import { visibleText } from "./visible-text.ts";

type Gap = Extract<TimelineItem, { readonly gap: object }>;

/** Where what is typed goes: a room, and how it is called at the prompt, such as `lobby` or `@bob`. */
export interface Place {
  readonly room: { readonly name: RoomName };
  readonly label: string;
}

/** What one person's conversation looks like. Nothing that others wrote can do anything to the terminal but be read. */
export class ChatView {
  readonly #user: UserName;
  readonly #screen: Screen;
  readonly #colours: Colours;
  readonly #json: ((value: object) => void) | null;
  #place: Place | null = null;
  /** The day of what was shown last; a line tells when it changes. */
  #day = dayOf(Date.now());
  #isLost = false;

  constructor(options: {
    user: UserName;
    screen: Screen;
    colours: Colours;
    /** Prints data instead of lines for people. */
    json: ((value: object) => void) | null;
  }) {
    this.#user = options.user;
    this.#screen = options.screen;
    this.#colours = options.colours;
    this.#json = options.json;
  }

  labelOf(room: RoomName): string {
    return isDirect(room) ? `@${peerIn(room, this.#user)}` : `#${room}`;
  }

  /** What is typed goes there from now on; null: nowhere. */
  go(place: Place | null): void {
    this.#place = place;
    this.#drawPrompt();
  }

  note(text: string): void {
    this.#screen.note([this.#colours.dim(`· ${visibleText(text)}`)]);
  }

  heading(text: string): void {
    this.#screen.print([this.#colours.dim(`── ${visibleText(text)} ──`)]);
  }

  help(): void {
    this.#screen.print(chatHelp.map((line) => this.#colours.dim(`  ${line}`)));
  }

  gap(item: Gap): void {
    this.#json?.(item);
    this.#screen.print([gapLine(item.gap, this.#colours)]);
  }

  message(item: ShownMessage, options: { showSeq: boolean }): void {
    if (this.#json !== null) {
      this.#json(item);
      return;
    }
    const lines: string[] = [];
    if (dayOf(item.ts) !== this.#day) {
      this.#day = dayOf(item.ts);
      lines.push(this.#colours.dim(`── ${this.#day} ──`));
    }
    const showRoom = item.room !== this.#place?.room.name;
    lines.push(...messageLines(item, { colours: this.#colours, user: this.#user, showRoom, ...options }));
    this.#screen.print(lines);
  }

  /** A room one belongs to; `unread` is null where it is shown here anyway. */
  membership(room: RoomName, head: number, unread: number | null): void {
    const { bold, dim } = this.#colours;
    const news = unread === null ? dim("shown here") : unread > 0 ? bold(`${unread} unread`) : dim("nothing new");
    const count = head === 1 ? "1 message" : `${head} messages`;
    this.#screen.print([`  ${visibleText(this.labelOf(room))}  ${dim(`${count},`)} ${news}`]);
  }

  connection(state: ChatState): void {
    switch (state.name) {
      case "online":
        this.note(
          `${this.#isLost ? "connected again" : "connected"} to ${state.node} at ${state.url} as ${this.#user}`,
        );
        this.#isLost = false;
        break;
      case "offline":
        // Said once: a server that is away is tried many times.
        if (!this.#isLost)
          this.note(`no connection (${linkReason(state.reason)}); trying again, and keeping what you say`);
        this.#isLost = true;
        break;
      case "unauthorized":
        this.note(`no connection: ${state.reason}; what you say is kept. Renew the token in its file, then /reconnect`);
        this.#isLost = true;
        break;
      default:
        return;
    }
    this.#drawPrompt();
  }

  #drawPrompt(): void {
    const label = this.#place === null ? "no room" : visibleText(this.#place.label);
    const { bold, yellow } = this.#colours;
    this.#screen.setPrompt(this.#isLost ? `${yellow("offline")} ${bold(label)}> ` : `${bold(label)}> `);
  }
}

/** What WebSocket's code for "gone without a word" says to people. */
export const linkReason = (reason: string): string => (reason === "closed with 1006" ? "it broke" : reason);

/** The other one of a direct room. */
export function peerIn(room: RoomName, user: UserName): UserName {
  const [one, other] = membersOf(room);
  return one === user ? other : one;
}
