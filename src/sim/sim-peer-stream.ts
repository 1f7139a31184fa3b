import type { PeerStream } from "../transport/peer-stream.ts";
import type { SimStream } from "./connection-end.ts";

/**
 * A simulated stream as the transport wants it. It stands for TLS as well: the simulator's servers share a secret, and a
 * byte that was changed on its way ends the stream.
 */
export function simPeerStream(stream: SimStream): PeerStream {
  stream.isSealed = true;
  return {
    address: stream.remote,
    get bufferedBytes(): number {
      return stream.bufferedBytes;
    },
    attach: (receiver) => {
      stream.onOpen = () => receiver.opened();
      stream.onData = (bytes) => receiver.data(bytes);
      stream.onDrain = () => receiver.drained();
      stream.onClose = (why) => receiver.closed(why);
    },
    write: (pieces) => {
      for (const piece of pieces) stream.write(piece);
    },
    end: () => stream.close(),
    destroy: () => stream.destroy(),
  };
}
