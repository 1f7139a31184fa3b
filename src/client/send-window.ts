/**
 * How many sends may be on their way at once, as far as the server has shown: congestion avoidance by additive increase
 * and multiplicative decrease, after RFC 5681 section 3.1, counted in messages.
 *
 * 1. It shuts to half of what was out when a server says that it has too much, once for all that was out then: what one
 *    burst is told again and again is told once.
 * 2. It opens by one after eight windows of stored messages: every attempt at more costs the wait that the server asks
 *    for, so attempts are seldom.
 * 3. It is never less than 1, and without bound on a new link, where `limit` is the server's word for the beginning.
 */
export class SendWindow {
  #size = Infinity;
  /** The newest attempt that was out when it was shut last. */
  #shutAt = 0;

  /** Messages. */
  size(limit: number): number {
    return Math.min(limit, Math.floor(this.#size));
  }

  /** An attempt was refused because the server has too much; `out` attempts, this one included, up to `newest`. */
  refused(attempt: number, newest: number, out: number): void {
    if (attempt <= this.#shutAt) return;
    this.#shutAt = newest;
    this.#size = Math.max(1, Math.floor(Math.min(this.#size, out) / 2));
  }

  stored(): void {
    this.#size += 1 / (windowsBeforeOneMore * this.#size);
  }

  /** The link is another one, and perhaps the server. */
  forget(): void {
    this.#size = Infinity;
    this.#shutAt = 0;
  }
}

const windowsBeforeOneMore = 8;
