import { assert } from "../base/assert.ts";
import type { NodeName } from "../base/ids.ts";
import type { Batch } from "./batch.ts";
import type { BatchNumber } from "./peer-frames.ts";

/** How a batch gets to another server. False: there is no way, or no room, now. */
export type SendBatch = (to: NodeName, batch: BatchNumber, commands: Uint8Array) => boolean;

/**
 * Batches on their way to the leader, which have no answer yet. They go in streams: within one every batch is taken in its
 * turn or refused, and with it all behind it, so what is refused can go again in a new stream and nothing is overtaken.
 *
 * 1. all of them are on their way to one server, in the order of their numbers
 */
export class ForwardedBatches {
  readonly #send: SendBatch;
  #to: NodeName | null = null;
  #stream = 0;
  #lastNumber = 0;
  #sent: { readonly number: number; readonly batch: Batch }[] = [];

  constructor(send: SendBatch) {
    this.#send = send;
  }

  /** Where batches are on their way to; null: none is on its way. */
  get to(): NodeName | null {
    return this.#sent.length === 0 ? null : this.#to;
  }

  /** Those without an answer, in order. */
  batches(): Batch[] {
    return this.#sent.map(({ batch }) => batch);
  }

  send(to: NodeName, batch: Batch): boolean {
    assert(this.to === null || this.to === to, "batches are on their way to one server only");
    if (this.#to !== to) {
      this.#to = to;
      this.#begin();
    }
    const number = this.#lastNumber + 1;
    const commands = batch.bytes.subarray(0, batch.length);
    if (!this.#send(to, { stream: this.#stream, number }, commands)) return false;
    this.#lastNumber = number;
    this.#sent.push({ number, batch });
    return true;
  }

  /** The batch that was taken; null when nobody waits for it any more. */
  accepted(from: NodeName, { stream, number }: BatchNumber): Batch | null {
    if (from !== this.#to || stream !== this.#stream) return null;
    const at = this.#sent.findIndex((one) => one.number === number);
    return at < 0 ? null : this.#sent.splice(at, 1)[0]!.batch;
  }

  /**
   * The batch that was refused and all behind it, which were not taken either: `again`, in order; and those before it
   * whose answers were lost. What goes from now on is a new stream. Null: that is known already.
   */
  refused(from: NodeName, { stream, number }: BatchNumber): { again: Batch[]; lost: Batch[] } | null {
    if (from !== this.#to || stream !== this.#stream) return null;
    const again = this.#sent.filter((one) => one.number >= number).map(({ batch }) => batch);
    const lost = this.#sent.filter((one) => one.number < number).map(({ batch }) => batch);
    this.#sent = [];
    this.#begin();
    return { again, lost };
  }

  /** Nobody knows what has become of those on their way to `peer`: all of them, in order. */
  lost(peer: NodeName | null): Batch[] {
    if (this.#to !== peer) return [];
    const lost = this.#sent.map(({ batch }) => batch);
    this.#sent = [];
    this.#to = null;
    return lost;
  }

  /** Those that were gathered by then, and are waited for no longer. */
  late(since: number): Batch[] {
    const late = this.#sent.filter(({ batch }) => batch.since <= since).map(({ batch }) => batch);
    if (late.length > 0) this.#sent = this.#sent.filter(({ batch }) => batch.since > since);
    return late;
  }

  #begin(): void {
    this.#stream++;
    this.#lastNumber = 0;
  }
}

/** The streams of batches that other servers send this one: which batch of each is the next. */
export class TakenStreams {
  readonly #streams = new Map<NodeName, { readonly stream: number; next: number }>();

  /** Whether a batch is the next one of its stream, which it then is no more. If not, nothing of the stream is any more. */
  isNext(from: NodeName, { stream, number }: BatchNumber): boolean {
    let known = this.#streams.get(from);
    if (known === undefined || known.stream < stream) {
      known = { stream, next: 1 };
      this.#streams.set(from, known);
    }
    if (known.stream !== stream) return false;
    const isNext = known.next === number;
    known.next = isNext ? number + 1 : Infinity;
    return isNext;
  }

  /** A batch was not taken: nothing behind it is. */
  refused(from: NodeName, { stream }: BatchNumber): void {
    const known = this.#streams.get(from);
    if (known?.stream === stream) known.next = Infinity;
  }

  /** The link is another one: streams begin anew. */
  forget(from: NodeName): void {
    this.#streams.delete(from);
  }
}
