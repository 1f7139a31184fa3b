import { seededRandom } from "../../src/base/random.ts";
import { millis } from "../../src/base/units.ts";
import { Network } from "../../src/sim/network.ts";
import { Scheduler } from "../../src/sim/scheduler.ts";
import { simPeerStream } from "../../src/sim/sim-peer-stream.ts";
import type { PeerHost, PeerWorld } from "./peer-world.ts";

const port = 7;

/** The simulator's network, with a byte stream chopped into small pieces. */
export function simWorld(seed: number): PeerWorld & { readonly network: Network; readonly scheduler: Scheduler } {
  const scheduler = new Scheduler({ random: seededRandom(seed + 2) });
  const network = new Network({ scheduler, random: seededRandom(seed) });
  network.shape({ chop: { kind: "pieces", bytesMax: 700 } });
  const random = seededRandom(seed + 1);
  return {
    network,
    scheduler,
    host: (name): PeerHost => {
      const host = scheduler.host(name);
      let listener: { close(): void } | null = null;
      return {
        get clock() {
          return host.clock;
        },
        random,
        dialler: { dial: (to) => simPeerStream(network.dial(host, to)) },
        listen: (onStream) => {
          listener = network.listen(host, port, (stream) => onStream(simPeerStream(stream)));
          return Promise.resolve({ host: name, port });
        },
        crash: () => {
          host.crash("killed");
          return Promise.resolve();
        },
        stopListening: () => {
          listener?.close();
          return Promise.resolve();
        },
      };
    },
    until: async (done) => {
      const reached = await scheduler.runUntil(done, { until: millis(scheduler.now() + 10_000) });
      if (!reached && !done()) throw new Error("it did not come to that");
    },
    rest: async () => {
      await scheduler.run({ until: millis(scheduler.now() + 200) });
    },
    close: () => Promise.resolve(),
  };
}
