/**
 * An ordered stream of bytes to another server, encrypted, between two that have proven to know the cluster's secret:
 * nothing of it is handed over before. TLS over TCP, or a simulated one.
 */
export interface PeerStream {
  /** The address at the other end, for limits, status and the log. */
  readonly address: string;
  /** Bytes written that the socket has not taken yet. */
  readonly bufferedBytes: number;
  /** Says who is told what happens here. Called once, before anything can happen. */
  attach(receiver: PeerStreamReceiver): void;
  /** Sends these pieces in their order, as one write. They must not change any more. Ignored once the stream has ended. */
  write(pieces: readonly Uint8Array[]): void;
  /** Ends the sending direction after what was written. */
  end(): void;
  /** Ends both directions at once. */
  destroy(): void;
}

/** Whoever is told what happens to a stream. */
export interface PeerStreamReceiver {
  /** A dialled stream stands: the other side knows the secret. Not called for accepted ones, which stand already. */
  opened(): void;
  /** Bytes came, in any cut. They may be kept, and pin the whole piece while they are. */
  data(bytes: Uint8Array): void;
  /** What had been held back by a slow other side was taken. */
  drained(): void;
  /** The stream is gone; the last thing that is told. Not told after `destroy`. */
  closed(why: StreamEnd): void;
}

/**
 * Why a stream is gone. `refused`: the machine is there and nobody listens at that port, so the process does not run.
 * `unauthenticated`: the two do not know the same secret. `failed`: could not be reached, for another reason.
 */
export type StreamEnd = "closed" | "reset" | "refused" | "unauthenticated" | "failed";

/** Where a server listens for others. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** Opens streams. Bounded in time by who asks: a stream that does not stand may be destroyed. */
export interface PeerDialler {
  dial(address: PeerAddress): PeerStream;
}
