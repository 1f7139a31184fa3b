import { FieldReader, FieldWriter } from "../../base/field-bytes.ts";
import type { NodeName } from "../../base/ids.ts";
import { type Millis, millis } from "../../base/units.ts";
import { type RunId, serverNameIn } from "../remote-server.ts";

/**
 * What one server tells each other one, ten times a second.
 *
 * ```
 * u8 format 1, run[16], u48 number, u32 syncAgeMs, u32 loopLagMs, u8 count of names, names (u8 length each), vouched
 * ```
 */
export interface Heartbeat {
  readonly run: RunId;
  /** Grows with each beat of a run. */
  readonly number: number;
  /** How long the oldest write that is not durable yet has been waiting; 0 when none is. */
  readonly syncAgeMs: Millis;
  readonly loopLagMs: Millis;
  /** Servers whose heartbeats reach it on their own link. */
  readonly hears: readonly NodeName[];
  /** The layer above says which groups this server leads; opaque here. */
  readonly vouched: Uint8Array;
}

const format = 1;
const u32Max = 0xffff_ffff;

export function encodeHeartbeat(beat: Heartbeat): Uint8Array {
  const namesBytes = beat.hears.reduce((sum, name) => sum + 1 + name.length, 0);
  const out = new FieldWriter(1 + 16 + 6 + 4 + 4 + 1 + namesBytes + beat.vouched.length);
  out.u8(format);
  out.id(beat.run);
  out.u48(beat.number);
  out.u32(Math.min(u32Max, Math.round(beat.syncAgeMs)));
  out.u32(Math.min(u32Max, Math.round(beat.loopLagMs)));
  out.u8(beat.hears.length);
  for (const name of beat.hears) out.ascii(name);
  out.raw(beat.vouched);
  return out.done();
}

/** Null: it can't be read. `vouched` is a view of `bytes`. */
export function decodeHeartbeat(bytes: Uint8Array): Heartbeat | null {
  const input = new FieldReader(bytes);
  if (input.u8() !== format) return null;
  const run = input.id() as RunId;
  const number = input.u48();
  const syncAgeMs = millis(input.u32());
  const loopLagMs = millis(input.u32());
  const hears: NodeName[] = [];
  const count = input.u8();
  for (let at = 0; at < count && !input.failed; at++) hears.push(serverNameIn(input));
  return input.failed ? null : { run, number, syncAgeMs, loopLagMs, hears, vouched: input.rest() };
}
