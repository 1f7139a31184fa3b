import { assert } from "../../base/assert.ts";
import type { NodeName } from "../../base/ids.ts";
import { type Item, type Piece, pieceBytesMax, type Want } from "./catch-up-frames.ts";
import type { DownloadSettings } from "./downloads.ts";

/**
 * One item on its way.
 *
 * 1. every piece is asked for, on its way, or here; each is taken once
 * 2. one server is asked at a time
 * 3. nothing is allocated for what its size was not checked
 */
export class Download {
  readonly #settings: DownloadSettings;
  readonly #bytesMax: number;
  /** As it was asked for; for a snapshot the one that is being had, once that is known. */
  #item: Item;
  #source: NodeName | null = null;
  #bytes: Uint8Array | null = null;
  #received = 0;
  /** Offsets that nobody is asked for, from the first to be asked for. */
  #open: number[] = [0];
  /** Offsets that are asked for, by request. */
  readonly #asked = new Map<number, number>();
  /** Servers that were asked and do not have it. */
  readonly #without = new Set<NodeName>();
  /** Servers that what has come is from, and those of what was not what it should be. */
  readonly #givers = new Set<NodeName>();
  readonly #doubted = new Set<NodeName>();
  #quietSince: number;
  /** It came, and was not what it should be: asked for again then. */
  #retryAt = 0;

  constructor(item: Item, bytesMax: number, settings: DownloadSettings, now: number) {
    this.#item = item;
    this.#bytesMax = bytesMax;
    this.#settings = settings;
    this.#quietSince = now;
  }

  get item(): Item {
    return this.#item;
  }

  get source(): NodeName | null {
    return this.#source;
  }

  get received(): number {
    return this.#received;
  }

  get total(): number | null {
    return this.#bytes?.length ?? null;
  }

  /** Only complete bytes mean anything. */
  get bytes(): Uint8Array | null {
    return this.#bytes;
  }

  get isComplete(): boolean {
    return this.#bytes !== null && this.#received === this.#bytes.length;
  }

  get dueAt(): number {
    if (this.isComplete) return Infinity;
    if (this.#source === null) return this.#retryAt > 0 ? this.#retryAt : Infinity;
    return this.#asked.size === 0 ? Infinity : this.#quietSince + this.#settings.answerWithinMs;
  }

  /** Whether it is what is wanted, or, of a snapshot, later than what is wanted. */
  serves(wanted: Item): boolean {
    return isLaterOrSame(this.#item, wanted);
  }

  hasAsked(request: number): boolean {
    return this.#asked.has(request);
  }

  /** All with whom a link stands have been asked in vain. What has come of it is kept while there is no link at all. */
  isNowhere(now: number, linked: readonly NodeName[]): boolean {
    if (this.isComplete || this.#source !== null || now < this.#retryAt) return false;
    return linked.length === 0 ? this.#received === 0 : linked.every((peer) => this.#without.has(peer));
  }

  /** Who is asked; null: nobody now. */
  sourceFor(now: number, linked: readonly NodeName[]): NodeName | null {
    if (this.#source !== null || now < this.#retryAt) return this.#source;
    this.#retryAt = 0;
    const possible = linked.filter((peer) => !this.#without.has(peer));
    this.#source = possible.find((peer) => !this.#doubted.has(peer)) ?? possible[0] ?? null;
    this.#quietSince = now;
    return this.#source;
  }

  /** The next piece to be asked for; null when enough is. */
  next(now: number, request: number): Want | null {
    // How much there is, and of a snapshot which, is known with the first piece.
    const requestsMax = this.#bytes === null ? 1 : this.#settings.requestsMax;
    const offset = this.#open[0];
    if (offset === undefined || this.#asked.size >= requestsMax) return null;
    this.#open.shift();
    if (this.#asked.size === 0) this.#quietSince = now;
    this.#asked.set(request, offset);
    const length = Math.min(pieceBytesMax, (this.#bytes?.length ?? pieceBytesMax) - offset);
    return { type: "want", request, item: this.#item, offset, length };
  }

  took(now: number, { request, item, total, offset, bytes }: Piece): void {
    const asked = this.#asked.get(request);
    assert(asked !== undefined, "an answer to nothing");
    const { kind, group, generation } = this.#item;
    const isOfIt = item.kind === kind && item.group === group && item.generation === generation;
    if (!isOfIt || offset !== asked || total > this.#bytesMax || total === 0) {
      this.absent(now);
      return;
    }
    if (this.#bytes === null) {
      if (!this.#begins(item, total)) {
        this.absent(now);
        return;
      }
    } else if (item.number !== this.#item.number || total !== this.#bytes.length) {
      // Another one than what has come so far: one of the two is not what it should be.
      this.#reset();
      this.absent(now);
      return;
    }
    if (bytes.length !== Math.min(pieceBytesMax, total - offset)) {
      this.absent(now);
      return;
    }
    this.#asked.delete(request);
    this.#bytes!.set(bytes, offset);
    this.#received += bytes.length;
    this.#quietSince = now;
    if (this.#source !== null) this.#givers.add(this.#source);
  }

  /** Who is asked does not have it, or gives what can't be. */
  absent(now: number): void {
    if (this.#source !== null) this.#without.add(this.#source);
    this.#leave(now);
  }

  unsent(request: number): void {
    const offset = this.#asked.get(request);
    if (offset === undefined) return;
    this.#asked.delete(request);
    this.#open.unshift(offset);
  }

  linked(now: number, peers: readonly NodeName[]): void {
    for (const peer of this.#without) if (!peers.includes(peer)) this.#without.delete(peer);
    if (this.#source !== null && !peers.includes(this.#source)) this.#leave(now);
  }

  /** What has come is not what it should be. */
  spoiled(now: number): void {
    for (const giver of this.#givers) this.#doubted.add(giver);
    this.#reset();
    this.#source = null;
    this.#without.clear();
    this.#retryAt = now + this.#settings.retryAfterMs;
  }

  tick(now: number): void {
    if (this.#source !== null && this.#asked.size > 0 && now >= this.#quietSince + this.#settings.answerWithinMs) {
      this.absent(now);
    }
  }

  #begins(item: Item, total: number): boolean {
    if (!isLaterOrSame(item, this.#item)) return false;
    this.#item = item;
    this.#bytes = new Uint8Array(total);
    this.#open = [];
    for (let at = pieceBytesMax; at < total; at += pieceBytesMax) this.#open.push(at);
    return true;
  }

  /** What was asked for is asked for elsewhere. */
  #leave(now: number): void {
    this.#open = [...this.#asked.values(), ...this.#open].sort((left, right) => left - right);
    this.#asked.clear();
    this.#source = null;
    this.#quietSince = now;
  }

  #reset(): void {
    this.#bytes = null;
    this.#received = 0;
    this.#open = [0];
    this.#asked.clear();
    this.#givers.clear();
  }
}

function isLaterOrSame({ kind, group, number, generation }: Item, than: Item): boolean {
  if (kind !== than.kind || group !== than.group || generation !== than.generation) return false;
  return kind === "snapshot" ? number >= than.number : number === than.number;
}
