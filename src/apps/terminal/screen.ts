import { createInterface, clearScreenDown, cursorTo, type Interface, moveCursor } from "node:readline";
import type { ReadStream, WriteStream } from "node:tty";
import stringWidth from "string-width";
import { rowsOf, shortened } from "./message-lines.ts";

/** Where a chat is shown. Lines are finished: what strangers wrote in them is escaped already. */
export interface Screen {
  /** Adds lines below everything that was said. */
  print(lines: readonly string[]): void;
  /** The same for what is no part of the conversation: connections, mistakes, answers to commands. */
  note(lines: readonly string[]): void;
  /** What is not stored yet, the newest of it; `more` came before. Shown below what was said, replaced each time. */
  setPending(lines: readonly string[], more: number): void;
  setPrompt(prompt: string): void;
  close(): void;
}

/** What a person does at a terminal. */
export interface ScreenEvents {
  line(text: string): void;
  /** Ctrl-C on an empty line, or Ctrl-D. */
  end(): void;
}

/**
 * A conversation that scrolls above, and below it what is not stored yet and the line that is being typed. Everything
 * is plain lines: it scrolls back, and can be read aloud and copied like any output.
 *
 * What is typed is never disturbed: to print, the rows that are ours are cleared and drawn again, in one write.
 */
export class TerminalScreen implements Screen {
  readonly #output: WriteStream;
  readonly #typing: Interface;
  #prompt = "";
  #pending: readonly string[] = [];
  /** Rows of pending lines that stand above the typed line. */
  #pendingRows = 0;
  #closed = false;

  constructor(options: { input: ReadStream; output: WriteStream; events: ScreenEvents }) {
    const { input, output, events } = options;
    this.#output = output;
    this.#typing = createInterface({ input, output, terminal: true, historySize: 200, escapeCodeTimeout: 50 });
    this.#typing.on("line", (text) => {
      this.#entered(text);
      events.line(text);
    });
    this.#typing.on("SIGINT", () => {
      if (this.#typing.line === "") events.end();
      // Like a shell: throws the line away.
      else this.#typing.write(null, { ctrl: true, name: "u" });
    });
    // Ctrl-D on an empty line: readline is gone and takes no keys any more, so Ctrl-C comes as a signal now.
    this.#typing.on("close", () => {
      if (this.#closed) return;
      this.#clear(this.#rowsAbove());
      this.#closed = true;
      process.on("SIGINT", () => events.end());
      events.end();
    });
    // Readline forgets to note its rows while a paste goes in, and would draw its next row a row too low.
    input.on("keypress", () => this.#standsAt(this.#typing.getCursorPos().rows));
    output.on("resize", () => this.#draw([], this.#rowsAbove()));
  }

  print(lines: readonly string[]): void {
    if (lines.length > 0) this.#draw(lines, this.#rowsAbove());
  }

  note(lines: readonly string[]): void {
    this.print(lines);
  }

  setPending(lines: readonly string[], more: number): void {
    if (lines.length === 0 && this.#pending.length === 0) return;
    this.#pending = more > 0 ? [`  … and ${more} more before`, ...lines] : lines;
    this.#draw([], this.#rowsAbove());
  }

  setPrompt(prompt: string): void {
    this.#prompt = prompt;
    this.#typing.setPrompt(prompt);
    this.#draw([], this.#rowsAbove());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#clear(this.#rowsAbove());
    this.#typing.close();
  }

  /** The typed line has ended and stands above the cursor: it goes, because it comes back as a message. */
  #entered(text: string): void {
    this.#draw([], wrappedRows(this.#prompt, text, this.#columns) + this.#pendingRows);
  }

  /** A terminal that doesn't know how wide it is, as `script` makes one, is taken as readline takes it: nothing wraps. */
  get #columns(): number {
    const { columns } = this.#output;
    return columns > 0 ? columns : Infinity;
  }

  #rowsAbove(): number {
    return this.#typing.getCursorPos().rows + this.#pendingRows;
  }

  #draw(lines: readonly string[], rowsAbove: number): void {
    const output = this.#output;
    if (this.#closed) {
      for (const line of lines) output.write(`${line}\n`);
      return;
    }
    output.cork();
    this.#clear(rowsAbove);
    for (const line of lines) output.write(`${line}\n`);
    const columns = this.#columns;
    const shown = this.#pending.map((line) => shortened(line, columns - 1));
    for (const line of shown) output.write(`${line}\n`);
    this.#pendingRows = shown.reduce((rows, line) => rows + rowsOf(line, columns), 0);
    // The cursor stands where the prompt begins.
    this.#standsAt(0);
    this.#typing.prompt(true);
    output.uncork();
  }

  /** Tells readline how many rows above the cursor its prompt begins. It keeps that here, in every version so far. */
  #standsAt(rows: number): void {
    (this.#typing as Interface & { prevRows?: number }).prevRows = rows;
  }

  #clear(rowsAbove: number): void {
    cursorTo(this.#output, 0);
    if (rowsAbove > 0) moveCursor(this.#output, 0, -rowsAbove);
    clearScreenDown(this.#output);
  }
}

/** Rows that a prompt and a text took, the last one included, as a terminal wraps: a wide character is not cut in two. */
export function wrappedRows(prompt: string, text: string, columns: number): number {
  let at = stringWidth(prompt);
  for (const character of text) {
    const width = stringWidth(character);
    if (width === 2 && (at + 1) % columns === 0) at++;
    at += width;
  }
  return Math.floor(at / columns) + 1;
}

/** Plain output for a pipe: what is not stored yet is not shown, and nothing is drawn twice. */
export class PipeScreen implements Screen {
  readonly #print: (text: string) => void;
  readonly #note: (text: string) => void;

  constructor(to: { print: (text: string) => void; note: (text: string) => void }) {
    this.#print = to.print;
    this.#note = to.note;
  }

  print(lines: readonly string[]): void {
    if (lines.length > 0) this.#print(lines.map((line) => `${line}\n`).join(""));
  }

  note(lines: readonly string[]): void {
    if (lines.length > 0) this.#note(lines.map((line) => `${line}\n`).join(""));
  }

  setPending(): void {}
  setPrompt(): void {}
  close(): void {}
}
