import { frameSchema } from "./json-schema.ts";
import type { JsonSchema } from "./json-schema.ts";
import { headAt, layouts } from "./layout.ts";
import type { Layout } from "./layout.ts";
import { binaryGreeting, subprotocols } from "./schema.ts";
import type { Sender } from "./schema.ts";

/**
 * The frames as an AsyncAPI 3 document. The payloads are those of the JSON encoding; the binary encoding, for which
 * AsyncAPI has no schema language, is given field by field under `x-binary`.
 */
export function asyncApiDocument(about: { readonly version: string }): JsonSchema {
  return {
    asyncapi: "3.0.0",
    info: {
      title: "Synod, the clients' protocol",
      version: about.version,
      description:
        `Frames between clients and servers, over WebSocket (/v1/ws) and over TCP. JSON (subprotocol ${subprotocols.json}, ` +
        `the default): one object or an array of them in a text message, over TCP one text a line. Binary (subprotocol ` +
        `${subprotocols.binary}): frames back to back in binary messages, over TCP after a first byte ` +
        `0x${binaryGreeting.toString(16).toUpperCase()}; each message here lists its layout under x-binary.`,
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
    defaultContentType: "application/json",
    servers: {
      websocket: { host: "localhost:7400", protocol: "ws", description: "The public port, as it is by default." },
      tcp: { host: "localhost:7403", protocol: "tcp", description: "The TCP port, as it is by default." },
    },
    channels: {
      websocket: {
        servers: [{ $ref: "#/servers/websocket" }],
        address: "/v1/ws",
        title: "WebSocket",
        description: `Subprotocols ${subprotocols.json} (text messages) and ${subprotocols.binary} (binary messages).`,
        messages: channelMessages(),
      },
      tcp: {
        servers: [{ $ref: "#/servers/tcp" }],
        address: null,
        title: "TCP",
        description: `JSON lines, or binary frames when the first byte is 0x${binaryGreeting.toString(16).toUpperCase()}.`,
        messages: channelMessages(),
      },
    },
    operations: {
      websocketFromClient: operation("receive", "websocket", "client"),
      websocketFromServer: operation("send", "websocket", "server"),
      tcpFromClient: operation("receive", "tcp", "client"),
      tcpFromServer: operation("send", "tcp", "server"),
    },
    components: {
      messages: Object.fromEntries(everyLayout().map(({ key, layout }) => [key, messageOf(layout)])),
    },
  };
}

interface Keyed {
  readonly key: string;
  readonly sender: Sender;
  readonly layout: Layout;
}

/** Both sides have a `read`, a `presence` and a `typing`, so the side is part of the name. */
const keyed = (sender: Sender): Keyed[] =>
  layouts[sender].map((layout) => ({ key: `${sender}-${layout.name}`, sender, layout }));

const everyLayout = (): Keyed[] => [...keyed("client"), ...keyed("server")];

const channelMessages = (): JsonSchema =>
  Object.fromEntries(everyLayout().map(({ key }) => [key, { $ref: `#/components/messages/${key}` }]));

const operation = (action: "send" | "receive", channel: string, sender: Sender): JsonSchema => ({
  action,
  channel: { $ref: `#/channels/${channel}` },
  messages: keyed(sender).map(({ key }) => ({ $ref: `#/channels/${channel}/messages/${key}` })),
});

const messageOf = (layout: Layout): JsonSchema => ({
  name: layout.name,
  summary: layout.spec.doc,
  contentType: "application/json",
  payload: frameSchema(layout),
  "x-binary": binaryLayout(layout),
});

/** The layout of one frame, as data for people's tools: offsets from the start of the frame. */
export const binaryLayout = (layout: Layout): JsonSchema => ({
  code: layout.spec.code,
  headerBytes: layout.headerBytes,
  head: headAt,
  flags: Object.fromEntries(layout.slots.filter((slot) => slot.flag !== 0).map((slot) => [slot.name, slot.flag])),
  presence: Object.fromEntries(
    layout.slots.filter((slot) => slot.presence !== 0).map((slot) => [slot.name, slot.presence]),
  ),
  fields: layout.slots
    .filter((slot) => slot.size !== 0)
    .map((slot) => ({
      name: slot.name,
      offset: slot.at,
      bytes: slot.size,
      holds: slot.size === 6 ? "value" : "length",
    })),
  texts: layout.texts.map((slot) => slot.name),
});
