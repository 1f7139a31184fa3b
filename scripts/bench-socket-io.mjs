/**
 * The Socket.IO server that `npm run bench:peers` measures beside Synod: WebSocket only, no compression. Given the name
 * of a room, everybody who connects is in it and `publish` goes to it. Tells its parent the port and ends with it.
 */
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer();
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

const room = process.argv[2];

io.on("connection", (socket) => {
  if (room === undefined) return;
  void socket.join(room);
  socket.on("publish", (/** @type {string} */ body) => io.to(room).emit("message", body));
});

server.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  process.send?.({ port: address.port });
});
process.on("disconnect", () => process.exit(0));
process.on("SIGTERM", () => process.exit(0));
