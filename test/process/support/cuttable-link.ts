import { once } from "node:events";
import { type AddressInfo, createServer, connect, type Server, type Socket } from "node:net";

/** What a link does with what comes to it. */
export type LinkState =
  /** It passes everything on. */
  | "open"
  /** Connections are reset, and so is everybody who dials. */
  | "cut"
  /** Nothing passes, either way; who dials is connected, and hears nothing. Nobody is told that the other side is gone. */
  | "silent"
  /** Nothing passes from who dialled; the other way is open. */
  | "silent from the dialler"
  /** Nothing passes to who dialled; the other way is open. */
  | "silent to the dialler";

/** One connection through the link: who dialled, and who was dialled for it. */
interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

/** A port of its own in front of a port of somebody else, with a wire between that can be cut. */
export class CuttableLink {
  readonly #server: Server;
  readonly #target: () => number;
  readonly #pairs = new Set<Pair>();
  #state: LinkState = "open";

  private constructor(target: () => number) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#take(near));
  }

  /** `target`: the port dialled, asked for each connection. Settles once the link's own port listens. */
  static async open(target: () => number): Promise<CuttableLink> {
    const link = new CuttableLink(target);
    await once(link.#server.listen(0, "127.0.0.1"), "listening");
    return link;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get state(): LinkState {
    return this.#state;
  }

  /**
   * From now on it is in this state. What was held back goes on its way when the link opens, as after a while of lost
   * packets; with `reset`, connections are reset then, as where a router forgot them.
   */
  set(state: LinkState, { reset = false }: { readonly reset?: boolean } = {}): void {
    this.#state = state;
    for (const pair of this.#pairs) {
      if (state === "cut" || reset) end(pair);
      else this.#pass(pair);
    }
  }

  async close(): Promise<void> {
    for (const pair of this.#pairs) end(pair);
    await once(this.#server.close(), "close");
  }

  #passesFromDialler(): boolean {
    return this.#state === "open" || this.#state === "silent to the dialler";
  }

  #passesToDialler(): boolean {
    return this.#state === "open" || this.#state === "silent from the dialler";
  }

  #take(near: Socket): void {
    if (this.#state === "cut") {
      near.on("error", () => undefined);
      near.resetAndDestroy();
      return;
    }
    // Where nothing passes, nobody is reached; what is written meanwhile waits, as it would in the sender's kernel.
    const far = connect({ port: this.#target(), host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    this.#join(pair, { from: near, to: far, passes: () => this.#passesFromDialler() });
    this.#join(pair, { from: far, to: near, passes: () => this.#passesToDialler() });
    this.#pass(pair);
  }

  #join(pair: Pair, { from, to, passes }: { from: Socket; to: Socket; passes: () => boolean }): void {
    from.on("data", (bytes) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on("drain", () => {
      if (passes()) from.resume();
    });
    from.on("end", () => to.end());
    // A reset is told as one, if anything is told: `close` follows.
    from.on("error", () => from.destroy());
    from.on("close", (hadError) => {
      if (!this.#pairs.has(pair)) return;
      // Silence hides also that somebody is gone; the pair ends when something passes again.
      if (passes() && (hadError || to.destroyed)) this.#end(pair);
    });
  }

  #pass(pair: Pair): void {
    const { near, far } = pair;
    if (this.#passesFromDialler()) near.resume();
    else near.pause();
    if (this.#passesToDialler()) far.resume();
    else far.pause();
    const isGone = (near.destroyed && this.#passesFromDialler()) || (far.destroyed && this.#passesToDialler());
    if (isGone) this.#end(pair);
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair);
    end(pair);
  }
}

function end({ near, far }: Pair): void {
  for (const socket of [near, far]) if (!socket.destroyed) socket.resetAndDestroy();
}
