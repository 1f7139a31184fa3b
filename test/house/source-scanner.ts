/**
 * Reads TypeScript as far as a rule about imports and forbidden names needs it: words, strings and signs, with comments,
 * the inside of strings and regular expressions out of the way. TypeScript 7 has no stable parser to ask.
 *
 * It may be wrong about a regular expression right after `)` or `}`, and about quotes in the text of JSX; a quote that is
 * not closed on its line is taken as a sign, so such a mistake ends with the line.
 */

export type Token =
  | { kind: "word"; text: string; line: number }
  | { kind: "string"; text: string; line: number }
  | { kind: "sign"; text: string; line: number };

/** One `import` or `export ... from`, static or dynamic. `typesOnly`: nothing of it is left at run time that was named. */
export interface ImportEdge {
  readonly specifier: string;
  readonly typesOnly: boolean;
  readonly line: number;
}

const wordsBeforeExpression = new Set([
  "return",
  "typeof",
  "case",
  "in",
  "of",
  "delete",
  "void",
  "throw",
  "new",
  "else",
]);

/** All tokens in order. The code inside `${}` of a template is scanned too; its fixed text is not. */
export function scan(source: string): Token[] {
  const tokens: Token[] = [];
  // For each template we are inside of, how many braces are open in its current `${}`.
  const templates: number[] = [];
  let at = 0;
  let line = 1;

  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match === null) return null;
    at += match[0].length;
    for (const character of match[0]) if (character === "\n") line += 1;
    return match[0];
  };
  const templateText = (): void => {
    const text = take(/(?:\\[^]|\$(?!\{)|[^\\$`])*/y) ?? "";
    if (source.startsWith("${", at)) {
      at += 2;
      templates.push(0);
      tokens.push({ kind: "sign", text: "${", line });
    } else {
      at += 1;
      tokens.push({ kind: "string", text, line });
    }
  };

  while (at < source.length) {
    if (take(/\s+/y) !== null || take(/\/\/[^\n]*/y) !== null || take(/\/\*[^]*?\*\//y) !== null) continue;
    const startLine = line;
    const quoted = take(/"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'/y);
    if (quoted !== null) {
      tokens.push({ kind: "string", text: quoted.slice(1, -1), line: startLine });
      continue;
    }
    if (source[at] === "`") {
      at += 1;
      templateText();
      continue;
    }
    const word = take(/#?[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/uy) ?? take(/\d[\w.]*/y);
    if (word !== null) {
      tokens.push({ kind: "word", text: word, line: startLine });
      continue;
    }
    const last = tokens.at(-1);
    const valueBefore =
      last !== undefined &&
      (last.kind === "string" ||
        (last.kind === "word" && !wordsBeforeExpression.has(last.text)) ||
        (last.kind === "sign" && [")", "]", "}"].includes(last.text)));
    if (!valueBefore && take(/\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y) !== null) {
      tokens.push({ kind: "string", text: "", line: startLine });
      continue;
    }
    const sign = source[at] ?? "";
    at += 1;
    const depth = templates.at(-1);
    if (depth !== undefined && sign === "}" && depth === 0) {
      templates.pop();
      templateText();
      continue;
    }
    if (depth !== undefined && sign === "{") templates[templates.length - 1] = depth + 1;
    if (depth !== undefined && sign === "}") templates[templates.length - 1] = depth - 1;
    tokens.push({ kind: "sign", text: sign, line: startLine });
  }
  return tokens;
}

/** Every module a file names, in order. A dynamic import of something computed has the specifier "" (and is an error to its reader). */
export function importsOf(tokens: readonly Token[]): ImportEdge[] {
  const edges: ImportEdge[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at]!;
    const before = tokens[at - 1];
    if (token.kind !== "word" || (token.text !== "import" && token.text !== "export")) continue;
    if (before?.kind === "sign" && before.text === ".") continue;
    const next = tokens[at + 1];
    if (next === undefined) continue;
    if (token.text === "import" && next.text === ".") continue; // import.meta
    if (token.text === "import" && next.kind === "sign" && next.text === "(") {
      const argument = tokens[at + 2];
      const specifier = argument?.kind === "string" ? argument.text : "";
      // `import("./x.ts").Name` in the place of a type cannot be told from a dynamic import here, so it counts as one.
      edges.push({ specifier, typesOnly: false, line: token.line });
      continue;
    }
    const edge = staticEdge(tokens, at);
    if (edge !== null) edges.push(edge);
  }
  return edges;
}

/** The edge of the import or export clause that begins at `start`, or null when it is an export of something declared here. */
function staticEdge(tokens: readonly Token[], start: number): ImportEdge | null {
  const line = tokens[start]!.line;
  const named: string[][] = [[]];
  let whole = false;
  let braces = 0;
  let at = start + 1;
  const typesKeyword = tokens[at]?.text === "type" && tokens[at + 1]?.text !== "from" && tokens[at + 1]?.text !== ",";
  if (typesKeyword) at += 1;
  for (; at < tokens.length; at += 1) {
    const token = tokens[at]!;
    if (token.kind === "string") {
      // Either the specifier of `import "x"`, or the one after `from`.
      const afterFrom = tokens[at - 1]?.text === "from";
      if (!afterFrom && at !== start + 1) return null;
      const names = named.filter((words) => words.length > 0);
      const allTypes = !whole && names.length > 0 && names.every((words) => words[0] === "type" && words.length > 1);
      return { specifier: token.text, typesOnly: typesKeyword || allTypes, line };
    }
    if (token.text === "{") braces += 1;
    else if (token.text === "}") braces -= 1;
    else if (braces > 0 && token.text === ",") named.push([]);
    else if (braces > 0 && token.kind === "word") named.at(-1)!.push(token.text);
    else if (token.text === "*" || (token.kind === "word" && token.text !== "from" && token.text !== "as"))
      whole = true;
    else if (token.text !== "," && token.kind === "sign") return null;
    // `export const …` and the like declare something here; a brace list that is not followed by `from` does too.
    if (tokens[start]!.text === "export" && braces === 0 && whole && !["*", "as", "from"].includes(token.text)) {
      if (tokens[start + 1]?.text !== "*") return null;
    }
    if (token.text === "}" && braces === 0 && tokens[at + 1]?.text !== "from") return null;
  }
  return null;
}
