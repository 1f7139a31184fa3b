import { randomBytes } from "node:crypto";
import { nodeClock } from "../../src/platform/node/node-clock.ts";
import { nodeRandom } from "../../src/platform/node/node-random.ts";
import { nodePeerDialler } from "../../src/platform/node/peer-dialler.ts";
import { defaultPeerListenerLimits, listenForPeers, type PeerListener } from "../../src/platform/node/peer-listener.ts";
import { secretBytesMin } from "../../src/platform/node/peer-secret.ts";
import type { PeerStream } from "../../src/transport/peer-stream.ts";
import { mortalClock, type PeerHost, type PeerWorld } from "./peer-world.ts";

const secrets = new Map<string, Uint8Array>();

/** The bytes of a secret that tests call by a name. */
export function secretCalled(name: string): Uint8Array {
  let secret = secrets.get(name);
  if (secret === undefined) {
    secret = randomBytes(secretBytesMin);
    secrets.set(name, secret);
  }
  return secret;
}

/** Real sockets and real TLS on the loopback. Nothing here is timed; waiting only gives way to what is under way. */
export function socketWorld(): PeerWorld {
  const listeners: PeerListener[] = [];
  const streams: PeerStream[] = [];
  const turn = (): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(resolve, 2);
    });
  return {
    host: (_name, secretName = "one secret"): PeerHost => {
      const secret = secretCalled(secretName);
      const dialler = nodePeerDialler({ secret });
      let own: PeerListener | null = null;
      let isAlive = true;
      const ownStreams: PeerStream[] = [];
      return {
        clock: mortalClock(nodeClock(), () => isAlive),
        random: nodeRandom(),
        dialler: {
          dial: (address) => {
            const stream = dialler.dial(address);
            streams.push(stream);
            ownStreams.push(stream);
            return stream;
          },
        },
        listen: async (onStream) => {
          own = await listenForPeers({
            host: "127.0.0.1",
            port: 0,
            secret,
            limits: defaultPeerListenerLimits,
            onStream: (stream) => {
              streams.push(stream);
              ownStreams.push(stream);
              onStream(stream);
            },
            onTurnedAway: () => undefined,
          });
          listeners.push(own);
          return { host: own.host, port: own.port };
        },
        crash: async () => {
          isAlive = false;
          for (const stream of ownStreams) stream.destroy();
          await own?.close();
        },
        stopListening: async () => {
          await own?.close();
        },
      };
    },
    until: async (done) => {
      while (!done()) await turn();
    },
    rest: async () => {
      for (let times = 0; times < 20; times++) await turn();
    },
    close: async () => {
      for (const stream of streams) stream.destroy();
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}
