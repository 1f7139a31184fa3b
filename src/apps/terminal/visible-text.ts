/**
 * Text of strangers on a terminal or in a log: everything that could move the cursor, change a colour, reverse what is
 * read or hide is shown as what it is instead of being obeyed.
 *
 * Shown as `\u{1b}`: category Cc (controls), Cf (invisible formatting, bidi among it), Zl and Zp (line ends that are
 * none), Cs (halves of characters), and the Hangul fillers, which are letters that show nothing. The joiner and the
 * non-joiner stay between two letters or symbols: Persian and Indic scripts need them, and so do composed emoji.
 */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u115f\u1160\u3164\uffa0]/gu;
const lineEnds = /\r\n|[\n\r]/;
const joiners = ["\u200c", "\u200d"];

/** One line: line ends are shown too. */
export function visibleText(text: string): string {
  return text.replace(unsafe, (character, at: number, whole: string) =>
    joiners.includes(character) && joins(whole, at) ? character : shown(character),
  );
}

/** The lines of a text, each safe to print. A tab becomes two spaces. */
export function visibleLines(text: string): string[] {
  return text.split(lineEnds).map((line) => visibleText(line.replaceAll("\t", "  ")));
}

function shown(character: string): string {
  switch (character) {
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    default:
      return `\\u{${character.codePointAt(0)!.toString(16)}}`;
  }
}

const joinable = /[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;

function joins(text: string, at: number): boolean {
  const before = Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? "";
  const after = String.fromCodePoint(text.codePointAt(at + 1) ?? 0);
  return joinable.test(before) && joinable.test(after);
}
