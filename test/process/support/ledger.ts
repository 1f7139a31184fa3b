import { expect } from "vitest";
import { type LineClient, wholeRoom } from "./line-client.ts";
import type { ServerProcess } from "./server-process.ts";

/** What a server has acknowledged, so that it can be asked for it later. */
export class Ledger {
  readonly room: string;
  readonly acknowledged = new Map<number, { readonly cid: string; readonly body: string }>();
  /** Answers that were no `ok`, by code. */
  readonly refusals = new Map<string, number>();
  #numbered = 0;

  constructor(room = "lobby") {
    this.room = room;
  }

  /** Sends one message and notes the answer. Settles with it: a code, `ok`, or `closed`. */
  async send(client: LineClient, bodyBytes = 100): Promise<string> {
    const cid = `m${this.#numbered++}`;
    const body = `${cid} `.padEnd(bodyBytes, "y");
    const answer = await client.ask({ t: "send", room: this.room, cid, body });
    if (answer.t === "ok") {
      this.acknowledged.set(answer["seq"] as number, { cid, body });
      return "ok";
    }
    const code = answer.t === "err" ? (answer["code"] as string) : answer.t;
    this.refusals.set(code, (this.refusals.get(code) ?? 0) + 1);
    return code;
  }

  /** Fails unless the room is dense, holds nothing twice, and everything acknowledged stands in its place. */
  async check(server: ServerProcess): Promise<number> {
    const items = await wholeRoom(server.url, this.room);
    expect(items.map(({ seq }) => seq)).toEqual(items.map((_, at) => at + 1));
    expect(new Set(items.map(({ from, cid }) => `${from}\n${cid}`)).size).toBe(items.length);
    const wrong = [...this.acknowledged].filter(([seq, { cid, body }]) => {
      const found = items[seq - 1];
      return found === undefined || found.cid !== cid || found.body !== body;
    });
    expect(wrong).toEqual([]);
    return items.length;
  }
}
