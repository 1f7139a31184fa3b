import { assert } from "../base/assert.ts";
import { getU16, getU48, putU16, putU48 } from "../base/byte-order.ts";
import type { Limits } from "../base/limits.ts";

/**
 * The payload of an entry of type 4: settings, back to back.
 *
 * ```
 * 0 u8  kind       1 founding, 2 time zone, 3 retention days, 4 line, 5 bound, 6 address, 7 clients
 * 1 u8  detail     bound: its place in `boundNames`; else 0
 * 2 u16 textLength
 * 4 u48 number     retention days (0 = for ever); line: a number never used before; bound: its value; address: its port
 * 10    text       time zone: its IANA name; address: server "=" host, nothing behind it when the server is taken off;
 *                  clients: server "=" addresses with spaces between them
 * ```
 */
export type Setting =
  /** The group begins: the room `lobby` is made. Says nothing the second time. */
  | { kind: "founding" }
  /** In which time zone the orderer reckons the day of an entry. */
  | { kind: "timeZone"; timeZone: string }
  /** How many days before the day of the log are kept, in every room; 0 = for ever. */
  | { kind: "retentionDays"; days: number }
  /** From here on a `seq` may mean another message than before: loss was accepted, or a backup restored. */
  | { kind: "line"; number: number }
  /** A bound that `apply` decides by. */
  | { kind: "bound"; bound: BoundName; value: number }
  /** Where the others reach a server; null: it is not to belong to the cluster any more. `apply` keeps it and asks nothing. */
  | { kind: "address"; node: string; address: ServerAddress | null }
  /** Where clients reach a server, as it says itself; none: wherever they reached it. `apply` keeps it and asks nothing. */
  | { kind: "clients"; node: string; urls: readonly string[] };

export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** Servers whose addresses are kept, those that were taken off included. */
export const addressesMax = 256;

/**
 * The bounds that `apply` decides by. They are part of the replicated state and changed by a committed setting only: a
 * server that read another number from its own configuration would decide otherwise than its peers, or otherwise than
 * it did before it was started again. The order is on disk: names are added at the end.
 */
export const boundNames = [
  "idWindowEntries",
  "groupRoomsMax",
  "groupUsersMax",
  "roomMembersMax",
  "roomsMax",
  "directRoomsMax",
  "visitorMarksMax",
  "madeRoomsMax",
  "invitedRoomsMax",
] as const satisfies readonly (keyof Limits)[];
export type BoundName = (typeof boundNames)[number];
export type Bounds = Readonly<Record<BoundName, number>>;

/** The bounds among the limits of a configuration. */
export function boundsOf(limits: Limits): Bounds {
  const bounds: Partial<Record<BoundName, number>> = {};
  for (const name of boundNames) bounds[name] = limits[name];
  return bounds as Bounds;
}

/** More than there can be of anything. */
export const noBound = 0xffff_ffff_ffff;

/**
 * What holds before the first `bound` setting. Part of the format: an old log is applied again with these numbers, so they
 * never change, whatever the defaults of the configuration become.
 */
export const initialBounds: Bounds = {
  idWindowEntries: 65_536,
  groupRoomsMax: 100_000,
  groupUsersMax: 1_000_000,
  roomMembersMax: 10_000,
  roomsMax: 1_000,
  directRoomsMax: 10_000,
  visitorMarksMax: 1_000,
  // None: logs were written before there was such a bound.
  madeRoomsMax: noBound,
  invitedRoomsMax: noBound,
};

/** A window must hold a few ids (base/limits.ts); the others at least one. */
const isBound = (name: BoundName, value: number): boolean => value >= (name === "idWindowEntries" ? 8 : 1);

const headerBytes = 10;
/** Longer than any name of a time zone. */
const zoneBytesMax = 64;
/** A server with its host, or with where clients reach it: a snapshot has one byte for the length of a text. */
const textBytesMax = 255;
const kinds = { founding: 1, timeZone: 2, retentionDays: 3, line: 4, bound: 5, address: 6, clients: 7 } as const;
const utf8 = new TextEncoder();
const text = new TextDecoder();

function numberOf(setting: Setting): number {
  switch (setting.kind) {
    case "retentionDays":
      return setting.days;
    case "line":
      return setting.number;
    case "bound":
      return setting.value;
    case "address":
      return setting.address?.port ?? 0;
    default:
      return 0;
  }
}

function textOf(setting: Setting): string {
  switch (setting.kind) {
    case "timeZone":
      return setting.timeZone;
    case "address":
      return `${setting.node}=${setting.address?.host ?? ""}`;
    case "clients":
      return clientsText(setting.node, setting.urls);
    default:
      return "";
  }
}

/** As many of the addresses, from the first on, as a setting has room for. */
export function urlsThatFit(node: string, urls: readonly string[]): readonly string[] {
  let count = urls.length;
  while (count > 0 && utf8.encode(clientsText(node, urls.slice(0, count))).length > textBytesMax) count--;
  return urls.slice(0, count);
}

const clientsText = (node: string, urls: readonly string[]): string => `${node}=${urls.join(" ")}`;

/** The payload for some settings, applied in this order. */
export function encodeSettings(settings: readonly Setting[]): Uint8Array {
  const texts = settings.map((setting) => utf8.encode(textOf(setting)));
  const b = new Uint8Array(texts.reduce((sum, own) => sum + headerBytes + own.length, 0));
  let o = 0;
  settings.forEach((setting, i) => {
    const own = texts[i]!;
    assert(own.length <= textBytesMax, "the text of a setting is too long");
    b[o] = kinds[setting.kind];
    b[o + 1] = setting.kind === "bound" ? boundNames.indexOf(setting.bound) : 0;
    putU16(b, o + 2, own.length);
    putU48(b, o + 4, numberOf(setting));
    b.set(own, o + headerBytes);
    o += headerBytes + own.length;
  });
  return b;
}

/** Reads settings, or answers null for bytes that are none. */
export function decodeSettings(b: Uint8Array): Setting[] | null {
  const settings: Setting[] = [];
  let o = 0;
  while (o < b.length) {
    if (b.length - o < headerBytes) return null;
    const end = o + headerBytes + getU16(b, o + 2);
    const bytesMax = b[o] === kinds.address || b[o] === kinds.clients ? textBytesMax : zoneBytesMax;
    if (end > b.length || end - o > headerBytes + bytesMax) return null;
    const number = getU48(b, o + 4);
    const bound = boundNames[b[o + 1]!];
    if (b[o] === kinds.founding) settings.push({ kind: "founding" });
    else if (b[o] === kinds.timeZone)
      settings.push({ kind: "timeZone", timeZone: text.decode(b.subarray(o + headerBytes, end)) });
    else if (b[o] === kinds.retentionDays) settings.push({ kind: "retentionDays", days: number });
    else if (b[o] === kinds.line) settings.push({ kind: "line", number });
    else if (b[o] === kinds.bound && bound !== undefined && isBound(bound, number))
      settings.push({ kind: "bound", bound, value: number });
    else if (b[o] === kinds.address) {
      const address = addressSetting(text.decode(b.subarray(o + headerBytes, end)), number);
      if (address === null) return null;
      settings.push(address);
    } else if (b[o] === kinds.clients) {
      const written = text.decode(b.subarray(o + headerBytes, end));
      const at = written.indexOf("=");
      if (at < 1) return null;
      settings.push({ kind: "clients", node: written.slice(0, at), urls: urlsOf(written.slice(at + 1)) });
    } else return null;
    o = end;
  }
  return settings;
}

/** The addresses of a text with spaces between them. */
export const urlsOf = (written: string): string[] => (written === "" ? [] : written.split(" "));

function addressSetting(written: string, port: number): Setting | null {
  const at = written.indexOf("=");
  const host = written.slice(at + 1);
  if (at < 1 || (host === "") !== (port === 0)) return null;
  return { kind: "address", node: written.slice(0, at), address: port === 0 ? null : { host, port } };
}
