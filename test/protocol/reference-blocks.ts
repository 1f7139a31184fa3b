import { errorCodes } from "../../src/base/error-codes.ts";
import type { ErrorMeaning } from "../../src/base/error-codes.ts";
import { defaultLimits } from "../../src/base/limits.ts";
import { encodeBinary } from "../../src/protocol/binary-codec.ts";
import { encodeJson } from "../../src/protocol/json-codec.ts";
import { layouts } from "../../src/protocol/layout.ts";
import type { Layout, Slot } from "../../src/protocol/layout.ts";
import { messageFields } from "../../src/protocol/schema.ts";
import type { ClientFrame, Field, Sender, ServerFrame } from "../../src/protocol/schema.ts";

/**
 * The parts of docs/reference that are made from the code. In the documents they stand between
 * `<!-- generated: name -->` and `<!-- end -->`; reference.test.ts compares them, and writes them when asked to.
 */

const cell = (text: string): string => text.replaceAll("|", "\\|");

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows].map((row) => `| ${row.map(cell).join(" | ")} |`);
  return lines.join("\n");
}

function typeOf(field: Field): string {
  switch (field.type) {
    case "whole": {
      const from = field.min === undefined ? "" : `, from ${field.min}`;
      const or = field.nullable === true ? " or `null`" : field.latest === true ? ' or `"latest"`' : "";
      return `whole (${field.unit}${from})${or}`;
    }
    case "flag":
      return "true or false";
    case "text":
      if (field.oneOf !== undefined) return field.oneOf.map((word) => `\`${word}\``).join(" or ");
      return field.is === "free" ? `text, ≤ ${field.bytesMax} bytes` : `${field.is}, ≤ ${field.bytesMax} bytes`;
    case "body":
      return "text, ≤ `bodyBytesMax`";
    case "stamp":
      return "`[time, origin, n]`";
    case "object":
      return `object: ${Object.keys(field.fields).join(", ")}`;
    case "list":
      return `list of ${field.item.type === "object" ? `{${Object.keys(field.item.fields).join(", ")}}` : typeOf(field.item)}`;
    case "messages":
      return `list of {${Object.keys(messageFields).join(", ")}}`;
  }
}

function binaryOf(slot: Slot): string {
  const presence = slot.presence === 0 ? "" : `, presence ${slot.presence}`;
  if (slot.size === 0) return `flag ${slot.flag}${presence}`;
  return `${slot.size === 6 ? "u48" : slot.size === 4 ? "length u32" : "length u16"} @${slot.at}${presence}`;
}

function frameSection(layout: Layout): string {
  const { spec } = layout;
  const title = spec.of === undefined ? `\`${spec.t}\`` : `\`${spec.t}\` to \`${spec.of}\``;
  const id = { none: "no id", required: "with id", optional: "id if there was one" }[spec.id];
  const choice =
    spec.exactlyOne !== undefined
      ? `Exactly one of ${spec.exactlyOne.map((name) => `\`${name}\``).join(", ")}. `
      : spec.atMostOne !== undefined
        ? `At most one of ${spec.atMostOne.map((name) => `\`${name}\``).join(", ")}. `
        : "";
  const texts = layout.texts.map((slot) => slot.name).join(", ");
  const lines = [
    `### ${title}`,
    "",
    `${spec.doc} ${choice}Binary: code ${spec.code}, ${id}, header ${layout.headerBytes} bytes${texts === "" ? "" : `, then ${texts}`}.`,
  ];
  if (layout.slots.length > 0) {
    const rows = layout.slots.map((slot) => [
      `\`${slot.name}\`${slot.field.optional === true ? "?" : ""}`,
      typeOf(slot.field),
      binaryOf(slot),
      slot.field.doc ?? "",
    ]);
    lines.push("", table(["field", "type", "binary", "meaning"], rows));
  }
  return lines.join("\n");
}

const frames = (sender: Sender): string => layouts[sender].map(frameSection).join("\n\n");

function hexOf(bytes: Uint8Array): string {
  const rows: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString().padStart(4)}  ${hex.padEnd(47)}  ${text}`);
  }
  return rows.join("\n");
}

const example = (what: string, json: string, bytes: Uint8Array): string =>
  `${what}\n\n\`\`\`json\n${json}\n\`\`\`\n\n\`\`\`\n${hexOf(bytes)}\n\`\`\``;

/** Frames as a client meets them, with one optional field, one flag and one text id among them. */
function examples(): string {
  const hello = { t: "hello", v: 1, user: "alice" } as unknown as ClientFrame;
  const send = {
    t: "send",
    id: 7,
    room: "lobby",
    cid: "a1-1",
    since: 41,
    body: "hé",
  } as unknown as ClientFrame;
  const sub = { t: "sub", id: "s", room: "lobby", after: "latest" } as unknown as ClientFrame;
  const ok = {
    t: "ok",
    of: "send",
    id: 7,
    room: "lobby",
    cid: "a1-1",
    seq: 42,
    ts: 1_795_405_200_123,
    epoch: 3,
    line: "l1",
    leader: "n1",
    node: "n2",
    dup: true,
  } as unknown as ServerFrame;
  const msg = {
    t: "msg",
    room: "lobby",
    seq: 42,
    from: "alice",
    cid: "a1-1",
    ts: 1_795_405_200_123,
    epoch: 3,
    kind: "text",
    body: "hé",
  } as unknown as ServerFrame;
  return [
    example("A greeting.", encodeJson("client", hello), encodeBinary("client", hello)),
    example("A send.", encodeJson("client", send), encodeBinary("client", send)),
    example(
      'A subscription whose id is a text: flag 1 is set and the id stands last. `after` is `"latest"`: its presence bit is not set.',
      encodeJson("client", sub),
      encodeBinary("client", sub),
    ),
    example(
      "The answer to the send, which was a repeat: flag 2.",
      encodeJson("server", ok),
      encodeBinary("server", ok),
    ),
    example(
      "The message as its readers get it; an empty kind is `text`.",
      encodeJson("server", msg),
      encodeBinary("server", msg),
    ),
  ].join("\n\n");
}

function errorTable(): string {
  const rows = Object.entries<ErrorMeaning>(errorCodes).map(([code, { definite, retryable, status, meaning }]) => [
    `\`${code}\``,
    meaning,
    definite ? "yes" : "no",
    retryable ? "yes" : "no",
    String(status),
  ]);
  return table(["code", "meaning", "definite", "retryable", "HTTP"], rows);
}

/** The limits with the sentences that stand beside them in src/base/limits.ts. */
function limitTables(source: string): string {
  const whole = source.slice(source.indexOf("export interface Limits {"), source.indexOf("\n}\n"));
  // A comment of several lines becomes one.
  const body = whole.replaceAll(/\/\*\*\n([\s\S]*?)\n {3}\*\//g, (_all, lines: string) => {
    const words = lines.split("\n").map((line) => line.replace(/^ {3}\* ?/, ""));
    return `/** ${words.join(" ")} */`;
  });
  const values: Readonly<Record<string, number>> = { ...defaultLimits };
  const sections: string[] = [];
  let rows: string[][] = [];
  let doc = "";
  const flush = (): void => {
    if (rows.length > 0) sections.push(table(["limit", "default", "meaning"], rows));
    rows = [];
  };
  for (const line of body.split("\n")) {
    const heading = /^ {2}\/\/ (.*)$/.exec(line);
    const comment = /^ {2}\/\*\* (.*) \*\/$/.exec(line);
    const limit = /^ {2}readonly (\w+): number;$/.exec(line);
    if (heading !== null) {
      flush();
      sections.push(`## ${heading[1]!}`);
    } else if (comment !== null) {
      doc = comment[1]!;
    } else if (limit !== null) {
      const value = values[limit[1]!];
      if (value === undefined) throw new Error(`${limit[1]!} has no default`);
      rows.push([`\`${limit[1]!}\``, sized(value), doc]);
    }
  }
  flush();
  return sections.join("\n\n");
}

function sized(value: number): string {
  const exact = value.toLocaleString("en");
  if (value >= 1024 * 1024 && value % (1024 * 1024) === 0) return `${exact} (${value / 1024 / 1024} Mi)`;
  if (value >= 4096 && value % 1024 === 0) return `${exact} (${value / 1024} Ki)`;
  return exact;
}

export interface Block {
  readonly file: string;
  readonly name: string;
  readonly text: string;
}

export const blocks = (limitsSource: string): readonly Block[] => [
  { file: "protocol.md", name: "client frames", text: frames("client") },
  { file: "protocol.md", name: "server frames", text: frames("server") },
  { file: "protocol.md", name: "examples", text: examples() },
  { file: "errors.md", name: "error codes", text: errorTable() },
  { file: "limits.md", name: "limits", text: limitTables(limitsSource) },
];
