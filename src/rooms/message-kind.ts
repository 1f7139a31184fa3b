/**
 * The kinds of messages that mean something to a room. All others are stored and delivered as they are.
 */
export const messageKinds = {
  /** `text`, and any kind the room knows nothing of. */
  plain: 0,
  /** `edit` and `delete`: they change the message `ref` names. */
  change: 1,
  /** `react` and `unreact`. */
  reaction: 2,
  /** `sys.*`: the server's own. */
  system: 3,
} as const;
export type MessageKind = (typeof messageKinds)[keyof typeof messageKinds];

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const edit = ascii("edit");
const remove = ascii("delete");
const react = ascii("react");
const unreact = ascii("unreact");
const system = ascii("sys.");

/** The kind whose name stands at `start`. Makes nothing; most messages name none and cost one comparison. */
export function kindOf(b: Uint8Array, start: number, length: number): MessageKind {
  if (length === 0) return messageKinds.plain;
  if (length >= 4 && begins(b, start, system)) return messageKinds.system;
  if (length === 4 && begins(b, start, edit)) return messageKinds.change;
  if (length === 6 && begins(b, start, remove)) return messageKinds.change;
  if (length === 5 && begins(b, start, react)) return messageKinds.reaction;
  if (length === 7 && begins(b, start, unreact)) return messageKinds.reaction;
  return messageKinds.plain;
}

function begins(b: Uint8Array, start: number, text: Uint8Array): boolean {
  for (let i = 0; i < text.length; i++) if (b[start + i] !== text[i]) return false;
  return true;
}
