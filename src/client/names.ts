import { utf8Length } from "../protocol/utf8.ts";
import { ChatError } from "./outcome.ts";

/**
 * Names as far as a look can tell; the server knows the rest of the grammar, and refuses. What is caught here is caught
 * where it is written, and cannot break an encoding.
 */
const part = '[^\\p{C}\\s/\\\\,@#!:*?%"<>&]+';
const roomPattern = new RegExp(`^(@${part},)?${part}$`, "u");
const userPattern = new RegExp(`^${part}$`, "u");

/** Throws a `ChatError` when nobody can be called that. */
export const checkUser = (name: string): void => check(name, userPattern, 60);

/** Throws a `ChatError` when no room can be called that. */
export const checkRoom = (name: string): void => check(name, roomPattern, 128);

function check(name: string, pattern: RegExp, bytesMax: number): void {
  if (!pattern.test(name) || utf8Length(name) > bytesMax)
    throw new ChatError("bad_request", `"${name.length > 40 ? `${name.slice(0, 40)}…` : name}" cannot be a name`);
}
