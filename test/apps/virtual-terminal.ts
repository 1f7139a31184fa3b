import { Writable } from "node:stream";
import stringWidth from "string-width";

/** What begins a movement. */
const escape = "\u001b[";

/** As much of a terminal as a chat needs: text that wraps, line ends, and the few movements that readline makes. */
export class VirtualTerminal extends Writable {
  readonly isTTY = true;
  readonly columns: number;
  #rows: string[][] = [[]];
  #row = 0;
  #column = 0;

  constructor(columns: number) {
    super({ decodeStrings: false });
    this.columns = columns;
  }

  /** What stands on it, without the blank rows at the end and the blanks behind each row. */
  get rows(): string[] {
    const rows = this.#rows.map((cells) =>
      Array.from(cells, (cell) => cell ?? " ")
        .join("")
        .trimEnd(),
    );
    while (rows.at(-1) === "") rows.pop();
    return rows;
  }

  /** Where the next character would stand, from 0. */
  get cursor(): { row: number; column: number } {
    return { row: this.#row, column: this.#column };
  }

  override _write(chunk: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    let rest = chunk.toString();
    while (rest !== "") {
      if (rest.startsWith(escape)) {
        const [whole, count, letter] = /^(\d*)([A-Za-z])/.exec(rest.slice(escape.length)) as unknown as [
          string,
          string,
          string,
        ];
        this.#move(Number(count === "" ? 1 : count), count, letter);
        rest = rest.slice(escape.length + whole.length);
        continue;
      }
      const character = String.fromCodePoint(rest.codePointAt(0)!);
      this.#put(character);
      rest = rest.slice(character.length);
    }
    done();
  }

  #move(by: number, count: string, letter: string): void {
    switch (letter) {
      case "A":
        this.#row = Math.max(0, this.#row - by);
        return;
      case "B":
        this.#row += by;
        return;
      case "C":
        this.#column = Math.min(this.columns - 1, this.#column + by);
        return;
      case "D":
        this.#column = Math.max(0, this.#column - by);
        return;
      case "G":
        this.#column = by - 1;
        return;
      case "J":
        if (count !== "" && count !== "0") throw new Error(`erases ${count}`);
        this.#rows[this.#row]?.splice(this.#column);
        this.#rows.splice(this.#row + 1);
        return;
      default:
        throw new Error(`a terminal that knows no ${letter}`);
    }
  }

  #put(character: string): void {
    if (character === "\r") {
      this.#column = 0;
      return;
    }
    if (character === "\n") {
      // As with the terminal's own output processing: to the left edge, too.
      this.#next();
      return;
    }
    const width = stringWidth(character);
    if (this.#column + width > this.columns) this.#next();
    const row = (this.#rows[this.#row] ??= []);
    row[this.#column] = character;
    if (width === 2) row[this.#column + 1] = "";
    this.#column += width;
  }

  #next(): void {
    this.#row++;
    this.#column = 0;
    for (let row = this.#rows.length; row <= this.#row; row++) this.#rows.push([]);
  }
}
