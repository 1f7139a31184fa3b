/** An ordered stream of bytes in both directions: a TCP connection, real or simulated. */
export interface ByteStream {
  /** The address at the other end, for limits and status. */
  readonly address: string;
  /** Bytes written that the other side's buffers have not taken yet. */
  readonly bufferedBytes: number;
  /** Says who is told what happens here. Called once, before anything can happen. */
  attach(receiver: StreamReceiver): void;
  /**
   * Sends these pieces in their order, as one write where possible. They must not change any more. Ignored once the
   * stream has ended; a broken stream says so by `closed`.
   */
  write(pieces: readonly Uint8Array[]): void;
  /** Stops handing over bytes. Nothing is handed over between `pause` and `resume`. */
  pause(): void;
  resume(): void;
  /** Ends the sending direction after what was written. */
  end(): void;
  /** Ends both directions at once. */
  destroy(): void;
}

/** Whoever is told what happens to a stream. */
export interface StreamReceiver {
  /** Bytes came, in any cut. They are lent: what the receiver needs after this call it copies. */
  data(bytes: Uint8Array): void;
  /** What had been held back by a slow other side was taken. */
  drained(): void;
  /** The other side will send nothing more; it may still read. */
  ended(): void;
  /** The stream is gone, for whatever reason; the last thing that is told. */
  closed(): void;
}
