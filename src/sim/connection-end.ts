import { assert } from "../base/assert.ts";
import type { CrashKind, SimHost } from "./host.ts";
import type { Pipe } from "./pipe.ts";

/** Why a stream ended: the peer closed it, somebody or something cut it, or nobody listened. */
export type CloseReason = "closed" | "reset" | "refused";

/**
 * One end of a connection. The handlers may be set and replaced at any time; they must be set when the stream is handed
 * over (`dial` returns, `onStream` is called), because bytes that meet no handler are dropped.
 */
export interface SimStream {
  /** The host at the other end. */
  readonly remote: string;
  /** Bytes written and taken neither by the peer nor by the sockets' buffers. What a writer's limit looks at. */
  readonly bufferedBytes: number;
  /** The connection stands: writing before that is allowed, the bytes wait. Not called on the listener's side. */
  onOpen: (() => void) | null;
  /** The bytes are the receiver's own, to keep or to change. */
  onData: ((bytes: Uint8Array) => void) | null;
  /** `bufferedBytes` was above 0 and is 0 again. */
  onDrain: (() => void) | null;
  /** Called at most once, as the last thing; never after `destroy`, never in a process that crashed. */
  onClose: ((reason: CloseReason) => void) | null;
  /** Sends bytes in order. They are copied: the caller may use its array again at once. Ignored after an end. */
  write(bytes: Uint8Array): void;
  /** Ends the sending direction after what was written. The peer's end answers with its own; then comes `onClose("closed")`. */
  close(): void;
  /** Every piece that comes was sealed by the peer: one that was changed on its way ends the connection. */
  isSealed: boolean;
  /** Ends both directions at once. Nothing is called any more here; the peer gets a part of what was under way, then a reset. */
  destroy(): void;
  /** Stops reading, so that the peer's `bufferedBytes` grows: what a slow reader does. */
  pauseReading(): void;
  resumeReading(): void;
}

/** What an end needs of the network. */
export interface EndPort {
  /** A new direction towards this end. */
  pipeTo(receiver: ConnectionEnd): Pipe;
  /** This end is done; when both are, the connection is forgotten. */
  forget(end: ConnectionEnd): void;
  /** Tells this end, after the time a packet needs, that its peer is gone. */
  resetLater(end: ConnectionEnd): void;
}

/** One end of a connection; `outgoing` carries what it writes. */
export class ConnectionEnd implements SimStream {
  readonly host: SimHost;
  readonly remoteHost: SimHost;
  readonly #network: EndPort;
  readonly #life: number;
  onOpen: (() => void) | null = null;
  onData: ((bytes: Uint8Array) => void) | null = null;
  onDrain: (() => void) | null = null;
  onClose: ((reason: CloseReason) => void) | null = null;
  peer: ConnectionEnd | null = null;
  greeting: (() => void) | null = null;
  isSealed = false;
  isDone = false;
  isDead = false;
  lostPower = false;
  #incoming: Pipe | null = null;
  #outgoing: Pipe | null = null;
  /** What is written before the connection stands. */
  #early: Uint8Array[] = [];
  #earlyBytes = 0;
  #closeEarly = false;
  #pausedEarly = false;
  #ready = false;

  constructor(host: SimHost, remoteHost: SimHost, network: EndPort) {
    this.host = host;
    this.remoteHost = remoteHost;
    this.#network = network;
    this.#life = host.life;
  }

  get remote(): string {
    return this.remoteHost.name;
  }

  get bufferedBytes(): number {
    return this.#outgoing === null ? this.#earlyBytes : this.#outgoing.bufferedBytes + this.#earlyBytes;
  }

  get outgoing(): Pipe {
    assert(this.#outgoing !== null, "the connection does not stand");
    return this.#outgoing;
  }

  write(bytes: Uint8Array): void {
    if (!this.#lives()) return;
    if (this.#ready) {
      this.outgoing.write(bytes);
      if (this.peer?.lostPower === true && this.remoteHost.alive) this.#network.resetLater(this);
      return;
    }
    if (this.#closeEarly || bytes.length === 0) return;
    this.#early.push(bytes.slice());
    this.#earlyBytes += bytes.length;
  }

  close(): void {
    if (!this.#lives()) return;
    if (this.#ready) this.outgoing.end("closed");
    else this.#closeEarly = true;
  }

  destroy(): void {
    if (!this.#lives()) return;
    this.#done();
    this.#incoming?.finish();
    this.#outgoing?.cut();
    this.#network.forget(this);
  }

  pauseReading(): void {
    this.#pausedEarly = true;
    this.#incoming?.pauseReading();
  }

  resumeReading(): void {
    this.#pausedEarly = false;
    this.#incoming?.resumeReading();
  }

  // For the network.

  /** The kernels know of each other; the processes not yet. */
  connect(peer: ConnectionEnd): void {
    this.peer = peer;
    this.#outgoing = this.#network.pipeTo(peer);
    peer.#incoming = this.#outgoing;
    if (peer.#pausedEarly) this.#outgoing.pauseReading();
  }

  /** Tells the process of the connection: in an event of its own, or just before the first bytes if those are faster. */
  greet(): void {
    const { greeting } = this;
    this.greeting = null;
    if (this.#lives()) greeting?.();
  }

  /** The connection stands for the process here: what it wrote before goes out. */
  stand(): void {
    if (!this.#lives()) return;
    this.#ready = true;
    for (const bytes of this.#early) this.outgoing.write(bytes);
    this.#early = [];
    this.#earlyBytes = 0;
    if (this.#closeEarly) this.outgoing.end("closed");
  }

  refused(): void {
    if (!this.#lives()) return;
    this.#done();
    this.onClose?.("refused");
  }

  received(bytes: Uint8Array): void {
    this.greet();
    if (this.#lives()) this.onData?.(bytes);
  }

  /** What came is not what was sent: this side lets go, and the peer hears of it. */
  sealBroken(): void {
    if (!this.#lives()) return;
    const { onClose } = this;
    this.destroy();
    onClose?.("reset");
  }

  drained(): void {
    // The peer took the bytes in its own turn; here it is news from outside.
    if (this.#lives()) {
      this.host.input(0, "drain", () => {
        if (this.#lives() && this.bufferedBytes === 0) this.onDrain?.();
      });
    }
  }

  /** The incoming direction ended. */
  ended(how: "closed" | "reset"): void {
    this.greet();
    if (!this.#lives()) return;
    if (how === "closed") {
      // Everything written before is still delivered, then the answer to the peer's end.
      this.#outgoing?.end("closed");
    } else if (this.#outgoing?.isOpen === true) {
      this.#outgoing.finish();
    }
    this.#done();
    this.#network.forget(this);
    this.onClose?.(how);
  }

  cut(): void {
    this.#outgoing?.cut();
  }

  reset(): void {
    if (this.#lives()) this.#network.resetLater(this);
  }

  crashed(kind: CrashKind): void {
    if (kind === "powerLoss") {
      // The kernel is gone as well: what it still held was not sent, and it answers nothing.
      this.lostPower = true;
      this.fallSilent();
    } else if (!this.isDone) {
      this.#outgoing?.cut();
    }
    if (!this.isDone) this.#incoming?.stopReceiving();
    this.#done();
    this.#network.forget(this);
  }

  fallSilent(): void {
    this.isDead = true;
    this.#outgoing?.die();
  }

  #lives(): boolean {
    return !this.isDone && this.host.alive && this.host.life === this.#life;
  }

  #done(): void {
    this.isDone = true;
  }
}
