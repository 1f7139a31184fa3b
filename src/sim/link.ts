/** How the network cuts the bytes it delivers. TCP promises their order and nothing about where a piece ends. */
export type Chop =
  /** All that has arrived by then, in one piece. */
  | { readonly kind: "none" }
  /**
   * Pieces of 1 to `bytesMax` bytes; 1 is a byte at a time. After 256 pieces of one burst they grow, so that a large
   * body does not cost an event per byte.
   */
  | { readonly kind: "pieces"; readonly bytesMax: number }
  /** A piece ends at exactly this offset of the stream, counted from its first byte. For sweeps over every boundary. */
  | { readonly kind: "at"; readonly offset: number };

/** What bytes meet on their way from one host to another. One direction; the way back has its own. */
export interface LinkConditions {
  /** Every byte takes at least this long. */
  readonly latencyMs: number;
  /** And on top of it a time drawn from an exponential distribution with this mean, anew for every write. */
  readonly jitterMeanMs: number;
  /** How fast bytes leave; null: at once. */
  readonly bytesPerSecond: number | null;
  readonly chop: Chop;
  /** Chance that a delivered piece has one bit flipped. Off between clients and servers: TCP checks what it carries. */
  readonly corruptPerPiece: number;
  /** What the operating systems' buffers of both ends take before the writer sees `bufferedBytes` grow. */
  readonly socketBytes: number;
}

/** A quiet machine room: 0.2 ms and a little jitter, no bound on speed, nothing cut or corrupted. */
export const calmLink: LinkConditions = {
  latencyMs: 0.2,
  jitterMeanMs: 0.1,
  bytesPerSecond: null,
  chop: { kind: "none" },
  corruptPerPiece: 0,
  socketBytes: 64 * 1024,
};
