import type { Dial, Link, LinkEvents } from "../../client/ports.ts";

/** Links from a page or a worker: WebSocket, speaking JSON. `http(s):` and addresses without a scheme are understood. */
export function browserDial(): Dial {
  return { connect: (address, events) => socketLink(address, events) };
}

const subprotocol = "synod.v1.json";
const socketPath = "/v1/ws";

function socketLink(address: string, events: LinkEvents): Link {
  let socket: WebSocket | null = null;
  let over = false;
  const finish = (code: number | null, reason: string): void => {
    if (over) return;
    over = true;
    events.closed(code, reason);
  };
  try {
    socket = new WebSocket(socketAddress(address), [subprotocol]);
    socket.onopen = () => {
      if (!over) events.opened();
    };
    socket.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (over) return;
      if (typeof data === "string") events.message(data);
      else finish(null, "bytes where text was agreed");
    };
    // 1006 is what a browser says when there was no closing handshake; it says nothing more.
    socket.onclose = ({ code, reason }) => finish(code === 1006 ? null : code, reason);
  } catch (error) {
    // The address is none, or the page may not use it. Told in a later turn, like every failure.
    setTimeout(() => finish(null, error instanceof Error ? error.message : String(error)));
  }
  return {
    format: "json-websocket",
    send: (data) => {
      if (!over && socket?.readyState === WebSocket.OPEN) socket.send(data as string);
    },
    bufferedBytes: () => socket?.bufferedAmount ?? 0,
    close: (code, reason) => {
      over = true;
      // At most 123 bytes of reason are taken.
      socket?.close(code, reason.slice(0, 40));
    },
  };
}

function socketAddress(address: string): string {
  const url = new URL(address, globalThis.location?.href);
  url.protocol = /^(https|wss):/.test(url.protocol) ? "wss:" : "ws:";
  if (url.pathname === "/") url.pathname = socketPath;
  return url.href;
}
