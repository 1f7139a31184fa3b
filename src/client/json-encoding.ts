import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Encoding } from "./ports.ts";

/**
 * Frames as JSON, in text messages.
 *
 * The full codec of src/protocol checks everything a stranger may send and weighs more than all the rest of the SDK. A
 * server is not a stranger: here is checked what the SDK itself works with, and every message, so that a broken server or a
 * proxy's error page ends the link instead of the program. Fields that are not known are ignored, and so are frames of an
 * unknown `t`.
 */

/** By `t` and, for `ok`, `of`: fields that hold a text, then those that hold a whole number, then those that may also be null. */
const shapes: Readonly<Record<string, string>> = {
  welcome: "session node cluster,heartbeatMs",
  "ok done": "",
  "ok send": "line,,seq",
  "ok sub": "room line,head",
  "ok join": "line,head",
  "ok hist": "line,head",
  "ok lookup": ",head,seq",
  "ok rooms": "",
  "ok presence": "",
  "ok members": "",
  err: "code message",
  msg: "room from cid kind body,ts epoch,seq",
  room: "room line,head read",
  "caught-up": "",
  gap: "room reason,from to",
  read: "room",
  presence: "room",
  typing: "room",
  drain: "",
  pong: "",
  settled: "room",
};
const itemShape = "from cid kind body,ts epoch,seq";
const limitsShape = ",bodyBytesMax frameBytesMax histItemsMax roomsMax sendsInFlightMax";

type Fields = Readonly<Record<string, unknown>>;
/** Texts, numbers, nullables. */
type Shape = readonly (readonly string[])[];

/** Adds to `into` the frames of one text: a frame, or an array of them. Throws `ProtocolViolation`. */
export type AddFrames = (text: string, into: ServerFrame[]) => void;

const shapeOf = (text: string): Shape => text.split(",").map((names) => names.match(/\w+/g) ?? []);

/** Reads texts of frames. Holds nothing of one for the next. */
export function jsonReader(): AddFrames {
  const frames = new Map(Object.entries(shapes).map(([key, text]) => [key, shapeOf(text)]));
  const limits = shapeOf(limitsShape);
  const lists: Readonly<Record<string, readonly [name: string, item: Shape]>> = {
    welcome: ["servers", []],
    "ok hist": ["items", shapeOf(itemShape)],
    "ok rooms": ["rooms", frames.get("room")!],
  };

  const add = (value: unknown, into: ServerFrame[]): void => {
    const fields = fieldsOf(value);
    const { t, of } = fields;
    if (typeof t !== "string") throw new ProtocolViolation("a frame without t");
    const key = t === "ok" ? `ok ${String(of)}` : t;
    const shape = frames.get(key);
    if (shape === undefined) return;
    check(fields, shape);
    if (t === "welcome") check(fieldsOf(fields["limits"]), limits);
    const list = lists[key];
    if (list !== undefined) {
      const items = fields[list[0]];
      if (!Array.isArray(items)) throw wrong(list[0]);
      for (const item of items as readonly unknown[]) check(fieldsOf(item), list[1]);
    }
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

/** What is no object has no fields. */
const fieldsOf = (value: unknown): Fields => Object(value) as Fields;

function check(fields: Fields, shape: Shape): void {
  for (let sort = 0; sort < shape.length; sort++) {
    for (const name of shape[sort]!) {
      const value = fields[name];
      if (sort === 0 ? typeof value !== "string" : !isWhole(value) && (sort === 1 || value !== null)) throw wrong(name);
    }
  }
}

const wrong = (name: string): ProtocolViolation => new ProtocolViolation(`${name} is missing or of another type`);

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
