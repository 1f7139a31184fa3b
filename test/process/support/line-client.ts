import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** A frame as it came, or as it is sent. */
export interface Frame {
  readonly t: string;
  readonly id?: number;
  readonly [field: string]: unknown;
}

/**
 * A client over TCP in JSON that keeps no promise: it sends what it is told, when it is told, and shows every answer.
 * What the SDK would mend by itself is what tests of overload want to see.
 */
export class LineClient {
  readonly socket: Socket;
  /** Called with every frame that answers no request of `ask`. */
  onFrame: (frame: Frame) => void = () => undefined;
  isClosed = false;
  #rest = "";
  #requests = 0;
  readonly #waiting = new Map<number, (frame: Frame) => void>();

  private constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true).setEncoding("utf8");
    // What was on its way has no answer any more; `close` follows and says so.
    this.socket.on("error", () => this.socket.destroy());
    this.socket.on("close", () => {
      this.isClosed = true;
      for (const [id, answer] of this.#waiting) answer({ t: "closed", id });
      this.#waiting.clear();
    });
    this.socket.on("data", (text) => this.#took(text.toString()));
  }

  /** Connected, and not yet greeted. */
  static async connect(port: number): Promise<LineClient> {
    const client = new LineClient(port);
    await once(client.socket, "connect");
    return client;
  }

  /** Greeted. */
  static async open(port: number, user: string): Promise<LineClient> {
    const client = await LineClient.connect(port);
    const welcomed = new Promise<Frame>((resolve) => {
      client.onFrame = resolve;
    });
    client.write({ t: "hello", v: 1, user });
    const answer = await welcomed;
    if (answer.t !== "welcome") throw new Error(`the greeting was answered ${JSON.stringify(answer)}`);
    client.onFrame = () => undefined;
    return client;
  }

  write(frame: object): void {
    this.socket.write(`${JSON.stringify(frame)}\n`);
  }

  /** Settles with the answer, whatever it is; with a frame `closed` when the connection ends before. */
  ask(frame: { readonly t: string; readonly [field: string]: unknown }): Promise<Frame> {
    const id = ++this.#requests;
    if (this.isClosed) return Promise.resolve({ t: "closed", id });
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.write({ ...frame, id });
    });
  }

  end(): void {
    this.socket.destroy();
  }

  #took(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const parsed = JSON.parse(line) as Frame | Frame[];
      for (const frame of Array.isArray(parsed) ? parsed : [parsed]) this.#frame(frame);
    }
  }

  #frame(frame: Frame): void {
    const answer = typeof frame.id === "number" ? this.#waiting.get(frame.id) : undefined;
    if (answer === undefined) {
      this.onFrame(frame);
      return;
    }
    this.#waiting.delete(frame.id!);
    answer(frame);
  }
}

/** Everything a room holds, page by page, over HTTP. */
export async function wholeRoom(
  url: string,
  room: string,
): Promise<{ readonly seq: number; readonly cid: string; readonly from: string; readonly body: string }[]> {
  const items: { seq: number; cid: string; from: string; body: string }[] = [];
  for (;;) {
    const after = items.at(-1)?.seq ?? 0;
    const answer = await fetch(`${url}/v1/rooms/${room}/messages?after=${after}&limit=100`, {
      headers: { "synod-user": "reader" },
    });
    if (!answer.ok) throw new Error(`${room} after ${after}: ${answer.status} ${await answer.text()}`);
    const page = (await answer.json()) as { items: typeof items; more: boolean };
    items.push(...page.items);
    if (!page.more) return items;
  }
}
