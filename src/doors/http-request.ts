import type { IncomingMessage } from "node:http";
import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";
import { Fault } from "../base/error-codes.ts";
import type { UserName } from "../base/ids.ts";
import { isUserName } from "../protocol/names.ts";
import { textOf } from "../protocol/utf8.ts";
import { addressOf } from "./socket-stream.ts";

// What a request over HTTP says in its headers and its query.

export type HttpContext = Context<{ Bindings: HttpBindings }>;

/** Who asks, as the request says: nothing of it is checked but its form. Throws `unauthorized`. */
export function claimOf(context: HttpContext): { user: UserName | null; token: string | null; address: string } {
  const { headers, socket } = context.env.incoming;
  const named = headers["synod-user"];
  const authorization = headers.authorization;
  const token = authorization === undefined ? null : bearerOf(authorization);
  return { user: named === undefined ? null : userOf(named), token, address: addressOf(socket) };
}

function bearerOf(authorization: string): string {
  const [scheme = "", token = "", ...more] = authorization.split(" ");
  if (scheme.toLowerCase() !== "bearer" || token === "" || more.length > 0) {
    throw new Fault("unauthorized", "authorization is a bearer token here");
  }
  return token;
}

// A header holds bytes, which Node shows as Latin-1. A name beyond ASCII may come as UTF-8 or percent-encoded; `%` is
// no character of a name, so it cannot be meant as one.
function userOf(header: string | string[]): UserName {
  const text = Array.isArray(header) ? header.join(",") : header;
  const bytes = Buffer.from(text, "latin1");
  const name = decoded(textOf(bytes, 0, bytes.length));
  if (name === null || !isUserName(name)) throw new Fault("unauthorized", "Synod-User is not the name of a user");
  return name;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    if (cause instanceof URIError) return null;
    throw cause;
  }
}

/** The id that makes a repeat harmless; as it is, or quoted as the draft of the header has it. */
export function idempotencyKeyOf(context: HttpContext): string | null {
  const key = context.req.header("idempotency-key");
  if (key === undefined) return null;
  return key.length >= 2 && key.startsWith('"') && key.endsWith('"') ? key.slice(1, -1) : key;
}

/** UTF-8 by its names, and what is the same bytes in it. */
export const charsets = ["utf-8", "utf8", "us-ascii"];

/** What a body is, and in which charset. */
export function mediaTypeOf(incoming: IncomingMessage): { type: string; charset: string } {
  const [type, ...parameters] = (incoming.headers["content-type"] ?? "").toLowerCase().split(";");
  let charset = "utf-8";
  for (const parameter of parameters) {
    const [name, value = ""] = parameter.split("=", 2);
    if (name!.trim() === "charset") charset = value.trim().replaceAll('"', "");
  }
  return { type: type!.trim(), charset };
}

/** The fields of the query with these names; all others are ignored, as in frames. Throws `bad_request` for one that is there twice. */
export function queryOf<N extends string>({ req }: Context, names: readonly N[]): Partial<Record<N, string>> {
  const query: Partial<Record<N, string>> = {};
  for (const name of names) {
    const [text, ...more] = req.queries(name) ?? [];
    if (more.length > 0) throw new Fault("bad_request", `"${name}" is there more than once`);
    if (text !== undefined) query[name] = text;
  }
  return query;
}

/** The same, of numbers. Throws `bad_request` for one that is no whole number. */
export function numbersOf<N extends string>(context: Context, names: readonly N[]): Partial<Record<N, number>> {
  const numbers: Partial<Record<N, number>> = {};
  const query = queryOf(context, names);
  for (const name of names) {
    const text = query[name];
    if (text !== undefined) numbers[name] = numberOf(text, name);
  }
  return numbers;
}

export function numberOf(text: string, name: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Fault("bad_request", `"${name}" must be a whole number`);
  return Number(text);
}

/** Where a stream begins. */
export const afterOf = (text: string | undefined): number | "latest" =>
  text === undefined || text === "latest" ? "latest" : numberOf(text, "after");
