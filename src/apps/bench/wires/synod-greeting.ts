import { assert } from "../../../base/assert.ts";
import { getU32 } from "../../../base/byte-order.ts";
import type { RoomName, UserName } from "../../../base/ids.ts";
import { defaultLimits } from "../../../base/limits.ts";
import { decodeBinary, encodeBinary } from "../../../protocol/binary-codec.ts";
import { limitsOfServerFrames } from "../../../protocol/check-frame.ts";
import { headAt, lengthBytes } from "../../../protocol/layout.ts";
import { binaryGreeting, serverFrames } from "../../../protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../../../protocol/schema.ts";
import type { Connection } from "../connection.ts";

/** What is said before a load begins, and asked after it, through the protocol's own codec. */
export interface SynodUser {
  readonly user: string;
  readonly token: string | null;
}

export interface SynodPlace extends SynodUser {
  readonly room: string;
}

export const serverLimits = limitsOfServerFrames(defaultLimits);
const welcomeCode = serverFrames.welcome.code;
/** Requests of the greeting have ids above every message number. */
export const greetingId = 0x1000_0000_0000;

export type Welcome = Extract<ServerFrame, { t: "welcome" }>;

export const helloFrame = (place: SynodUser): ClientFrame => ({
  t: "hello",
  v: 1,
  user: place.user as UserName,
  ...(place.token === null ? {} : { token: place.token }),
});
export const joinFrame = (room: string): ClientFrame & { t: "join" } => ({
  t: "join",
  id: greetingId,
  room: room as RoomName,
});
export const subFrame = (room: string): ClientFrame => ({
  t: "sub",
  id: greetingId,
  room: room as RoomName,
  after: "latest",
});

/** The first frame of a kind among whole frames back to back, and where the next one begins; `null` if it is not there. */
export function findFrame(
  wanted: string,
  bytes: Uint8Array,
  start: number,
  end: number,
): { frame: ServerFrame; next: number } | null {
  let at = start;
  while (end - at >= headAt.fields) {
    const next = at + lengthBytes + getU32(bytes, at);
    if (next > end) return null;
    const frame = decodeBinary("server", bytes, at, next, serverLimits);
    if (frame.t === "refused") throw new Error(`the server sent a malformed frame: ${frame.fault.message}`);
    if (frame.t === "err") throw new Error(`${frame.code}: ${frame.message}`);
    if (frame.t === wanted) return { frame, next };
    at = next;
  }
  return null;
}

/** Says `frame` over TCP and waits for the answer `wanted`; everything before it is used up. */
export async function ask(connection: Connection, frame: ClientFrame, wanted: string): Promise<ServerFrame> {
  connection.write(encodeBinary("client", frame));
  return await awaitFrame(connection, frame.t, wanted);
}

export async function awaitFrame(connection: Connection, what: string, wanted: string): Promise<ServerFrame> {
  let answer: ServerFrame | null = null;
  await connection.expect(what, (bytes, length) => {
    // A server that greets in binary may say the greeting byte first; the code of its answer tells where that begins.
    const code = bytes[1 + headAt.code];
    const isGreeted = bytes[0] === binaryGreeting && (code === welcomeCode || code === serverFrames.err.code);
    const skip = wanted === "welcome" && isGreeted ? 1 : 0;
    const found = findFrame(wanted, bytes, skip, length);
    answer = found?.frame ?? null;
    return found?.next ?? 0;
  });
  assert(answer !== null, "expect settles with an answer");
  return answer;
}

/** Greets over TCP in binary and answers with the server's welcome. */
export async function synodGreeting(connection: Connection, place: SynodUser): Promise<Welcome> {
  connection.write(Uint8Array.of(binaryGreeting));
  return (await ask(connection, helloFrame(place), "welcome")) as Welcome;
}

/** The head of a room, by joining it. */
export async function synodHead(connection: Connection, room: string): Promise<number> {
  const joined = await ask(connection, joinFrame(room), "ok");
  assert(joined.t === "ok" && joined.of === "join", "join is answered by its ok");
  return joined.head;
}

/** The newest messages of a room; answers how many there were. */
export async function synodNewest(connection: Connection, room: string, limit: number): Promise<number> {
  const frame: ClientFrame = { t: "hist", id: greetingId, room: room as RoomName, limit };
  const page = await ask(connection, frame, "ok");
  assert(page.t === "ok" && page.of === "hist", "hist is answered by its ok");
  return page.items.length;
}
