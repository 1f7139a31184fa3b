import { assert } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import type { Limits } from "../base/limits.ts";
import type { Layout } from "./layout.ts";
import { layoutByKind } from "./layout.ts";
import { characters, isCid, isKind, isLine, isRoomName, isUserName } from "./names.ts";
import { idCharactersMax, messageFields, wholeMax } from "./schema.ts";
import type { Field, Fields, FrameFrom, RequestId, Sender, TextField, WholeField } from "./schema.ts";
import { utf8Length } from "./utf8.ts";

/**
 * Checks that a value from outside is a frame of the table, and builds the frame from it field by field.
 *
 * 1. What comes out has exactly the fields of the table, in their order, and shares no object with what went in: keys
 *    such as `__proto__` or `constructor` are unknown fields and are ignored like any other.
 * 2. Names are checked in what clients send. What a server sends is checked for type and length only: the server has
 *    checked the names, and an older client must not choke on a name that only a newer Unicode knows.
 * 3. A value that is no frame becomes `Refused`, with the request's id where it could be read. Nothing is mended.
 */
export type FrameLimits = Pick<
  Limits,
  "bodyBytesMax" | "frameBytesMax" | "jsonDepthMax" | "jsonValuesMax" | "framesPerTextMax"
>;

/** Something that stood where a frame should be. The connection goes on: what stood before and after it counts. */
export interface Refused {
  readonly t: "refused";
  /** The id to answer to; `null` when there was none or it could not be read. */
  readonly id: RequestId | null;
  /** `bad_request`, `too_large` or `unsupported`. */
  readonly fault: Fault;
}

export const refused = (id: RequestId | null, fault: Fault): Refused => ({ t: "refused", id, fault });

/** What a client lets its server send: a full page of history, escaped, is the largest frame there is. */
export function limitsOfServerFrames(
  limits: FrameLimits & Pick<Limits, "histBytesMax" | "histItemsMax" | "roomsMax">,
): FrameLimits {
  // A body's byte takes at most six in JSON; names and numbers of one message or room stay below 2 KiB.
  const page = limits.histBytesMax * 6 + limits.histItemsMax * 2048;
  return { ...limits, frameBytesMax: Math.max(limits.frameBytesMax, page, limits.roomsMax * 2048) };
}

/** A bare object as the JSON parser makes them. */
export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The frame that this value is, or why it is none. */
export function frameOf<S extends Sender>(sender: S, value: unknown, limits: FrameLimits): FrameFrom<S> | Refused {
  if (!isObject(value)) return refused(null, new Fault("bad_request", "a frame must be a JSON object"));
  const id = isRequestId(value["id"]) ? value["id"] : null;
  const t = value["t"];
  if (typeof t !== "string") return refused(id, new Fault("bad_request", 'a frame needs a text "t"'));
  const of = value["of"];
  const layout = layoutByKind(sender, t, sender === "server" && t === "ok" && typeof of === "string" ? of : undefined);
  if (layout === undefined) {
    const what = t.length <= 32 && utf8Length(t) !== -1 ? JSON.stringify(t) : "this frame";
    return refused(id, new Fault("unsupported", `${what} is not known here`));
  }
  try {
    return build<S>(sender, layout, value, limits);
  } catch (cause) {
    if (cause instanceof Fault) return refused(id, cause);
    throw cause;
  }
}

function build<S extends Sender>(sender: S, layout: Layout, value: JsonObject, limits: FrameLimits): FrameFrom<S> {
  const spec = layout.spec;
  const frame: Record<string, unknown> = { t: spec.t };
  if (spec.of !== undefined) frame["of"] = spec.of;
  const id = value["id"];
  if (spec.id === "required" || (spec.id === "optional" && id !== undefined && id !== null)) {
    if (!isRequestId(id)) {
      throw new Fault("bad_request", `${spec.t} needs an "id": a whole number or up to ${idCharactersMax} characters`);
    }
    frame["id"] = plusZero(id);
  }
  copyFields(frame, layout.spec.fields, value, { what: spec.t, names: sender === "client", limits });
  checkChoice(layout, frame);
  // The table says what is in it, and the table is where the type comes from.
  return frame as unknown as FrameFrom<S>;
}

/** -0 is the number 0, and nothing else writes it that way. */
const plusZero = (id: RequestId): RequestId => (typeof id === "number" ? id + 0 : id);

/** Checks `exactlyOne` and `atMostOne` of a frame whose fields are built. Throws `bad_request`. */
export function checkChoice(layout: Layout, frame: JsonObject): void {
  const { exactlyOne, atMostOne, t } = layout.spec;
  const choice = exactlyOne ?? atMostOne;
  if (choice === undefined) return;
  let given = 0;
  for (const name of choice) if (frame[name] !== undefined) given++;
  if (given > 1 || (given === 0 && exactlyOne !== undefined)) {
    const how = exactlyOne !== undefined ? "exactly" : "at most";
    throw new Fault("bad_request", `${t} takes ${how} one of ${choice.join(", ")}`);
  }
}

/** What `checkField` needs to know beside the value. */
export interface CheckContext {
  /** The frame, for messages. */
  readonly what: string;
  /** Whether names must follow the grammar. */
  readonly names: boolean;
  readonly limits: FrameLimits;
}

function copyFields(into: Record<string, unknown>, fields: Fields, from: JsonObject, context: CheckContext): void {
  for (const name in fields) {
    const field = fields[name]!;
    const value = from[name];
    if (value === undefined || (value === null && field.optional === true)) {
      if (field.optional === true) continue;
      throw new Fault("bad_request", `${context.what} needs "${name}"`);
    }
    into[name] = checkField(field, name, value, context);
  }
}

/** The value as the frame holds it. Throws `bad_request` or `too_large`. */
export function checkField(field: Field, name: string, value: unknown, context: CheckContext): unknown {
  switch (field.type) {
    case "whole":
      return checkWhole(field, name, value, context);
    case "flag":
      if (typeof value !== "boolean") throw wrong(context, name, "true or false");
      return value;
    case "text":
      if (typeof value !== "string") throw wrong(context, name, "a text");
      checkText(field, name, value, context);
      return value;
    case "body":
      if (typeof value !== "string") throw wrong(context, name, "a text");
      checkBody(value, context);
      return value;
    case "stamp":
      return checkStamp(name, value, context);
    case "object": {
      if (!isObject(value)) throw wrong(context, name, "an object");
      const built: Record<string, unknown> = {};
      copyFields(built, field.fields, value, context);
      return built;
    }
    case "list": {
      if (!Array.isArray(value)) throw wrong(context, name, "a list");
      checkCount(field.itemsMax, name, value.length, context);
      return value.map((item: unknown) => checkField(field.item, name, item, context));
    }
    case "messages": {
      if (!Array.isArray(value)) throw wrong(context, name, "a list");
      checkCount(field.itemsMax, name, value.length, context);
      return value.map((item: unknown) => {
        if (!isObject(item)) throw wrong(context, name, "a list of objects");
        const built: Record<string, unknown> = {};
        copyFields(built, messageFields, item, context);
        return built;
      });
    }
  }
}

function checkWhole(field: WholeField, name: string, value: unknown, context: CheckContext): unknown {
  if (value === null && field.nullable === true) return null;
  if (value === "latest" && field.latest === true) return "latest";
  if (typeof value !== "number" || !isWhole(value, field)) {
    const or = field.nullable === true ? " or null" : field.latest === true ? ' or "latest"' : "";
    throw wrong(context, name, `a whole number from ${field.min ?? 0} to 2^48 - 1${or}`);
  }
  return value + 0;
}

/** Says whether a number may stand in this field. */
export const isWhole = (value: number, field: WholeField): boolean =>
  Number.isSafeInteger(value) && value >= (field.min ?? 0) && value <= wholeMax;

/** Checks a text against its field: length in bytes, well-formed, closed list, and grammar where asked for. */
function checkText(field: TextField, name: string, value: string, context: CheckContext): void {
  // A unit takes at least one byte: what is far too long is refused before it is walked.
  const bytes = value.length > field.bytesMax ? field.bytesMax + 1 : utf8Length(value);
  if (bytes === -1) throw wrong(context, name, "well-formed Unicode");
  if (bytes > field.bytesMax) throw wrong(context, name, `at most ${field.bytesMax} bytes long`);
  if (field.emptyMeans !== undefined && bytes === 0) throw wrong(context, name, "not empty");
  checkWords(field, name, value, context);
}

/** What is left to check of a text that is known to be well-formed and short enough. */
export function checkWords(field: TextField, name: string, value: string, context: CheckContext): void {
  if (field.oneOf !== undefined && !field.oneOf.includes(value)) throw wrong(context, name, field.oneOf.join(" or "));
  if (context.names && !followsGrammar(field, value)) throw wrong(context, name, grammars[field.is]);
}

function followsGrammar(field: TextField, value: string): boolean {
  switch (field.is) {
    case "room":
      return isRoomName(value);
    case "user":
      return isUserName(value);
    case "cid":
      return isCid(value);
    case "kind":
      return isKind(value);
    case "line":
      return isLine(value);
    case "node":
    case "cluster":
    case "free":
      return true;
  }
}

const grammars: Readonly<Record<TextField["is"], string>> = {
  room: 'the name of a room (1 to 128 bytes, NFC, without white space and / \\ , @ # ! : * ? % " < > &)',
  user: 'the name of a user (1 to 60 bytes, NFC, without white space and / \\ , @ # ! : * ? % " < > &)',
  cid: "1 to 64 characters of A-Z a-z 0-9 . _ : ~ -",
  kind: "1 to 32 characters",
  line: "1 to 64 characters of A-Z a-z 0-9 . _ : ~ -",
  node: "a text",
  cluster: "a text",
  free: "a text",
};

/** Checks a body: well-formed, and within the limit in bytes. */
function checkBody(value: string, context: CheckContext): void {
  const most = context.limits.bodyBytesMax;
  const bytes = value.length > most ? most + 1 : utf8Length(value);
  if (bytes === -1) throw wrong(context, "body", "well-formed Unicode");
  if (bytes > most) throw new Fault("too_large", `a body takes at most ${most} bytes`);
}

function checkStamp(name: string, value: unknown, context: CheckContext): unknown {
  const what = "[time, origin, n]";
  if (!Array.isArray(value) || value.length !== 3) throw wrong(context, name, what);
  const parts: readonly unknown[] = value;
  const [time, origin, n] = parts;
  if (typeof time !== "number" || typeof n !== "number" || typeof origin !== "string") throw wrong(context, name, what);
  if (!isWhole(time, stampNumber) || !isWhole(n, stampNumber)) throw wrong(context, name, what);
  checkText(stampOrigin, name, origin, context);
  return [time + 0, origin, n + 0];
}

const stampNumber: WholeField = { type: "whole", unit: "count" };
const stampOrigin: TextField = { type: "text", is: "node", bytesMax: 128 };

function checkCount(most: number, name: string, count: number, context: CheckContext): void {
  if (count > most) throw new Fault("too_large", `${context.what}: "${name}" takes at most ${most} items`);
}

const wrong = (context: CheckContext, name: string, what: string): Fault =>
  new Fault("bad_request", `${context.what}: "${name}" must be ${what}`);

/** Says whether a value may be the id of a request: a safe integer, or a well-formed text of at most 64 characters. */
export function isRequestId(value: unknown): value is RequestId {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "string" || value.length > idCharactersMax * 2) return false;
  return utf8Length(value) !== -1 && (value.length <= idCharactersMax || characters(value) <= idCharactersMax);
}

/** The layout of a frame that this program made. */
export function layoutOfFrame(sender: Sender, frame: { readonly t: string; readonly of?: string }): Layout {
  const layout = layoutByKind(sender, frame.t, frame.of);
  assert(layout !== undefined, `no frame ${frame.t} is sent by a ${sender}`);
  return layout;
}
