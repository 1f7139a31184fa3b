import { constants } from "node:crypto";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

import type { PeerStream } from "../../transport/peer-stream.ts";
import { derivePeerKey, peerTlsOptions } from "./peer-secret.ts";
import { PeerSocket } from "./peer-socket.ts";

/** What may be asked of a peer port by those who have not shown that they know the secret. */
export interface PeerListenerLimits {
  /** From accept to the end of the TLS handshake, however busy the other side keeps it. */
  readonly authenticateWithinMs: number;
  /** Connections without a finished handshake: in all, and of one address. */
  readonly unauthenticatedMax: number;
  readonly unauthenticatedPerAddressMax: number;
}

/** Whole clusters start at once and a handshake takes milliseconds; an attacker holds 64 sockets and nothing else. */
export const defaultPeerListenerLimits: PeerListenerLimits = {
  authenticateWithinMs: 2_000,
  unauthenticatedMax: 64,
  unauthenticatedPerAddressMax: 16,
};

/** Why a connection was turned away before it was a stream. */
export type TurnedAway = "too_many" | "slow" | "unauthenticated" | "failed";

export interface PeerListener {
  readonly host: string;
  readonly port: number;
  /** Connections whose handshake is not finished. */
  readonly unauthenticatedCount: number;
  /** Accepts no more and ends handshakes; streams that were handed over stay. Settles when the port is free. */
  close(): Promise<void>;
}

/**
 * The peer port. Until a connection has shown that it knows the secret, nothing that it sends is parsed by Synod, and it
 * holds a socket and TLS's own buffers for a bounded time.
 */
export async function listenForPeers(options: {
  readonly host: string;
  readonly port: number;
  readonly secret: Uint8Array;
  readonly limits: PeerListenerLimits;
  /** A server that knows the secret. */
  readonly onStream: (stream: PeerStream) => void;
  readonly onTurnedAway: (address: string, why: TurnedAway, text: string) => void;
}): Promise<PeerListener> {
  const { limits, onStream, onTurnedAway } = options;
  const { identity, key } = derivePeerKey(options.secret);
  /** By address and port of the other end, which TLS's socket shares with the one it wraps. */
  const waiting = new Map<string, Waiting>();

  const isOneTooMany = (host: string): boolean => {
    if (waiting.size >= limits.unauthenticatedMax) return true;
    let ofHost = 0;
    for (const other of waiting.values()) if (other.host === host) ofHost++;
    return ofHost >= limits.unauthenticatedPerAddressMax;
  };
  const leave = (address: string): void => {
    clearTimeout(waiting.get(address)?.deadline);
    waiting.delete(address);
  };

  const tls = createTlsServer({
    ...peerTlsOptions,
    // No tickets: every connection shows anew that it knows the secret.
    secureOptions: constants.SSL_OP_NO_TICKET,
    // The deadline below counts from the first byte to the last; TLS's own starts over with each byte.
    handshakeTimeout: limits.authenticateWithinMs * 2,
    pskCallback: (_socket, offered) => (offered === identity ? key : null),
  });
  tls.on("secureConnection", (socket) => {
    const address = addressOf(socket);
    leave(address);
    onStream(new PeerSocket(socket, address, null));
  });
  tls.on("tlsClientError", (error, socket) => {
    onTurnedAway(addressOf(socket), "unauthenticated", error.message);
    socket.destroy();
  });

  const tcp = createTcpServer({ noDelay: true }, (socket) => {
    const address = addressOf(socket);
    const host = socket.remoteAddress;
    if (host === undefined) {
      // It was reset before it was looked at.
      socket.destroy();
      return;
    }
    if (isOneTooMany(host)) {
      onTurnedAway(address, "too_many", `${waiting.size} connections have not shown that they know the secret`);
      socket.destroy();
      return;
    }
    const deadline = setTimeout(() => {
      onTurnedAway(address, "slow", `no handshake within ${limits.authenticateWithinMs} ms`);
      socket.destroy();
    }, limits.authenticateWithinMs).unref();
    waiting.set(address, { host, deadline, socket });
    socket.once("close", () => leave(address));
    socket.on("error", () => leave(address));
    tls.emit("connection", socket);
  });

  await new Promise<void>((resolve, reject) => {
    tcp.once("error", reject);
    tcp.listen({ host: options.host, port: options.port }, () => {
      tcp.off("error", reject);
      resolve();
    });
  });
  // The machine may run out of descriptors; whoever could not be accepted dials again.
  tcp.on("error", (error) => onTurnedAway("?", "failed", error.message));
  const { address, port } = tcp.address() as AddressInfo;
  return {
    host: address,
    port,
    get unauthenticatedCount() {
      return waiting.size;
    },
    close: () =>
      new Promise((resolve) => {
        for (const { socket } of waiting.values()) socket.destroy();
        // The port is free as soon as the loop has turned; the server's own "close" would wait for all streams to end.
        tcp.close();
        setImmediate(resolve);
      }),
  };
}

interface Waiting {
  readonly host: string;
  readonly deadline: NodeJS.Timeout;
  readonly socket: Socket;
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress ?? "?"}:${socket.remotePort ?? 0}`;
}
