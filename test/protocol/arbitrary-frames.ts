import fc from "fast-check";
import { isRoomName, isUserName, directRoomOf } from "../../src/protocol/names.ts";
import type { UserName } from "../../src/base/ids.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { layouts } from "../../src/protocol/layout.ts";
import type { Layout } from "../../src/protocol/layout.ts";
import { messageFields, wholeMax } from "../../src/protocol/schema.ts";
import type { Field, Fields, FrameFrom, Sender, TextField } from "../../src/protocol/schema.ts";

/** Valid frames of every kind, made from the table itself: a new field or frame is covered as soon as it is in there. */

export const limits = defaultLimits;

const letters = ["a", "b", "Z", "0", "-", "_", ".", "'", "(", "ö", "é", "李", "ア", "🙂", "𝒳"] as const;
const short = fc.array(fc.constantFrom(...letters), { minLength: 1, maxLength: 14 }).map((parts) => parts.join(""));

export const userName = short.map((text) => (isUserName(text) ? text : `u${text}`) as UserName);
export const roomName = fc.oneof(
  { weight: 3, arbitrary: short.map((text) => (isRoomName(text) ? text : `r${text}`)) },
  { weight: 1, arbitrary: fc.tuple(userName, userName).map(([one, other]) => directRoomOf(one, other)) },
);
const cidCharacters = [..."abcXYZ019._:~-"] as const;
export const cid = fc
  .array(fc.constantFrom(...cidCharacters), { minLength: 1, maxLength: 64 })
  .map((parts) => parts.join(""));
const kindCharacters = [..."abc.-", "ö", "🙂", " "] as const;
export const kind = fc.oneof(
  fc.constantFrom("text", "edit", "delete", "react", "sys.join"),
  fc.array(fc.constantFrom(...kindCharacters), { minLength: 1, maxLength: 32 }).map((parts) => parts.join("")),
);
/** Any well-formed text, with what escapers stumble over. */
export const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }),
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.constantFrom(
        "\u0000",
        "\u001f",
        "\u007f",
        '"',
        "\\",
        "\\u0000",
        "\n",
        "\r",
        "\t",
        "\b",
        "\f",
        "\u2028",
        "\ufeff",
        "😀",
      ),
    ),
    { maxLength: 8 },
  )
  .map((parts) => parts.join(""));

export const requestId = fc.oneof(
  fc.integer({ min: 1, max: 100_000 }),
  fc.integer({ min: 1, max: wholeMax }),
  fc.string({ unit: "grapheme", maxLength: 16 }).filter((id) => id.length <= 64),
  fc.constantFrom("", "x".repeat(64), "🙂".repeat(64)),
);

const whole = (min: number): fc.Arbitrary<number> =>
  fc.oneof(fc.integer({ min, max: 1000 }), fc.integer({ min, max: wholeMax }), fc.constantFrom(min, wholeMax));

const stamp = fc.tuple(whole(0), fc.constantFrom("n1", "origin-ö"), whole(0));

function textValue(field: TextField): fc.Arbitrary<string> {
  if (field.oneOf !== undefined) return fc.constantFrom(...field.oneOf);
  switch (field.is) {
    case "room":
      return roomName;
    case "user":
      return userName;
    case "cid":
    case "line":
      return cid;
    case "kind":
      return kind;
    case "node":
    case "cluster":
    case "free":
      // At most 64 bytes: one character of the binary kind takes four.
      return fc.string({ unit: "binary", maxLength: 16 });
  }
}

function valueOf(field: Field): fc.Arbitrary<unknown> {
  switch (field.type) {
    case "whole": {
      const other: fc.Arbitrary<unknown>[] = [];
      if (field.nullable === true) other.push(fc.constant(null));
      if (field.latest === true) other.push(fc.constant("latest"));
      return fc.oneof(whole(field.min ?? 0), ...other);
    }
    case "flag":
      return fc.boolean();
    case "text":
      return textValue(field);
    case "body":
      return text;
    case "stamp":
      return stamp;
    case "object":
      return fieldsOf(field.fields);
    case "list":
      return fc.array(valueOf(field.item), { maxLength: 4 });
    case "messages":
      return fc.array(fieldsOf(messageFields), { maxLength: 4 });
  }
}

function fieldsOf(fields: Fields, leaveOut: readonly string[] = []): fc.Arbitrary<Record<string, unknown>> {
  const names = Object.keys(fields).filter((name) => !leaveOut.includes(name));
  const values = Object.fromEntries(names.map((name) => [name, valueOf(fields[name]!)]));
  const requiredKeys = names.filter((name) => fields[name]!.optional !== true);
  return fc.record(values, { requiredKeys, noNullPrototype: true });
}

/** Frames of one layout. The fields stand in the order of the table. */
export function framesOf(layout: Layout): fc.Arbitrary<Record<string, unknown>> {
  const { spec } = layout;
  const choice = spec.exactlyOne ?? spec.atMostOne ?? [];
  const id: fc.Arbitrary<unknown> =
    spec.id === "required"
      ? requestId
      : spec.id === "optional"
        ? fc.option(requestId, { nil: undefined })
        : fc.constant(undefined);
  const chosen: fc.Arbitrary<string | undefined> =
    choice.length === 0
      ? fc.constant(undefined)
      : spec.exactlyOne !== undefined
        ? fc.constantFrom(...choice)
        : fc.option(fc.constantFrom(...choice), { nil: undefined });
  return fc.tuple(id, fieldsOf(spec.fields, choice), chosen).chain(([idValue, values, name]) => {
    const extra = name === undefined ? fc.constant(undefined) : valueOf(spec.fields[name]!);
    return extra.map((value) => {
      const frame: Record<string, unknown> = { t: spec.t };
      if (spec.of !== undefined) frame["of"] = spec.of;
      if (idValue !== undefined) frame["id"] = idValue;
      for (const field of Object.keys(spec.fields)) {
        if (field === name) frame[field] = value;
        else if (values[field] !== undefined) frame[field] = values[field];
      }
      return frame;
    });
  });
}

/** Any frame of one side. */
export const anyFrame = <S extends Sender>(sender: S): fc.Arbitrary<FrameFrom<S>> =>
  fc.oneof(...layouts[sender].map(framesOf)) as unknown as fc.Arbitrary<FrameFrom<S>>;

export const senders = ["client", "server"] as const;

/** Every layout of both sides, for `test.each`. */
export const allLayouts = senders.flatMap((sender) =>
  layouts[sender].map((layout) => ({ sender, name: layout.name, layout })),
);

/** Copies bytes into the middle of others, so that no offset is taken for granted. */
export function embedded(bytes: Uint8Array, before: number): Uint8Array {
  const out = new Uint8Array(before + bytes.length + 7).fill(0xee);
  out.set(bytes, before);
  return out;
}
