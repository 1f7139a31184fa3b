import { assert, unreachable } from "../base/assert.ts";
import type { NodeName } from "../base/ids.ts";
import { noRest } from "./frame-queue.ts";
import type { LinkEffect, SendOutcome, SentFrame } from "./link-events.ts";
import type { LinkLimits } from "./link-limits.ts";
import { untold } from "./link-output.ts";
import { flagPassedOn, flagPassOn, laneOf, payloadBytesMax, type PeerFrame, relayedPayload } from "./peer-frame.ts";
import type { Linked, PeerTable } from "./peer-table.ts";

/**
 * What goes over links that stand, in both directions: frames of this server's own, and those it passes on between two
 * others. One that was passed on is never passed on again.
 */
export class LinkFrames {
  readonly #own: NodeName;
  readonly #table: PeerTable;
  readonly #limits: LinkLimits;
  readonly #tell: (effect: LinkEffect) => void;

  constructor(options: {
    readonly own: NodeName;
    readonly table: PeerTable;
    readonly limits: LinkLimits;
    readonly tell: (effect: LinkEffect) => void;
  }) {
    this.#own = options.own;
    this.#table = options.table;
    this.#limits = options.limits;
    this.#tell = options.tell;
  }

  /** Hands a frame to the link with `to`. Never waits and never throws for what the world does. */
  send(to: NodeName, frame: SentFrame): SendOutcome {
    return this.#offer(to, frame, 0, "");
  }

  /** Hands a frame for `to` to the link with `relay`, which passes it on. Not for bulk. */
  sendThrough(relay: NodeName, to: NodeName, frame: SentFrame): SendOutcome {
    assert(frame.lane !== "bulk", "bulk is not passed on");
    const outcome = this.#offer(relay, frame, flagPassOn, to);
    return outcome === "taken" ? "relayed" : outcome;
  }

  /** A frame has come over a link. Answers what is wrong with it; null when nothing is. */
  received(link: Linked, frame: PeerFrame): string | null {
    const { connection, remote, output } = link;
    const lane = laneOf(frame.type);
    if (lane === null) {
      if (!output.credited(frame.payload)) return "credit for what was not sent";
      if (output.hasWaiting) this.#tell({ type: "output", connection });
      return null;
    }
    if (output.read(lane, frame.payload.length)) this.#tell({ type: "output", connection });
    const { flags, kind } = frame;
    const from = remote.name;
    if (flags === 0) {
      this.#tell({ type: "frame", from, via: null, lane, kind, payload: frame.payload });
      return null;
    }
    const named = relayedPayload(frame.payload);
    if (lane === "bulk" || (flags !== flagPassOn && flags !== flagPassedOn) || named === null) {
      return "a relayed frame can't be read";
    }
    const { name, payload } = named;
    if (flags === flagPassedOn) {
      this.#tell({ type: "frame", from: name, via: from, lane, kind, payload });
    } else if (name === this.#own) {
      this.#tell({ type: "frame", from, via: null, lane, kind, payload });
    } else {
      this.#passOn(from, name, lane, kind, payload);
    }
    return null;
  }

  #passOn(from: NodeName, to: NodeName, lane: "control" | "append", kind: number, payload: Uint8Array): void {
    const link = this.#table.linkWith(to);
    // The view's piece goes with this turn, so what waits is a copy.
    const frame = { kind, flags: flagPassedOn, name: from, payload: payload.slice(), rest: noRest, tag: untold };
    if (link !== null && link.output.offerRelayed(lane, frame)) {
      this.#tell({ type: "output", connection: link.connection });
    } else {
      this.#tell({ type: "relay-dropped", from, to });
    }
  }

  #offer(to: NodeName, frame: SentFrame, flags: number, name: string): SendOutcome {
    const { lane, kind, payload, rest = noRest, tag, subject } = frame;
    const bytes = payload.length + rest.length;
    assert(bytes <= payloadBytesMax(lane, this.#limits), "a frame is too large for its lane");
    assert(kind >= 0 && kind < 0x1_0000, "the kind of a frame is out of range");
    const link = this.#table.linkWith(to);
    if (link === null) return "no-link";
    assert(subject === null || (subject >= 0 && subject < 0x1_0000_0000), "the subject of a frame is out of range");
    const outgoing = { kind, flags, name, payload, rest, tag: flags === 0 ? tag : untold };
    switch (lane) {
      case "control":
        // A relayed frame is for somebody else than the relay, so it shares no subject with the relay's own.
        return link.output.offerControl(outgoing, flags === 0 ? subject : null);
      case "append":
        return link.output.offerAppend(outgoing);
      case "bulk":
        return link.output.offerBulk(outgoing);
      default:
        return unreachable(lane);
    }
  }
}
