import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { CuttableLinks } from "../../src/apps/bench/peers/cuttable-links.ts";

/** A server that says back what it hears. */
async function echo(): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function dialled(port: number): Promise<{ socket: Socket; heard: () => string }> {
  const socket = connect({ host: "127.0.0.1", port });
  onTestFinished(() => void socket.destroy());
  let text = "";
  socket.on("data", (bytes: Buffer) => {
    text += bytes.toString();
  });
  await once(socket, "connect");
  return { socket, heard: () => text };
}

test("what is said over a cut way comes when it is healed, and other ways are not cut", async () => {
  const links = await CuttableLinks.between([await echo(), await echo(), await echo()]);
  onTestFinished(() => links.close());
  const [cut, free] = [await dialled(links.portFrom(0, 1)), await dialled(links.portFrom(1, 2))];
  cut.socket.write("a");
  await expect.poll(cut.heard).toBe("a");

  links.setCut(0, true);
  const later = await dialled(links.portFrom(2, 0));
  for (const one of [cut, free, later]) one.socket.write("b");
  await expect.poll(free.heard).toBe("b");
  // Whoever is cut off hears nothing, also on a connection that it made meanwhile.
  expect([cut.heard(), later.heard()]).toEqual(["a", ""]);

  links.setCut(0, false);
  await expect.poll(cut.heard).toBe("ab");
  await expect.poll(later.heard).toBe("b");
});

test("an end passes as soon as nothing is cut", async () => {
  const links = await CuttableLinks.between([await echo(), await echo()]);
  onTestFinished(() => links.close());
  const way = await dialled(links.portFrom(0, 1));
  links.close();
  await once(way.socket, "close");
});
