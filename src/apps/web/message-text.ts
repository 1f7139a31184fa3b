/**
 * The text of a stranger, cut into what the page shows: plain text, links, and characters that would otherwise not be
 * seen. Nothing is left out and nothing is obeyed; parts become text nodes, and an `href` is only ever http or https.
 */
export type TextPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "link"; readonly text: string; readonly href: string }
  /** A control or invisible character, by a symbol or its code. */
  | { readonly type: "mark"; readonly text: string };

/**
 * Controls, invisible formatting (what turns the direction of text among it), line ends that are none, halves of
 * characters, and the Hangul fillers, which are letters that show nothing.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]/gu;
/** Ends before brackets, quotes and whatever is hidden. */
const address = /https?:\/\/[^\s\p{C}\p{Zl}\p{Zp}<>"'`{}|\\^[\]]+/giu;
/** Belongs to the sentence around an address. */
const trailing = /[.,;:!?)*_~。，；：！？）」』】]+$/u;

export function partsOf(body: string): readonly TextPart[] {
  const parts: TextPart[] = [];
  const text = body.replaceAll(/\r\n?/g, "\n");
  let from = 0;
  for (const found of text.matchAll(address)) {
    const written = found[0].replace(trailing, (tail) => (closesBracket(found[0], tail) ? ")" : ""));
    const href = hrefOf(written);
    if (href === null) continue;
    addVisible(parts, text.slice(from, found.index));
    parts.push({ type: "link", text: written, href });
    from = found.index + written.length;
  }
  addVisible(parts, text.slice(from));
  return parts;
}

/** One line with everything visible: names, reasons, reactions. */
export function visibleLine(text: string): string {
  return text.replaceAll(hidden, (character, at: number) =>
    isHarmless(text, at, character) ? character : symbolOf(character),
  );
}

// "(see https://a.example/b_(c))" ends in two brackets of which one is the address's.
const closesBracket = (whole: string, tail: string): boolean =>
  tail.startsWith(")") && whole.slice(0, whole.length - tail.length).includes("(");

function hrefOf(written: string): string | null {
  if (!URL.canParse(written)) return null;
  const url = new URL(written);
  // A name before the host is how one address is made to look like another.
  const isPlain = (url.protocol === "http:" || url.protocol === "https:") && url.username === "" && url.password === "";
  return isPlain ? url.href : null;
}

function addVisible(parts: TextPart[], text: string): void {
  let from = 0;
  for (const found of text.matchAll(hidden)) {
    const [character] = found;
    const { index } = found;
    if (character === "\n" || character === "\t" || isHarmless(text, index, character)) continue;
    if (index > from) parts.push({ type: "text", text: text.slice(from, index) });
    parts.push({ type: "mark", text: symbolOf(character) });
    from = index + character.length;
  }
  if (from < text.length) parts.push({ type: "text", text: text.slice(from) });
}

const joinedBefore = /^[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;
const joinedAfter = /^[\p{L}\p{M}\p{Extended_Pictographic}]/u;
const flagBefore = /\u{1f3f4}[\u{e0020}-\u{e007f}]*$/u;

// Joiners inside a word or a picture are spelling, and so are the tags that make a flag.
function isHarmless(text: string, at: number, character: string): boolean {
  const code = character.codePointAt(0)!;
  if (code === 0x200c || code === 0x200d) {
    return joinedBefore.test(characterBefore(text, at)) && joinedAfter.test(text.slice(at + 1, at + 5));
  }
  return code >= 0xe0020 && code <= 0xe007f && flagBefore.test(text.slice(Math.max(0, at - 16), at));
}

// Looked at from its start: V8 has versions that find no character beyond 16 bits by a class before the end of a text.
const characterBefore = (text: string, at: number): string =>
  /^[\udc00-\udfff]/.test(text.slice(at - 1, at)) ? text.slice(Math.max(0, at - 2), at) : text.slice(at - 1, at);

function symbolOf(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
