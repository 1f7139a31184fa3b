import { connect } from "node:net";
import { WebSocket } from "ws";
import type { Dial, Link, LinkEvents, WireFormat } from "../../client/ports.ts";

/**
 * Links from Node: WebSocket for `ws:`, `wss:`, `http:` and `https:`, a plain TCP stream for `tcp:`.
 *
 * The path `/v1/ws` is added where an address names none. What a link receives is not bounded here: the decoder knows
 * how long a frame may be. A link that is waited for too long is given up by its owner, who keeps the time.
 */
export interface NodeDialOptions {
  /** Ask for the binary encoding; its owner must have it. @defaultValue false */
  readonly binary?: boolean;
}

/**
 * A message is a page of history at most, and how large one may be says the server's welcome, which comes when the link is
 * there. So this is the longest text that fits a program; the decoder holds each frame against what the welcome said.
 */
const messageBytesMax = 500 * 1024 * 1024;
const subprotocols = { json: "synod.v1.json", binary: "synod.v1.bin" } as const;
const socketPath = "/v1/ws";

export function nodeDial(options: NodeDialOptions = {}): Dial {
  const binary = options.binary === true;
  return {
    connect: (address, events) => {
      let url: URL;
      try {
        url = new URL(address);
      } catch (error) {
        return deadLink(binary, events, `${address} is not an address: ${error instanceof Error ? error.message : ""}`);
      }
      switch (url.protocol) {
        case "tcp:":
          if (url.port === "") return deadLink(binary, events, `${address} names no port`);
          return streamLink({ host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) }, binary, events);
        case "ws:":
        case "wss:":
        case "http:":
        case "https:":
          url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
          if (url.pathname === "/" || url.pathname === "") url.pathname = socketPath;
          return socketLink(url, binary, events);
        default:
          return deadLink(binary, events, `${url.protocol} is not a way to reach a server`);
      }
    },
  };
}

/** Says in a later turn that nothing can come of it. */
function deadLink(binary: boolean, events: LinkEvents, reason: string): Link {
  const timer = setImmediate(() => events.closed(null, reason));
  return {
    format: binary ? "binary-websocket" : "json-websocket",
    send: () => undefined,
    bufferedBytes: () => 0,
    close: () => clearImmediate(timer),
  };
}

function socketLink(url: URL, binary: boolean, events: LinkEvents): Link {
  const subprotocol = binary ? subprotocols.binary : subprotocols.json;
  const socket = new WebSocket(url, [subprotocol], { maxPayload: messageBytesMax, perMessageDeflate: false });
  let over = false;
  let failure = "";
  socket.binaryType = "nodebuffer";
  socket.on("open", () => {
    if (!over) events.opened();
  });
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (!over)
      events.message(isBinary ? new Uint8Array(data.buffer, data.byteOffset, data.length) : data.toString("utf8"));
  });
  // Always followed by `close`, which says so.
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("close", (code, reason) => {
    if (over) return;
    over = true;
    events.closed(code, reason.toString("utf8") || failure);
  });
  const format: WireFormat = binary ? "binary-websocket" : "json-websocket";
  return {
    format,
    send: (data) => {
      if (!over && socket.readyState === WebSocket.OPEN) socket.send(data);
    },
    bufferedBytes: () => socket.bufferedAmount,
    close: (code, reason) => {
      if (over) return;
      over = true;
      // An answer to the closing handshake may never come from a half-open link.
      if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
      setTimeout(() => socket.terminate(), 1_000).unref();
      if (socket.readyState === WebSocket.CONNECTING) socket.terminate();
    },
  };
}

function streamLink(to: { host: string; port: number }, binary: boolean, events: LinkEvents): Link {
  const socket = connect({ ...to, noDelay: true });
  let over = false;
  let failure = "";
  socket.on("connect", () => {
    if (!over) events.opened();
  });
  socket.on("data", (data) => {
    if (!over) events.message(new Uint8Array(data.buffer, data.byteOffset, data.length));
  });
  // Always followed by `close`, which says so.
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("close", () => {
    if (over) return;
    over = true;
    events.closed(null, failure);
  });
  return {
    format: binary ? "binary-stream" : "json-lines",
    send: (data) => {
      if (!over && socket.writable) socket.write(data);
    },
    bufferedBytes: () => socket.writableLength,
    close: () => {
      if (over) return;
      over = true;
      socket.end();
      setTimeout(() => socket.destroy(), 1_000).unref();
    },
  };
}
