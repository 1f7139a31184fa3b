import { adminApiDocument } from "./admin-api.ts";
import { asyncApiDocument } from "./asyncapi.ts";
import { openApiDocument } from "./openapi.ts";

interface About {
  readonly version: string;
}

/** What the public port tells of itself, by path, as JSON text. */
export const publicDocuments = (about: About): ReadonlyMap<string, string> =>
  new Map([
    ["/openapi.json", JSON.stringify(openApiDocument(about))],
    ["/asyncapi.json", JSON.stringify(asyncApiDocument(about))],
  ]);

/** What the operators' port tells of itself. */
export const adminDocuments = (about: About): ReadonlyMap<string, string> =>
  new Map([["/openapi.json", JSON.stringify(adminApiDocument(about))]]);
