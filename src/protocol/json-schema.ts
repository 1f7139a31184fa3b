import type { Layout } from "./layout.ts";
import { idCharactersMax, messageFields, wholeMax } from "./schema.ts";
import type { Field, Fields, TextField } from "./schema.ts";

/**
 * The table as JSON Schema (draft 2020-12), for people's tools. The codecs do not use it, and it says a little less than
 * they check: it counts characters where they count bytes, and knows no NFC.
 */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
}

const cidPattern = "^[A-Za-z0-9._:~-]{1,64}$";
// The characters of the protocol's names, and what is white space or invisible in ASCII; the rest is in the description.
const namePattern = '^[^\\u0000-\\u0020\\u007f/\\\\,@#!:*?%"<>&]+$';
const roomPattern = '^(@[^\\u0000-\\u0020\\u007f/\\\\,@#!:*?%"<>&]+,)?[^\\u0000-\\u0020\\u007f/\\\\,@#!:*?%"<>&]+$';

const number = { type: "integer", minimum: 0, maximum: wholeMax } as const;

/** The id of a request. */
export const requestIdSchema: JsonSchema = {
  description: "Chosen by the client and echoed.",
  anyOf: [
    { type: "integer", minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
    { type: "string", maxLength: idCharactersMax },
  ],
};

const stampSchema: JsonSchema = {
  type: "array",
  prefixItems: [number, { type: "string", maxLength: 128 }, number],
  items: false,
  minItems: 3,
  maxItems: 3,
};

function textSchema(field: TextField): JsonSchema {
  if (field.oneOf !== undefined) return { type: "string", enum: field.oneOf };
  // A character takes at least one byte.
  const bounded = { type: "string", maxLength: field.bytesMax };
  switch (field.is) {
    case "cid":
    case "line":
      return { ...bounded, pattern: cidPattern };
    case "user":
      return { ...bounded, pattern: namePattern };
    case "room":
      return { ...bounded, pattern: roomPattern };
    case "kind":
      return { type: "string", minLength: 1, maxLength: 32 };
    case "node":
    case "cluster":
    case "free":
      return bounded;
  }
}

/** What one field may hold. */
export function fieldSchema(field: Field): JsonSchema {
  const described = field.doc === undefined ? {} : { description: field.doc };
  switch (field.type) {
    case "whole": {
      const whole = { ...number, minimum: field.min ?? 0 };
      if (field.nullable === true) return { ...described, anyOf: [whole, { type: "null" }] };
      if (field.latest === true) return { ...described, anyOf: [whole, { const: "latest" }] };
      return { ...described, ...whole };
    }
    case "flag":
      return { ...described, type: "boolean" };
    case "text":
      return { ...described, ...textSchema(field) };
    case "body":
      return { ...described, type: "string" };
    case "stamp":
      return { ...described, ...stampSchema };
    case "object":
      return { ...described, ...fieldsSchema(field.fields) };
    case "list":
      return { ...described, type: "array", items: fieldSchema(field.item), maxItems: field.itemsMax };
    case "messages":
      return { ...described, type: "array", items: fieldsSchema(messageFields), maxItems: field.itemsMax };
  }
}

/** An object of these fields. Other fields may stand beside them and are ignored. */
export function fieldsSchema(fields: Fields, before: Readonly<Record<string, JsonSchema>> = {}): JsonSchema {
  const properties: Record<string, JsonSchema> = { ...before };
  const required = Object.keys(before);
  for (const [name, field] of Object.entries(fields)) {
    properties[name] = fieldSchema(field);
    if (field.optional !== true) required.push(name);
  }
  return { type: "object", properties, required };
}

/** One frame in JSON. */
export function frameSchema(layout: Layout): JsonSchema {
  const { spec, name } = layout;
  const before: Record<string, JsonSchema> = { t: { const: spec.t } };
  if (spec.of !== undefined) before["of"] = { const: spec.of };
  if (spec.id === "required") before["id"] = requestIdSchema;
  const object = fieldsSchema(spec.fields, before);
  const properties =
    spec.id === "optional"
      ? { ...(object["properties"] as Readonly<Record<string, JsonSchema>>), id: requestIdSchema }
      : object["properties"];
  return { title: name, description: spec.doc, ...object, properties, ...choiceSchema(layout) };
}

function choiceSchema({ spec }: Layout): JsonSchema {
  if (spec.exactlyOne !== undefined) return { oneOf: spec.exactlyOne.map((name) => ({ required: [name] })) };
  if (spec.atMostOne === undefined) return {};
  const names = spec.atMostOne;
  const pairs = names.flatMap((one, i) => names.slice(i + 1).map((other) => ({ required: [one, other] })));
  return { not: { anyOf: pairs } };
}
