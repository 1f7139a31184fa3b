import { assert } from "../base/assert.ts";
import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Encoding } from "./ports.ts";

/**
 * Frames as JSON, in text messages.
 *
 * The full codec of src/protocol checks everything a stranger may send and weighs more than all the rest of the SDK. A
 * server is not a stranger: here is checked what the SDK relies on, so that a broken server or a proxy's error page ends
 * the link instead of the program. Fields that are not known are ignored, and so are frames of an unknown `t`.
 */

/** By `t` and, for `ok`, `of`: fields that hold a text, then those that hold a whole number, then those that may also be null. */
const shapes: Readonly<Record<string, string>> = {
  welcome: "user session node cluster topology,v heartbeatMs,",
  "ok done": ",,",
  "ok send": "room cid line leader node,ts epoch,seq",
  "ok sub": "room line node,first head epoch,",
  "ok join": "room line,head epoch,",
  "ok hist": "room line node,first head,",
  "ok lookup": "room cid,head,seq",
  "ok rooms": ",,",
  "ok presence": "room,,",
  "ok members": "room,count,",
  err: "code message,,",
  msg: "room from cid kind body,ts epoch,seq",
  room: "room line,first head read,",
  "caught-up": "room,seq,",
  gap: "room reason,from to,",
  read: "room user,seq,",
  presence: "room,,",
  typing: "room user,,",
  drain: ",withinMs,",
  pong: ",,",
  settled: "room,,",
};
const itemShape = "from cid kind body,ts epoch,seq";
const memberShape = "user role,,";
const roomShape = "room line,first head read unread,";
const limitsShape = ",bodyBytesMax frameBytesMax histItemsMax subsMax roomsMax sendsInFlightMax,";

type Fields = Readonly<Record<string, unknown>>;
type Shape = readonly [texts: readonly string[], numbers: readonly string[], nullables: readonly string[]];

/** Adds to `into` the frames of one text: a frame, or an array of them. Throws `ProtocolViolation`. */
export type AddFrames = (text: string, into: ServerFrame[]) => void;

/** Reads texts of frames. Holds nothing of one for the next. */
export function jsonReader(): AddFrames {
  const parsed = new Map<string, Shape>();
  const shapeOf = (text: string): Shape => {
    let shape = parsed.get(text);
    if (shape === undefined) {
      const [texts, numbers, nullables] = text
        .split(",")
        .map((names) => names.split(" ").filter((name) => name !== ""));
      assert(texts !== undefined && numbers !== undefined && nullables !== undefined, "a shape has three parts");
      shape = [texts, numbers, nullables];
      parsed.set(text, shape);
    }
    return shape;
  };

  const check = (value: unknown, text: string): Fields => {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw new ProtocolViolation("not an object");
    const fields = value as Fields;
    const [texts, numbers, nullables] = shapeOf(text);
    for (const name of texts)
      if (typeof fields[name] !== "string") throw new ProtocolViolation(`${name} is not a text`);
    for (const name of numbers) if (!isWhole(fields[name])) throw new ProtocolViolation(`${name} is not a number`);
    for (const name of nullables) {
      if (fields[name] !== null && !isWhole(fields[name])) throw new ProtocolViolation(`${name} is not a number`);
    }
    return fields;
  };

  const checkList = (value: unknown, text: string): void => {
    if (!Array.isArray(value)) throw new ProtocolViolation("not a list");
    for (const item of value as readonly unknown[]) check(item, text);
  };

  const add = (value: unknown, into: ServerFrame[]): void => {
    const { t, of } = check(value, ",,");
    if (typeof t !== "string") throw new ProtocolViolation("a frame without t");
    const key = t === "ok" ? `ok ${String(of)}` : t;
    if (!Object.hasOwn(shapes, key)) return;
    const fields = check(value, shapes[key]!);
    if (key === "welcome") {
      check(fields["limits"], limitsShape);
      if (!Array.isArray(fields["servers"]) || !fields["servers"].every((url) => typeof url === "string")) {
        throw new ProtocolViolation("servers is not a list of addresses");
      }
    }
    if (key === "ok hist") checkList(fields["items"], itemShape);
    if (key === "ok members") checkList(fields["members"], memberShape);
    if (key === "ok rooms") checkList(fields["rooms"], roomShape);
    into.push(value as ServerFrame);
  };

  return (text, into) => {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new ProtocolViolation("not JSON", { cause });
    }
    if (Array.isArray(value)) for (const frame of value as readonly unknown[]) add(frame, into);
    else add(value, into);
  };
}

/** Arrays of frames in text messages. */
export function jsonEncoding(): Encoding {
  const add = jsonReader();
  return {
    opening: null,
    encode: (frames: readonly ClientFrame[]) => JSON.stringify(frames.length === 1 ? frames[0] : frames),
    decoder: () => ({
      push(data) {
        const into: ServerFrame[] = [];
        if (typeof data !== "string") throw new ProtocolViolation("bytes where text was agreed");
        add(data, into);
        return into;
      },
    }),
  };
}

const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
