import type { RequestListener } from "node:http";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { defaultHttpTimes, HttpListener } from "../../src/doors/http-listener.ts";
import { realClock, until } from "./fake-server.ts";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function listening(
  handle: RequestListener,
  upgrade: ConstructorParameters<typeof HttpListener>[0]["upgrade"] = null,
) {
  const times = defaultHttpTimes;
  const listener = new HttpListener({ handle, upgrade, connectionsMax: 10, held: null, times, clock: realClock });
  const port = await listener.listen({ host: "127.0.0.1", port: 0 });
  const sockets: Socket[] = [];
  closers.push(async () => {
    for (const socket of sockets) socket.destroy();
    await listener.close();
  });
  let parsed = 0;
  listener.server.on("request", () => parsed++);
  listener.server.on("upgrade", (_incoming, socket) => sockets.push(socket as Socket));
  const dial = (): Socket => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => socket.destroy());
    sockets.push(socket);
    return socket;
  };
  return { dial, parsed: () => parsed };
}

const head = (method: string, more = ""): string => `${method} / HTTP/1.1\r\nHost: x\r\n${more}\r\n`;

test("[HTTP17] who asks for a thousand things in one go is cut off before most of them are parsed", async () => {
  const { dial, parsed } = await listening((_incoming, outgoing) => void setTimeout(() => outgoing.end("late"), 1_000));
  const socket = dial();
  socket.write(head("GET").repeat(1_000));
  await until(() => socket.closed);
  // Seventeen are allowed, five are seen to be too many, and a slice may hold twenty.
  expect(parsed()).toBeGreaterThan(17);
  expect(parsed()).toBeLessThan(17 + 5 + 20);
});

test("[HTTP17] a body comes whole, and so do the requests behind it, however the slices lie", async () => {
  const bodies: string[] = [];
  const { dial } = await listening((incoming, outgoing) => {
    let body = "";
    incoming.on("data", (bytes: Buffer) => (body += bytes.toString("latin1")));
    incoming.on("end", () => {
      bodies.push(body);
      outgoing.end("done");
    });
  });
  const lines = Array.from({ length: 5_000 }, (_, n) => `line ${n}\r\n\r\n`);
  const body = lines.join("");
  const posts = [1, 1_000, 1_024, 40_000].map((length) => body.slice(0, length));
  const socket = dial();
  let answered = 0;
  socket.on("data", (bytes: Buffer) => (answered += bytes.toString("latin1").match(/done/g)?.length ?? 0));
  socket.write(
    posts.map((post) => `${head("POST", `Content-Length: ${post.length}\r\n`)}${post}`).join("") + head("GET"),
  );
  await until(() => answered === 5);
  expect(bodies).toEqual([...posts, ""]);
});

test("[HTTP17] while answers are not taken nothing is parsed; then all that was read is, in order", async () => {
  const page = "z".repeat(200_000);
  const { dial, parsed } = await listening(
    (incoming, outgoing) => void outgoing.end(String(incoming.headers["x-place"]) + page),
  );
  const socket = dial();
  socket.pause();
  // Each is most of a slice.
  const all = Array.from({ length: 12 }, (_, n) => head("GET", `X-Place: <${n}>\r\nCookie: ${"c".repeat(400)}\r\n`));
  socket.write(all.join(""));
  await until(() => parsed() > 0);
  let back = "";
  socket.on("data", (bytes: Buffer) => (back += bytes.toString("latin1").replaceAll("z", "")));
  socket.resume();
  await until(() => back.match(/<\d+>/g)?.length === 12);
  expect(back.match(/<\d+>/g)).toEqual(all.map((_, n) => `<${n}>`));
});

test("[HTTP17] what comes in one go with an upgrade is all there, behind it", async () => {
  let got = "";
  const { dial } = await listening(
    () => undefined,
    (_incoming, socket, rest) => {
      got = rest.toString("latin1");
      socket.on("data", (bytes: Buffer) => (got += bytes.toString("latin1")));
      socket.on("error", () => socket.destroy());
    },
  );
  const text = Array.from({ length: 4_000 }, (_, n) => `${n},`).join("");
  dial().write(head("GET", "Connection: Upgrade\r\nUpgrade: x\r\n") + text);
  await until(() => got.length >= text.length);
  expect(got).toBe(text);
});

test("[HTTP17] behind what is no HTTP nothing is parsed, however it goes on", async () => {
  const { dial, parsed } = await listening((_incoming, outgoing) => void outgoing.end("done"));
  const socket = dial();
  let back = "";
  socket.on("data", (bytes: Buffer) => (back += bytes.toString("latin1")));
  socket.write(`nonsense${" ".repeat(504)}${head("GET")}`);
  await until(() => socket.closed);
  expect(back).toMatch(/^HTTP\/1\.1 400 /);
  expect(parsed()).toBe(0);
});
