import type { Cid, RoomName, Seq } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import type { OutboxEntry, Waiter } from "./outbox-entry.ts";
import type { Outcome, SendWait, Stored } from "./outcome.ts";

export type SentState = "queued" | "sending" | "stored" | "refused" | "unknown";

/** What a message consists of, as its sender gave it. */
export interface SentContent {
  readonly room: RoomName;
  readonly cid: Cid;
  readonly kind: string | null;
  readonly ref: Seq | null;
  readonly body: string;
}

/** Who acts on what a sender wants of a message: the client. */
export interface SentMessageOwner {
  giveUp(entry: OutboxEntry): void;
  dismiss(sent: SentMessage): void;
  /** The same by the wall clock. */
  wallTimes(wait: SendWait<Millis>): SendWait;
}

/**
 * A message on its way. Awaiting it gives its place once it is stored, or throws `SendRefused` or `SendUnknown`; not
 * awaiting it is fine too. After `SendUnknown` the `state` may still become `stored` or `refused`, when that is learnt.
 */
export class SentMessage implements PromiseLike<Stored>, Waiter {
  readonly content: SentContent;
  readonly #owner: SentMessageOwner;
  readonly #entry: OutboxEntry | null;
  #told: SentState;
  #outcome: Outcome | null;
  /** The first outcome: what those who await get. */
  #first: Outcome | null;
  #promise: Promise<Stored> | null = null;
  #resolve: ((stored: Stored) => void) | null = null;
  #reject: ((error: Error) => void) | null = null;
  #cleanup: (() => void) | null = null;

  /** Made by the client: with an entry of the outbox, or with the outcome of what never got there. */
  constructor(owner: SentMessageOwner, content: SentContent, entry: OutboxEntry | null, outcome: Outcome | null) {
    this.#owner = owner;
    this.content = content;
    this.#entry = entry;
    this.#outcome = outcome;
    this.#first = outcome;
    this.#told = this.state;
  }

  get cid(): Cid {
    return this.content.cid;
  }

  get room(): RoomName {
    return this.content.room;
  }

  get state(): SentState {
    if (this.#outcome !== null) return this.#outcome.state;
    return this.#entry !== null && this.#entry.request !== 0 ? "sending" : "queued";
  }

  /** Where it is stored, why it was refused, or why nobody knows; null while it is on its way. */
  get outcome(): Outcome | null {
    return this.#outcome;
  }

  /**
   * Why it waits, as the server said that answered its room last; null when none has, and once there is an outcome. All
   * of a room wait for the same. While there is no link this is what was said before: the client's `state` tells more.
   * Every change comes with a `send` event of a message of the room.
   */
  get wait(): SendWait | null {
    const wait = this.#outcome === null ? (this.#entry?.lane.wait ?? null) : null;
    return wait && this.#owner.wallTimes(wait);
  }

  /**
   * Gives up: refused with `aborted` when it was never attempted, refused with the last code when each attempt was, else
   * unknown until it is known whether it was stored.
   * Does nothing to what has an outcome. With an outbox store, a message of an earlier life can be given up too.
   */
  giveUp(): void {
    if (this.#entry !== null) this.#owner.giveUp(this.#entry);
  }

  /** What was refused, or is unknown, need not be kept any longer: with an outbox store, it would come back with the next page. */
  dismiss(): void {
    if (this.state === "refused" || this.state === "unknown") this.#owner.dismiss(this);
  }

  // A promise would have to be made for every message, and would report an unhandled rejection for those that nobody
  // awaits. This one is made when somebody does.
  // oxlint-disable-next-line unicorn/no-thenable
  then<A = Stored, B = never>(
    onStored?: ((stored: Stored) => A | PromiseLike<A>) | null,
    onFailed?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#promise ??= new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      if (this.#first !== null) this.#tell(this.#first);
    });
    return this.#promise.then(onStored, onFailed);
  }

  /** Called by the client. */
  settled(outcome: Outcome): void {
    this.#outcome = outcome;
    if (this.#first !== null) return;
    this.#first = outcome;
    this.#tell(outcome);
    this.#cleanup?.();
    this.#cleanup = null;
  }

  #tell(outcome: Outcome): void {
    if (outcome.state === "stored") this.#resolve?.(outcome.stored);
    else this.#reject?.(outcome.error);
  }

  /** Called by the client: says whether the state is another one than the last time it was asked. */
  hasChanged(): boolean {
    const { state } = this;
    if (state === this.#told) return false;
    this.#told = state;
    return true;
  }

  /** Called by the client: what to do once nobody waits any more. */
  whenSettled(cleanup: () => void): void {
    if (this.#first === null) this.#cleanup = cleanup;
    else cleanup();
  }
}
