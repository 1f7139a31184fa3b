import { SendRefused, SendUnknown } from "../../../client/outcome.ts";
import type { RoomMessage } from "../../../client/reader.ts";
import type { SentMessage } from "../../../client/sent-message.ts";
import { type Chat, connect } from "../../../platform/node/connect.ts";
import type { MessageLedger } from "./message-ledger.ts";

/** Said and without an answer, beyond which a person waits before saying more. */
const unansweredMax = 200;
/** Answers whose times are remembered. */
const timesKept = 200;

export interface PersonListener {
  /** A message of whoever was given to this person. */
  heard(person: string, message: RoomMessage): void;
  /** The server this person is connected to, or none. */
  moved(person: string, server: string | null): void;
}

/**
 * Somebody who talks and reads, through the SDK that is shipped, and notes what becomes of it. Knows nothing of elections:
 * what is said while nobody leads waits in the SDK's outbox.
 */
export class Person {
  readonly name: string;
  readonly #chat: Chat;
  readonly #room: ReturnType<Chat["room"]>;
  readonly #ledger: MessageLedger;
  readonly #listener: PersonListener;
  readonly #answers: { at: number; tookMs: number }[] = [];
  readonly #waiting = new Map<SentMessage, number>();
  readonly #reading: Promise<void>;
  readonly #ends = new AbortController();

  constructor(options: {
    readonly name: string;
    readonly urls: readonly string[];
    readonly room: string;
    readonly ledger: MessageLedger;
    readonly listener: PersonListener;
  }) {
    const { name, urls, ledger, listener } = options;
    this.name = name;
    this.#ledger = ledger;
    this.#listener = listener;
    // On one machine a server that was killed answers at once that it is gone.
    this.#chat = connect(urls, { user: name, timing: { retryMsMax: 1_000 } });
    this.#chat.on("state", (state) => listener.moved(name, state.name === "online" ? state.node : null));
    this.#room = this.#chat.room(options.room);
    this.#reading = this.#read();
  }

  /** Says something, unless too much waits already. */
  say(body: string): void {
    if (this.#waiting.size >= unansweredMax) return;
    const saidAt = performance.now();
    const sent = this.#room.send(body);
    this.#ledger.says(this.name, sent.cid, body);
    this.#waiting.set(sent, saidAt);
    this.#follow(sent, saidAt).catch((cause: unknown) => {
      // A client that is closed knows no more of it; anything else is a fault of the program.
      if (!(cause instanceof SendUnknown)) throw cause;
    });
  }

  /** The slowest answer of late, or a message that has waited longer without one; null: nothing was said. */
  slowestMs(withinMs: number): number | null {
    const now = performance.now();
    const answered = this.#answers.filter(({ at }) => at >= now - withinMs).map(({ tookMs }) => tookMs);
    const waiting = [...this.#waiting.values()].map((saidAt) => now - saidAt);
    const all = [...answered, ...waiting];
    return all.length === 0 ? null : Math.max(...all);
  }

  /** Waits a little for what is on its way, and ends. */
  async leave(drainWithinMs: number): Promise<void> {
    await this.#chat.close({ drain: true, drainWithinMs });
    this.#ends.abort();
    await this.#reading;
  }

  async #follow(sent: SentMessage, saidAt: number): Promise<void> {
    try {
      const { seq } = await sent;
      const now = performance.now();
      this.#answers.push({ at: now, tookMs: now - saidAt });
      if (this.#answers.length > timesKept) this.#answers.shift();
      if (seq !== null) this.#ledger.acknowledges(this.name, sent.cid, seq);
    } catch (cause) {
      if (!(cause instanceof SendRefused)) throw cause;
      this.#ledger.refused(this.name, sent.cid);
    } finally {
      this.#waiting.delete(sent);
    }
  }

  async #read(): Promise<void> {
    for await (const item of this.#room.messages({ after: 0, signal: this.#ends.signal })) {
      // A gap shows as numbers that are out of order.
      if (item.gap !== undefined) continue;
      this.#ledger.gives(this.name, item);
      this.#listener.heard(this.name, item);
    }
  }
}
