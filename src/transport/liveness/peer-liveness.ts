import { unreachable } from "../../base/assert.ts";
import type { Millis } from "../../base/units.ts";
import type { RunId } from "../remote-server.ts";

/** What this server knows of another's life. Times are credited ones. */
export type PeerLife =
  /** Nothing was ever heard. */
  | { readonly state: "unknown"; readonly since: Millis }
  | { readonly state: "alive"; readonly run: RunId; readonly number: number; readonly heardAt: Millis }
  /** Silent for too long: it may be slow, cut off or dead. */
  | { readonly state: "suspected"; readonly last: LastHeard | null }
  /** Its machine refuses connections: the process does not run. */
  | { readonly state: "dead"; readonly last: LastHeard | null };

/** The newest heartbeat of a server that is not heard now. */
export interface LastHeard {
  readonly run: RunId;
  readonly number: number;
}

export type LifeInput =
  | { readonly type: "heard"; readonly at: Millis; readonly run: RunId; readonly number: number }
  /** Time to judge: silence of `suspectAfterMs` is too long. */
  | { readonly type: "judge"; readonly at: Millis; readonly suspectAfterMs: Millis }
  | { readonly type: "refused" };

/** What a change is called. `stale`: a heartbeat that came late or twice. */
export type LifeChange = "none" | "stale" | "alive" | "new-run" | "back" | "suspected" | "dead";

export interface LifeStep {
  readonly life: PeerLife;
  readonly change: LifeChange;
}

/** One server seen by another, pure. Only a newer heartbeat brings it back; only silence or a refusal takes it away. */
export function stepLife(life: PeerLife, input: LifeInput): LifeStep {
  switch (input.type) {
    case "heard":
      return heard(life, input);
    case "judge":
      return judge(life, input.at, input.suspectAfterMs);
    case "refused":
      if (life.state === "dead") return { life, change: "none" };
      return { life: { state: "dead", last: lastOf(life) }, change: "dead" };
    default:
      return unreachable(input);
  }
}

function heard(life: PeerLife, beat: { at: Millis; run: RunId; number: number }): LifeStep {
  const { at: heardAt, run, number } = beat;
  const last = lastOf(life);
  if (last !== null && last.run === run && number <= last.number) return { life, change: "stale" };
  const next: PeerLife = { state: "alive", run, number, heardAt };
  switch (life.state) {
    case "unknown":
      return { life: next, change: "alive" };
    case "alive":
      return { life: next, change: life.run === run ? "none" : "new-run" };
    case "suspected":
    case "dead":
      return { life: next, change: last === null ? "alive" : "back" };
    default:
      return unreachable(life);
  }
}

function judge(life: PeerLife, at: Millis, suspectAfterMs: Millis): LifeStep {
  switch (life.state) {
    case "unknown":
      if (at - life.since < suspectAfterMs) return { life, change: "none" };
      return { life: { state: "suspected", last: null }, change: "suspected" };
    case "alive":
      if (at - life.heardAt < suspectAfterMs) return { life, change: "none" };
      return { life: { state: "suspected", last: lastOf(life) }, change: "suspected" };
    case "suspected":
    case "dead":
      return { life, change: "none" };
    default:
      return unreachable(life);
  }
}

function lastOf(life: PeerLife): LastHeard | null {
  switch (life.state) {
    case "unknown":
      return null;
    case "alive":
      return { run: life.run, number: life.number };
    case "suspected":
    case "dead":
      return life.last;
    default:
      return unreachable(life);
  }
}
