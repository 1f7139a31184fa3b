import { connect } from "node:tls";

import type { PeerDialler } from "../../transport/peer-stream.ts";
import { derivePeerKey, peerTlsOptions } from "./peer-secret.ts";
import { PeerSocket } from "./peer-socket.ts";

/**
 * Dials other servers. A stream opens only towards a server that knows the secret: one that shows a certificate, however
 * good, is refused before a byte of the greeting is sent.
 */
export function nodePeerDialler(options: { readonly secret: Uint8Array }): PeerDialler {
  const { identity, key: psk } = derivePeerKey(options.secret);
  return {
    dial: ({ host, port }) => {
      const socket = connect({
        ...peerTlsOptions,
        host,
        port,
        pskCallback: () => ({ psk, identity }),
        // Asked only when the server chose a certificate, whoever has signed it: with the secret there is none.
        checkServerIdentity: () => new Error("the server shows a certificate instead of knowing the cluster secret"),
      });
      return new PeerSocket(socket, `${host}:${port}`, "secureConnect");
    },
  };
}
