import { createHash } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { userInfo } from "node:os";
import picocolors from "picocolors";
import { CommandFailed, exitCodes } from "../terminal/exit-codes.ts";
import { subjectOf, tokenOf } from "../terminal/open-client.ts";
import { visibleText } from "../terminal/visible-text.ts";
import { at } from "./answer-text.ts";

export interface VerifyServersCommand {
  /** Public ports, as typed. */
  readonly urls: readonly string[];
  /** Besides those the user belongs to. */
  readonly rooms: readonly string[];
  readonly user: string | null;
  readonly tokenFile: string | null;
  readonly json: boolean;
}

/** Something that must not be, and where. */
interface Problem {
  readonly seq: number | null;
  readonly what: string;
  /** What each server says, in the order of the addresses. */
  readonly said: readonly string[];
}

interface RoomReport {
  readonly room: string;
  readonly line: string;
  /** Read from here, because something before is kept no longer. */
  readonly first: number;
  readonly upto: number;
  readonly messages: number;
  readonly digest: string;
  readonly problems: readonly Problem[];
}

/** One public port, asked as one user. */
interface Source {
  readonly url: string;
  ask(path: string): Promise<{ readonly status: number; readonly body: unknown }>;
}

/** A room as a server tells of it: what stands in it is read page by page. */
interface Stand {
  readonly line: string;
  readonly first: number;
  readonly head: number;
}

const answerWithinMs = 30_000;
/** How long a server may take to hear of a room that another one has. */
const knownWithinMs = 5_000;
const problemsMax = 20;

/**
 * `synod verify URL…`: reads rooms from every server, message by message, and says whether they have the same: dense, in
 * order, each message once, with the digest that each reckons by itself. What is said meanwhile is left out. Code 1 for any
 * difference, and the first ones are named.
 */
export async function verifyServers(command: VerifyServersCommand): Promise<0 | 1> {
  const sources = await sourcesOf(command);
  const lists = await Promise.all(sources.map((source) => source.ask("/v1/rooms").then(roomsIn)));
  const rooms = [...new Set([...command.rooms, ...lists.flat()])].sort();
  if (rooms.length === 0) rooms.push("lobby");
  let isSound = true;
  let messages = 0;
  for (const room of rooms) {
    const report = await verifyRoom(sources, room);
    messages += report.messages;
    isSound &&= report.problems.length === 0;
    const lines = command.json ? [JSON.stringify(report)] : roomLines(report, sources);
    process.stdout.write(lines.map((line) => `${line}\n`).join(""));
  }
  if (!command.json) {
    const { green, red } = picocolors;
    const outcome = isSound ? green("equal, dense, each once") : red("not the same; see above");
    const seen = [counted(sources.length, "server"), counted(rooms.length, "room"), counted(messages, "message")];
    process.stdout.write(`${seen.join(", ")}: ${outcome}\n`);
  }
  return isSound ? exitCodes.ok : exitCodes.failed;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

async function sourcesOf({ urls, user, tokenFile }: VerifyServersCommand): Promise<Source[]> {
  const token = await tokenOf(tokenFile, process.env["SYNOD_TOKEN"] ?? null);
  const name = user ?? process.env["SYNOD_USER"] ?? subjectOf(token) ?? userInfo().username;
  const headers = { "synod-user": name, ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
  return urls.map((typed) => {
    const url = typed.replace(/^ws(s?):/, "http$1:");
    if (!/^https?:/.test(url) || !URL.canParse(url)) {
      throw new CommandFailed(exitCodes.usage, `${typed} is no public port of a server; write http://HOST:7400`);
    }
    return {
      url,
      ask: async (path) => {
        try {
          const signal = AbortSignal.timeout(answerWithinMs);
          const response = await fetch(new URL(path, url), { headers, signal, redirect: "error" });
          return { status: response.status, body: (await response.json()) as unknown };
        } catch (cause) {
          const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
          const why = inner instanceof Error ? inner.message : String(inner);
          throw new CommandFailed(exitCodes.unreachable, `no server answers at ${url} (${why})`, { cause });
        }
      },
    };
  });
}

function roomsIn({ status, body }: { readonly status: number; readonly body: unknown }): string[] {
  if (status !== 200) throw refused("the rooms", body);
  const rooms = at(body, "rooms");
  const names = (Array.isArray(rooms) ? rooms : []).map((room: unknown) => at(room, "room"));
  return names.filter((room) => typeof room === "string");
}

async function verifyRoom(sources: readonly Source[], room: string): Promise<RoomReport> {
  const path = `/v1/rooms/${encodeURIComponent(room)}`;
  const stands = await Promise.all(sources.map((source) => standOf(source, path, room)));
  const problems: Problem[] = [];
  const note = (seq: number | null, what: string, said: readonly string[]): void => {
    if (problems.length < problemsMax) problems.push({ seq, what, said });
  };
  if (new Set(stands.map(({ line }) => line)).size > 1) {
    note(
      null,
      "they have different lines",
      stands.map(({ line }) => line),
    );
  }
  // What all have, as far as it is kept everywhere.
  const first = Math.max(1, ...stands.map((stand) => stand.first));
  const upto = Math.min(...stands.map(({ head }) => head));
  const readers = sources.map((source) => new RoomReader(source, path, { room, first, upto }));
  let messages = 0;
  for (let isOver = upto < first; !isOver && problems.length === 0; ) {
    const pages = await Promise.all(readers.map((reader) => reader.page()));
    const count = Math.min(...pages.map((page) => page.length));
    for (let i = 0; i < count; i++) {
      const said = pages.map((page) => page[i]!);
      if (said.some((text) => text !== said[0])) note(first + messages, "they have different messages", said);
      messages++;
    }
    for (const reader of readers) reader.took(count);
    isOver = count === 0 || first + messages > upto;
  }
  for (const reader of readers) {
    for (const { seq, what } of reader.problems) note(seq, `${reader.url}: ${what}`, []);
  }
  if (problems.length === 0 && first + messages <= upto) note(first + messages, "this message can't be had", []);
  const digests = upto < 1 ? sources.map(() => "") : await Promise.all(sources.map((one) => digestOf(one, path, upto)));
  if (new Set(digests).size > 1) note(upto, "they reckon different digests", digests);
  return { room, line: stands[0]!.line, first, upto, messages, digest: digests[0]!, problems };
}

async function standOf(source: Source, path: string, room: string): Promise<Stand> {
  for (const until = Date.now() + knownWithinMs; ; await pause(100)) {
    const { status, body } = await source.ask(`${path}/messages?limit=1`);
    const [line, first, head] = [at(body, "line"), at(body, "first"), at(body, "head")];
    if (status === 200 && typeof line === "string" && typeof first === "number" && typeof head === "number") {
      return { line, first, head };
    }
    if (status !== 404 || Date.now() > until) throw refused(`room ${room} at ${source.url}`, body);
  }
}

/** Null digests are those that need what is removed by now. */
async function digestOf(source: Source, path: string, upto: number): Promise<string> {
  const { status, body } = await source.ask(`${path}/digest?upto=${upto}`);
  const digest = at(body, "digest");
  if (status === 200 && typeof digest === "string") return digest;
  if (at(body, "code") === "gone") return "gone";
  throw refused(`the digest at ${source.url}`, body);
}

/** Reads a room forward from one server, and sees to it that its messages are dense, in order, and each there once. */
class RoomReader {
  readonly problems: { readonly seq: number; readonly what: string }[] = [];
  readonly url: string;
  readonly #source: Source;
  readonly #path: string;
  readonly #room: string;
  readonly #upto: number;
  #next: number;
  #ts = 0;
  #epoch = 0;
  readonly #ids = new Set<string>();
  #waiting: string[] = [];

  constructor(source: Source, path: string, range: { room: string; first: number; upto: number }) {
    this.#source = source;
    this.url = source.url;
    this.#path = path;
    this.#room = range.room;
    this.#next = range.first;
    this.#upto = range.upto;
  }

  /** Messages that were not taken yet, each in one form; none when the end is reached. */
  async page(): Promise<readonly string[]> {
    if (this.#waiting.length > 0 || this.#next > this.#upto) return this.#waiting;
    const { status, body } = await this.#source.ask(`${this.#path}/messages?after=${this.#next - 1}&limit=500`);
    const items = at(body, "items");
    if (status !== 200 || !Array.isArray(items)) throw refused(`room ${this.#room} at ${this.url}`, body);
    for (const item of items as unknown[]) {
      if (this.#next <= this.#upto) this.#see(item);
    }
    return this.#waiting;
  }

  took(count: number): void {
    this.#waiting = this.#waiting.slice(count);
  }

  #see(item: unknown): void {
    const [seq, ts, epoch] = ["seq", "ts", "epoch"].map((name) => Number(at(item, name))) as [number, number, number];
    const key = keyOf(JSON.stringify([at(item, "from"), at(item, "cid")]));
    const expected = this.#next++;
    if (seq !== expected) this.#note(expected, `message ${seq} stands in its place`);
    if (ts < this.#ts) this.#note(expected, "its time is before that of the message before");
    if (epoch < this.#epoch) this.#note(expected, "its epoch is below that of the message before");
    if (this.#ids.has(key)) this.#note(expected, "it is there a second time");
    this.#ids.add(key);
    [this.#ts, this.#epoch] = [ts, epoch];
    const fields = ["seq", "ts", "epoch", "from", "cid", "kind", "ref", "body"].map((name) => at(item, name) ?? null);
    this.#waiting.push(JSON.stringify(fields));
  }

  #note(seq: number, what: string): void {
    if (this.problems.length < problemsMax) this.problems.push({ seq, what });
  }
}

/** 12 bytes tell the ids of a room apart, and a million of them stay small. */
const keyOf = (id: string): string => createHash("sha256").update(id).digest("base64").slice(0, 16);

function refused(what: string, body: unknown): CommandFailed {
  const detail = at(body, "detail");
  const why = typeof detail === "string" ? detail : "it gave another answer than a server of Synod does";
  const code = at(body, "code") === "no_quorum" ? exitCodes.noQuorum : exitCodes.refused;
  return new CommandFailed(code, `${what} can't be read: ${why}`);
}

function roomLines(report: RoomReport, sources: readonly Source[]): string[] {
  const { room, first, upto, digest, problems } = report;
  const { bold, red } = picocolors;
  const range = upto < first ? "empty" : `${first}–${upto}`;
  const head = `${bold(visibleText(room))}  ${range}${digest === "" ? "" : `  digest ${digest.slice(0, 16)}`}`;
  return [
    head,
    ...problems.flatMap(({ seq, what, said }) => [
      red(`  ${seq === null ? "" : `${seq}: `}${visibleText(what)}`),
      ...said.map((text, index) => `    ${sources[index]!.url}: ${visibleText(text)}`),
    ]),
  ];
}
