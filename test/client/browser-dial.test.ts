import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Link } from "../../src/client/ports.ts";
import { browserDial } from "../../src/platform/browser/browser-dial.ts";

/** What a link reported, in order. */
const told: string[] = [];
let server: WebSocketServer;
let address: string;

beforeEach(async () => {
  // The browser's class and this one share the interface that the dial uses.
  vi.stubGlobal("WebSocket", WebSocket);
  told.length = 0;
  server = new WebSocketServer({ port: 0, host: "127.0.0.1", path: "/v1/ws" });
  await once(server, "listening");
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  vi.unstubAllGlobals();
  for (const socket of server.clients) socket.terminate();
  server.close();
  await once(server, "close");
});

function dial(url: string): { link: Link; closed: Promise<void>; opened: Promise<void> } {
  const opened = deferred();
  const closed = deferred();
  const link = browserDial().connect(url, {
    opened: () => {
      told.push("opened");
      opened.resolve();
    },
    message: (data) => told.push(String(data)),
    closed: (code, reason) => {
      told.push(`closed ${code} ${reason}`);
      closed.resolve();
    },
  });
  return { link, opened: opened.promise, closed: closed.promise };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

test("[SDK60] a browser's link: the path and subprotocol, text both ways, and the server's close", async () => {
  const heard: string[] = [];
  server.on("connection", (socket) => {
    heard.push(socket.protocol);
    socket.on("message", (data: Buffer) => {
      heard.push(data.toString());
      socket.send("answer");
      socket.close(4409, "replaced");
    });
  });
  const { link, opened, closed } = dial(address);
  await opened;
  link.send("question");
  await closed;
  expect(heard).toEqual(["synod.v1.json", "question"]);
  expect(told).toEqual(["opened", "answer", "closed 4409 replaced"]);
});

test("[SDK60] a browser's link that was closed here says nothing more", async () => {
  const gone = deferred();
  server.on("connection", (socket) => {
    socket.on("close", () => gone.resolve());
    socket.send("late");
  });
  const { link, opened } = dial(address);
  await opened;
  told.length = 0;
  link.close(1000, "a reason that is longer than the bytes a close frame takes, and must be cut");
  await gone.promise;
  expect(told).toEqual([]);
});

test("[SDK60] an address that is none is told in a later turn", async () => {
  const { closed } = dial("http://[");
  expect(told).toEqual([]);
  await closed;
  expect(told[0]).toMatch(/^closed null /);
});
