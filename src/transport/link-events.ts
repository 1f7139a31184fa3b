import type { NodeName } from "../base/ids.ts";
import type { Millis } from "../base/units.ts";
import type { Refusal } from "./greeting-machine.ts";
import type { LostFrames } from "./link-output.ts";
import type { Lane } from "./peer-frame.ts";
import type { PeerAddress, StreamEnd } from "./peer-stream.ts";
import type { RemoteServer } from "./remote-server.ts";

/** Number of a connection, given by this server; never used again. */
export type ConnectionId = number;

export type LinkEvent =
  /** A stream was accepted; its number comes from `nextConnection`. */
  | { readonly type: "accepted"; readonly now: Millis; readonly connection: ConnectionId; readonly address: string }
  /** A dialled stream stands. */
  | { readonly type: "opened"; readonly now: Millis; readonly connection: ConnectionId }
  | { readonly type: "received"; readonly now: Millis; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  | { readonly type: "closed"; readonly now: Millis; readonly connection: ConnectionId; readonly why: StreamEnd }
  /** Time has passed: what is due happens now. */
  | { readonly type: "tick"; readonly now: Millis };

/** Why a link is gone: its stream ended, or one side said why. */
export type LinkEnd =
  | { readonly how: "stream"; readonly why: StreamEnd }
  | { readonly how: "refusal"; readonly refusal: Refusal };

export type LinkEffect =
  | { readonly type: "dial"; readonly connection: ConnectionId; readonly peer: NodeName; readonly address: PeerAddress }
  /** Of a greeting; the frames of a standing link are asked for with `takeOutput`. */
  | { readonly type: "write"; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  /** Something may be written: ask `takeOutput` at the end of the turn. */
  | { readonly type: "output"; readonly connection: ConnectionId }
  | { readonly type: "end"; readonly connection: ConnectionId }
  | { readonly type: "destroy"; readonly connection: ConnectionId }
  | { readonly type: "up"; readonly remote: RemoteServer; readonly version: number; readonly dialledBy: "us" | "them" }
  | { readonly type: "down"; readonly remote: RemoteServer; readonly end: LinkEnd; readonly lost: LostFrames }
  | {
      readonly type: "frame";
      readonly from: NodeName;
      /** Who passed it on; null when it came on the sender's own link. */
      readonly via: NodeName | null;
      readonly lane: Lane;
      readonly kind: number;
      /** A view: whoever keeps it beyond the call copies it. */
      readonly payload: Uint8Array;
    }
  /** A lane that had refused a frame takes some again. */
  | { readonly type: "room"; readonly peer: NodeName; readonly lane: Lane }
  /** The machine answers and the process does not run: known at once, before any silence. */
  | { readonly type: "not-running"; readonly peer: NodeName }
  /** A frame of another server could not be passed on and is gone. */
  | { readonly type: "relay-dropped"; readonly from: NodeName; readonly to: NodeName }
  /** A connection that never became a link ended. `peer` is null as long as nobody knows who it was. */
  | {
      readonly type: "no-link";
      readonly peer: NodeName | null;
      readonly address: string;
      readonly end: LinkEnd;
    };

/** What a caller hands over. */
export interface SentFrame {
  readonly lane: Lane;
  /** The caller's own, below 2^16. */
  readonly kind: number;
  /** Belongs to the link from now on and must not change. */
  readonly payload: Uint8Array;
  /** What stands behind the payload and is not copied: several frames may share it. Must not change. @defaultValue nothing */
  readonly rest?: Uint8Array;
  /** The caller's own number; comes back if the frame is lost. */
  readonly tag: number;
  /** Control only, below 2^32: a frame of the same kind and subject that still waits is replaced. Null: never replaced. */
  readonly subject: number | null;
}

/**
 * `full`: not taken; `room` follows. `no-link`: not taken, there is no way to that server now. `relayed`: on its way
 * through another server, which may lose it without a word.
 */
export type SendOutcome = "taken" | "replaced" | "relayed" | "full" | "no-link";

/** What status shows of one server. */
export interface PeerStatus {
  readonly name: NodeName;
  readonly state: "unreachable" | "waiting" | "dialling" | "linked";
  readonly remote: RemoteServer | null;
  readonly waitingBytes: number;
  readonly unconfirmedBytes: number;
}
