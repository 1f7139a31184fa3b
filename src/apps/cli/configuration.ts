import { z } from "zod";
import { defaultLimits, type Limits } from "../../base/limits.ts";
import { isTimeZone } from "../../server/calendar.ts";
import { peerOf } from "../../server/peer-list.ts";

/** Types and ranges of everything that can be configured; what there is, with its meaning, is in settings.ts. */
const port = z
  .number("must be a port")
  .int("must be a port")
  .min(0, "must be 0 to 65535")
  .max(65_535, "must be 0 to 65535");
const count = z
  .number("must be a whole number")
  .int("must be a whole number")
  .min(0, "must be 0 or more")
  .max(Number.MAX_SAFE_INTEGER, "is too large");
const wait = count.max(60_000, "must be at most a minute");
const filled = z.string("must be text").min(1, "must not be empty");
const optional = filled.nullable();

const choice = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, { error: `must be ${names.slice(0, -1).join(", ")} or ${names.at(-1)!}` });

const timeZone = filled.refine(isTimeZone, "must be an IANA time zone such as Europe/Berlin");
const nodeName = filled.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/, "must be 1 to 60 letters, digits, dots, - or _");
const origin = filled.refine(isOrigin, "must be an origin such as https://chat.example.org, without a path");
const address = filled.refine((url) => URL.canParse(url), "must be an address such as wss://chat.example.org/v1/ws");
const peer = filled.refine((text) => peerOf(text) !== null, "must be NAME=HOST:PORT, such as n1=10.0.0.1:7401");
const peers = z
  .array(peer, "must be a list")
  .max(64, "must be at most 64 servers")
  .refine((list) => new Set(list.map((text) => text.split("=")[0])).size === list.length, "must name each server once");

const limit = count.min(1, "must be 1 or more");
const limits = Object.fromEntries(Object.keys(defaultLimits).map((name) => [name, limit])) as Record<
  keyof Limits,
  typeof limit
>;

export const configurationSchema = z.strictObject({
  data: filled,
  node: nodeName,
  host: filled,
  port,
  tcpPort: port,
  peerPort: port,
  peerHost: filled,
  adminPort: port,
  adminHost: filled,
  adminTokenFile: optional,
  topology: choice(["solo", "mesh", "leader", "equal"]),
  peers,
  secretFile: optional,
  log: choice(["auto", "json", "text"]),
  // Committed, so null, not given, is what the cluster has.
  timeZone: timeZone.nullable(),
  retention: z.strictObject({ days: count.nullable() }),
  flush: z
    .strictObject({ afterMs: wait, afterBytes: count })
    .refine(({ afterMs, afterBytes }) => afterMs > 0 || afterBytes === 0, {
      path: ["afterBytes"],
      error: "needs flush.afterMs above 0, or the last messages would wait without end",
    }),
  push: z
    .strictObject({ afterMs: wait, afterCount: count })
    .refine(({ afterMs, afterCount }) => afterMs > 0 || afterCount === 0, {
      path: ["afterCount"],
      error: "needs push.afterMs above 0, or the last messages would wait without end",
    }),
  auth: z.strictObject({
    mode: choice(["open", "token"]),
    algorithm: choice(["HS256", "RS256", "ES256", "EdDSA"]).nullable(),
    secretFile: optional,
    publicKeyFile: optional,
    jwksFile: optional,
    audience: filled,
    issuer: optional,
    clockToleranceSeconds: count.max(3_600, "must be at most an hour"),
  }),
  advertise: z.array(address, "must be a list"),
  origins: z.array(origin, "must be a list"),
  limits: z.strictObject(limits),
});

export type Configuration = z.infer<typeof configurationSchema>;

function isOrigin(text: string): boolean {
  return URL.canParse(text) && new URL(text).origin === text;
}
