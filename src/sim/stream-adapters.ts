import type { Link, LinkEvents } from "../client/ports.ts";
import { utf8 } from "../protocol/utf8.ts";
import type { ByteStream, StreamReceiver } from "../doors/byte-stream.ts";
import type { SimStream } from "./connection-end.ts";

/** A simulated connection as the doors want it. */
export function byteStream(stream: SimStream): ByteStream {
  return {
    address: stream.remote,
    get bufferedBytes(): number {
      return stream.bufferedBytes;
    },
    attach(receiver: StreamReceiver): void {
      stream.onData = (bytes) => receiver.data(bytes);
      stream.onDrain = () => receiver.drained();
      stream.onClose = () => receiver.closed();
    },
    write(pieces): void {
      for (const piece of pieces) stream.write(piece);
    },
    pause: () => stream.pauseReading(),
    resume: () => stream.resumeReading(),
    end: () => stream.close(),
    destroy: () => stream.destroy(),
  };
}

/** A simulated connection as the SDK wants it. `format` is that of the encoding the client speaks. */
export function clientLink(stream: SimStream, format: Link["format"], events: LinkEvents): Link {
  let over = false;
  stream.onOpen = () => events.opened();
  stream.onData = (bytes) => events.message(bytes);
  stream.onClose = (reason) => {
    if (over) return;
    over = true;
    events.closed(null, reason);
  };
  return {
    format,
    send: (data) => stream.write(typeof data === "string" ? utf8(data) : data),
    bufferedBytes: () => stream.bufferedBytes,
    close: () => {
      over = true;
      stream.destroy();
    },
  };
}
