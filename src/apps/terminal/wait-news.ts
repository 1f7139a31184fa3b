import type { RoomName } from "../../base/ids.ts";
import type { SendWait } from "../../client/outcome.ts";
import { visibleText } from "./visible-text.ts";

/** What a server said that makes something wait, and since when it says so. */
export type Held = Pick<SendWait, "code" | "message" | "since" | "retryAt">;

/** What passes within this is not told: a busy server asks for patience now and then. */
const lastingMs = 1_000;

/** It goes on, or will go on, for so long that somebody should know. */
export const isLasting = ({ since, retryAt }: Held): boolean => Math.max(Date.now(), retryAt) - since >= lastingMs;

/** The reason, in the server's words and with its code. */
export const reasonOf = ({ code, message }: Held): string => `${visibleText(message)} (${visibleText(code)})`;

/** Why what is said in a room waits: told once, and again when the reason is another one. */
export class WaitNews {
  readonly #told = new Map<RoomName, string>();

  /** The reason, if it has to be told now; else null. */
  toTell(room: RoomName, held: Held | null): string | null {
    if (held === null || !isLasting(held) || this.#told.get(room) === held.code) return null;
    this.#told.set(room, held.code);
    return reasonOf(held);
  }

  /** It goes on: the next reason is news. */
  over(room: RoomName): void {
    this.#told.delete(room);
  }
}
