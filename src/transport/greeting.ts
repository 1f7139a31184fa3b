import { FieldReader, FieldWriter } from "../base/field-bytes.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";
import { frameTypes, linkFrame } from "./peer-frame.ts";
import { refusalCodeOf, refusals, type RefusalCode } from "./refusals.ts";
import { type RemoteServer, type RunId, serverNameIn } from "./remote-server.ts";

/**
 * The frames of a greeting, four in a row between dialler and acceptor. Each echoes a number that the other has just
 * drawn, so nothing that was recorded on another connection fits.
 *
 * ```
 * hello    ->  "SYNP", u16 versionMin, u16 versionMax, identity, nonce[16], u8 length and name of who is dialled
 * welcome  <-  u16 version, identity, nonce[16], echo[16]
 * confirm  ->  echo[16], u48 choice, u8 insists
 * ready    <-  u48 choice
 * refuse   <-> u16 code, u8 length and text
 * identity     u8 1 with a cluster, else 0; cluster[16]; incarnation[16]; run[16]; u8 length and name
 * ```
 */
export interface Hello {
  readonly type: "hello";
  readonly versions: VersionRange;
  readonly from: RemoteServer;
  readonly nonce: Nonce;
  readonly to: NodeName;
}

export interface Welcome {
  readonly type: "welcome";
  readonly version: number;
  readonly from: RemoteServer;
  readonly nonce: Nonce;
  readonly echo: Nonce;
}

export interface Confirm {
  readonly type: "confirm";
  readonly echo: Nonce;
  /** The number of this link among those that the arbiter of the pair chose; 0 when the acceptor is the arbiter. */
  readonly choice: number;
  /** The dialler was told that a link stands and knows of none: the acceptor's is dead. */
  readonly insists: boolean;
}

export interface Ready {
  readonly type: "ready";
  readonly choice: number;
}

export interface Refuse {
  readonly type: "refuse";
  /** Null: a code this version does not know. */
  readonly code: RefusalCode | null;
  readonly text: string;
}

export type GreetingMessage = Hello | Welcome | Confirm | Ready | Refuse;

/** 32 hex digits: 16 random bytes drawn for one connection. */
export type Nonce = string;

export interface VersionRange {
  readonly min: number;
  readonly max: number;
}

/** The versions of the peer protocol that this program speaks. */
export const peerVersions: VersionRange = { min: 1, max: 1 };

/** The highest version that both speak; null when there is none. */
export function negotiate(own: VersionRange, other: VersionRange): number | null {
  const version = Math.min(own.max, other.max);
  return version >= own.min && version >= other.min ? version : null;
}

export function encodeGreeting(message: GreetingMessage): Uint8Array {
  const out = new FieldWriter(512);
  switch (message.type) {
    case "hello":
      out.raw(magic);
      out.u16(message.versions.min);
      out.u16(message.versions.max);
      putIdentity(out, message.from);
      out.id(message.nonce);
      out.ascii(message.to);
      break;
    case "welcome":
      out.u16(message.version);
      putIdentity(out, message.from);
      out.id(message.nonce);
      out.id(message.echo);
      break;
    case "confirm":
      out.id(message.echo);
      out.u48(message.choice);
      out.flag(message.insists);
      break;
    case "ready":
      out.u48(message.choice);
      break;
    case "refuse":
      out.u16(message.code === null ? 0 : refusals[message.code].number);
      out.ascii(asciiOf(message.text));
      break;
    default:
      message satisfies never;
  }
  return linkFrame(frameTypes[message.type], out.done());
}

/** Reads a frame of a greeting. Null: it is none. What stands behind the known fields is a newer version's, and ignored. */
export function decodeGreeting(type: number, payload: Uint8Array): GreetingMessage | null {
  const input = new FieldReader(payload);
  const message = readMessage(type, input);
  return input.failed ? null : message;
}

function readMessage(type: number, input: FieldReader): GreetingMessage | null {
  switch (type) {
    case frameTypes.hello: {
      if (!input.has(magic)) return null;
      const versions = { min: input.u16(), max: input.u16() };
      return { type: "hello", versions, from: identityIn(input), nonce: input.id(), to: serverNameIn(input) };
    }
    case frameTypes.welcome:
      return {
        type: "welcome",
        version: input.u16(),
        from: identityIn(input),
        nonce: input.id(),
        echo: input.id(),
      };
    case frameTypes.confirm:
      return { type: "confirm", echo: input.id(), choice: input.u48(), insists: input.u8() === 1 };
    case frameTypes.ready:
      return { type: "ready", choice: input.u48() };
    case frameTypes.refuse:
      return { type: "refuse", code: refusalCodeOf(input.u16()), text: asciiOf(input.ascii()) };
    default:
      return null;
  }
}

const magic = new Uint8Array([0x53, 0x59, 0x4e, 0x50]);
const refusalTextMax = 200;
const noCluster = "00".repeat(16);

function putIdentity(out: FieldWriter, server: RemoteServer): void {
  out.flag(server.cluster !== null);
  out.id(server.cluster ?? noCluster);
  out.id(server.incarnation);
  out.id(server.run);
  out.ascii(server.name);
}

function identityIn(input: FieldReader): RemoteServer {
  const hasCluster = input.u8() === 1;
  const cluster = input.id();
  return {
    cluster: hasCluster ? (cluster as ClusterId) : null,
    incarnation: input.id() as Incarnation,
    run: input.id() as RunId,
    name: serverNameIn(input),
  };
}

/** What goes into logs: printable ASCII, bounded. */
function asciiOf(text: string): string {
  return text.slice(0, refusalTextMax).replaceAll(/[^\u0020-\u007e]/g, "?");
}
