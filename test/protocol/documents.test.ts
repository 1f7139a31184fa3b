import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { errorCodes } from "../../src/base/error-codes.ts";
import { asyncApiDocument } from "../../src/protocol/asyncapi.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { frameSchema } from "../../src/protocol/json-schema.ts";
import type { JsonSchema } from "../../src/protocol/json-schema.ts";
import { openApiDocument } from "../../src/protocol/openapi.ts";
import type { ClientFrame, ServerFrame } from "../../src/protocol/schema.ts";
import { allLayouts, framesOf } from "./arbitrary-frames.ts";

const ajv = (): Ajv2020 =>
  new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allowUnionTypes: true });

/** Every object in a document with the path to it. */
function* walk(
  value: unknown,
  path = "#",
): Generator<readonly [path: string, value: Readonly<Record<string, unknown>>]> {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) yield* walk(item, `${path}/${i}`);
  } else if (typeof value === "object" && value !== null) {
    yield [path, value as Readonly<Record<string, unknown>>];
    for (const [key, item] of Object.entries(value)) {
      yield* walk(item, `${path}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
    }
  }
}

function at(document: unknown, pointer: string): unknown {
  let value: unknown = document;
  for (const part of pointer.replace(/^#\/?/, "").split("/")) {
    const key = part.replaceAll("~1", "/").replaceAll("~0", "~");
    value = (value as Readonly<Record<string, unknown>> | undefined)?.[key];
  }
  return value;
}

function danglingIn(document: unknown): string[] {
  const dangling: string[] = [];
  for (const [path, object] of walk(document)) {
    const target = object["$ref"];
    if (typeof target === "string" && at(document, target) === undefined) dangling.push(`${path} -> ${target}`);
  }
  return dangling;
}

describe("JSON Schema", () => {
  test.each(allLayouts)(
    "[PROTO15] $sender $name: the schema takes every frame, and refuses one that misses a field",
    ({ sender, layout }) => {
      const validate = ajv().compile(frameSchema(layout));
      fc.assert(
        fc.property(framesOf(layout), fc.nat(), (frame, pick) => {
          const json = JSON.parse(
            sender === "client"
              ? encodeJson("client", frame as unknown as ClientFrame)
              : encodeJson("server", frame as unknown as ServerFrame),
          ) as Record<string, unknown>;
          if (!validate(json)) expect.fail(`${JSON.stringify(json)}: ${ajv().errorsText(validate.errors)}`);
          const required = Object.keys(layout.spec.fields).filter(
            (name) => layout.spec.fields[name]!.optional !== true,
          );
          required.push("t");
          const { [required[pick % required.length]!]: _gone, ...less } = json;
          expect(validate(less)).toBe(false);
        }),
        { numRuns: 20 },
      );
    },
  );

  test("[PROTO15] the schema of a frame with a choice refuses both", () => {
    const { layout } = allLayouts.find((one) => one.sender === "client" && one.layout.spec.t === "send")!;
    const validate = ajv().compile(frameSchema(layout));
    const common = { t: "send", id: 1, cid: "c", body: "" };
    expect(validate({ ...common, room: "a" })).toBe(true);
    expect(validate({ ...common, room: "a", to: "b" })).toBe(false);
  });
});

/** The parts of AsyncAPI 3.0 that this document uses, as its specification demands them. */
const asyncApiShape = {
  type: "object",
  required: ["asyncapi", "info"],
  additionalProperties: false,
  properties: {
    asyncapi: { const: "3.0.0" },
    defaultContentType: { type: "string" },
    servers: {
      type: "object",
      additionalProperties: {
        type: "object",
        required: ["host", "protocol"],
        additionalProperties: false,
        properties: { host: { type: "string" }, protocol: { type: "string" }, description: { type: "string" } },
      },
    },
    info: { type: "object", required: ["title", "version"] },
    channels: {
      type: "object",
      additionalProperties: {
        type: "object",
        additionalProperties: false,
        properties: {
          servers: { type: "array", minItems: 1, items: { type: "object", required: ["$ref"] } },
          address: { type: ["string", "null"] },
          title: { type: "string" },
          description: { type: "string" },
          messages: { type: "object", additionalProperties: { type: "object", required: ["$ref"] } },
        },
      },
    },
    operations: {
      type: "object",
      additionalProperties: {
        type: "object",
        required: ["action", "channel"],
        additionalProperties: false,
        properties: {
          action: { enum: ["send", "receive"] },
          channel: { type: "object", required: ["$ref"] },
          messages: { type: "array", minItems: 1, items: { type: "object", required: ["$ref"] } },
        },
      },
    },
    components: {
      type: "object",
      additionalProperties: false,
      properties: {
        messages: {
          type: "object",
          propertyNames: { pattern: "^[A-Za-z0-9._-]+$" },
          additionalProperties: {
            type: "object",
            additionalProperties: false,
            properties: {
              name: { type: "string" },
              summary: { type: "string" },
              contentType: { type: "string" },
              payload: { type: "object" },
            },
            patternProperties: { "^x-": {} },
          },
        },
      },
    },
  },
};

describe("AsyncAPI", () => {
  const document = asyncApiDocument({ version: "1.2.3" });

  test("[PROTO15] the document has the shape of AsyncAPI 3, and its references lead somewhere", () => {
    const validate = ajv().compile(asyncApiShape);
    expect(validate(document) ? [] : validate.errors).toStrictEqual([]);
    expect(danglingIn(document)).toStrictEqual([]);
    expect(JSON.parse(JSON.stringify(document))).toStrictEqual(document);
  });

  test("[PROTO15] every frame is a message of both channels, with a payload that compiles and its binary layout", () => {
    const messages = at(document, "#/components/messages") as Readonly<
      Record<string, Readonly<Record<string, unknown>>>
    >;
    expect(Object.keys(messages).toSorted()).toStrictEqual(
      allLayouts.map(({ sender, name }) => `${sender}-${name}`).toSorted(),
    );
    for (const channel of ["websocket", "tcp"]) {
      expect(Object.keys(at(document, `#/channels/${channel}/messages`) as object)).toStrictEqual(
        Object.keys(messages),
      );
    }
    for (const { sender, name, layout } of allLayouts) {
      const message = messages[`${sender}-${name}`]!;
      expect(typeof ajv().compile(message["payload"] as JsonSchema)).toBe("function");
      expect(message["x-binary"]).toMatchObject({ code: layout.spec.code, headerBytes: layout.headerBytes });
    }
  });
});

/** The parts of OpenAPI 3.1 that this document uses, as its specification demands them. */
const operation = {
  type: "object",
  required: ["operationId", "summary", "responses"],
  additionalProperties: false,
  properties: {
    operationId: { type: "string" },
    summary: { type: "string" },
    description: { type: "string" },
    security: { type: "array" },
    parameters: {
      type: "array",
      items: {
        type: "object",
        required: ["name", "in", "schema"],
        properties: { in: { enum: ["path", "query", "header"] } },
        anyOf: [
          { properties: { in: { enum: ["query", "header"] } } },
          { required: ["required"], properties: { in: { const: "path" }, required: { const: true } } },
        ],
      },
    },
    requestBody: { type: "object", required: ["content"] },
    responses: {
      type: "object",
      minProperties: 1,
      propertyNames: { pattern: "^([1-5][0-9][0-9]|default)$" },
      additionalProperties: { anyOf: [{ required: ["description"] }, { required: ["$ref"] }] },
    },
  },
};

const openApiShape = {
  type: "object",
  required: ["openapi", "info", "paths"],
  additionalProperties: false,
  properties: {
    openapi: { pattern: "^3\\.1\\." },
    info: { type: "object", required: ["title", "version"] },
    security: { type: "array" },
    paths: {
      type: "object",
      propertyNames: { pattern: "^/" },
      additionalProperties: {
        type: "object",
        additionalProperties: false,
        properties: {
          parameters: { type: "array" },
          get: operation,
          put: operation,
          post: operation,
          delete: operation,
        },
      },
    },
    components: {
      type: "object",
      additionalProperties: false,
      properties: { schemas: { type: "object" }, responses: { type: "object" }, securitySchemes: { type: "object" } },
    },
  },
};

describe("OpenAPI", () => {
  const document = openApiDocument({ version: "1.2.3" });

  test("[PROTO15] the document has the shape of OpenAPI 3.1, and its references lead somewhere", () => {
    const validate = ajv().compile(openApiShape);
    expect(validate(document) ? [] : validate.errors).toStrictEqual([]);
    expect(danglingIn(document)).toStrictEqual([]);
  });

  test("[PROTO15] every schema compiles", () => {
    for (const schema of Object.values(at(document, "#/components/schemas") as Readonly<Record<string, JsonSchema>>)) {
      expect(typeof ajv().compile(schema)).toBe("function");
    }
  });

  test("[PROTO15] the parameters of a path are exactly those in its name", () => {
    for (const [path, item] of Object.entries(
      at(document, "#/paths") as Readonly<Record<string, Readonly<Record<string, unknown>>>>,
    )) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).toSorted();
      const shared = (item["parameters"] ?? []) as readonly { name: string; in: string }[];
      for (const [method, one] of Object.entries(item)) {
        if (method === "parameters") continue;
        const own = ((one as { parameters?: unknown }).parameters ?? []) as readonly { name: string; in: string }[];
        const inPath = [...shared, ...own]
          .filter((parameter) => parameter.in === "path")
          .map((parameter) => parameter.name);
        expect([path, method, inPath.toSorted()]).toStrictEqual([path, method, named]);
      }
    }
  });

  test("[PROTO15] every operation has a name of its own", () => {
    const ids = [...walk(openApiDocument({ version: "0" }))].flatMap(([path, value]) =>
      /^#\/paths\/[^/]+\/(?:get|put|post|delete)$/.test(path) ? [value["operationId"]] : [],
    );
    expect(ids.length).toBeGreaterThan(10);
    expect(ids.every((id) => typeof id === "string" && /^[a-z][A-Za-z]+$/.test(id))).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("[PROTO15] every channel says at which server it is", () => {
    const { servers, channels } = asyncApiDocument({ version: "0" }) as Record<string, Record<string, JsonSchema>>;
    expect(Object.keys(servers!).sort()).toEqual(Object.keys(channels!).sort());
    for (const [name, channel] of Object.entries(channels!)) {
      expect(channel["servers"]).toEqual([{ $ref: `#/servers/${name}` }]);
    }
  });

  test("[PROTO15] a problem knows every error code", () => {
    expect(at(document, "#/components/schemas/problem/properties/code/enum")).toStrictEqual(Object.keys(errorCodes));
  });
});
