import { errorCodes } from "../base/error-codes.ts";
import { fieldSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { serverFrames } from "./schema.ts";

/** What the OpenAPI documents of both HTTP ports are made of. */

export const openApiVersion = "3.1.0";

export const license = { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" } as const;

export const ref = (name: string): JsonSchema => ({ $ref: `#/components/schemas/${name}` });

const { err } = serverFrames;

/** RFC 9457, with the fields of `err`. */
export const problemSchema: JsonSchema = {
  type: "object",
  description: "RFC 9457, with the fields of `err`.",
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    code: { type: "string", enum: Object.keys(errorCodes) },
    definite: fieldSchema(err.fields.definite),
    retryable: fieldSchema(err.fields.retryable),
    retryAfterMs: fieldSchema(err.fields.retryAfterMs),
    hint: fieldSchema(err.fields.hint),
    from: fieldSchema(err.fields.from),
    to: fieldSchema(err.fields.to),
  },
  required: ["title", "status", "code", "definite", "retryable"],
};

export const problemResponse: JsonSchema = {
  description: "Refused; `code` says why (docs/reference/errors.md).",
  content: { "application/problem+json": { schema: ref("problem") } },
};

export const answer = (description: string, schema: JsonSchema, type = "application/json"): JsonSchema => ({
  description,
  content: { [type]: { schema } },
});

export const failed = { default: { $ref: "#/components/responses/problem" } } as const;

export const asJson = (schema: JsonSchema, required: boolean): JsonSchema => ({
  required,
  content: { "application/json": { schema } },
});

export const inPath = (name: string, schema: JsonSchema, description: string): JsonSchema => ({
  name,
  in: "path",
  required: true,
  description,
  schema,
});

export const inQuery = (name: string, schema: JsonSchema, description: string): JsonSchema => ({
  name,
  in: "query",
  required: false,
  description,
  schema,
});

/** This document itself. */
export const itself = (summary: string): JsonSchema => ({
  summary,
  security: [],
  responses: { "200": answer("The document.", { type: "object" }) },
});

/** The methods of a path item; everything else in it is shared by them. */
const methods: readonly string[] = ["get", "put", "post", "delete"];

/** Each operation under a name of its own, from its method and path: what generated clients call it by. */
export function named(all: Readonly<Record<string, JsonSchema>>): Readonly<Record<string, JsonSchema>> {
  return Object.fromEntries(
    Object.entries(all).map(([path, item]) => [
      path,
      Object.fromEntries(
        Object.entries(item).map(([key, value]) => [
          key,
          methods.includes(key) ? { operationId: operationId(key, path), ...(value as JsonSchema) } : value,
        ]),
      ),
    ]),
  );
}

function operationId(method: string, path: string): string {
  const words = path.split(/[^A-Za-z]+/).filter((word) => word !== "" && word !== "v");
  return method + words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
}
