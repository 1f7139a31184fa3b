import { connect, type ConnectionOptions } from "node:tls";

import type { PeerDialler } from "../../transport/peer-stream.ts";
import { derivePeerKey, type PeerKey, peerTlsOptions } from "./peer-secret.ts";
import { PeerSocket } from "./peer-socket.ts";

/** TLS as a dialler of servers speaks it. No certificate is good enough: there is no root, and no name that fits. */
export function peerDialOptions({ identity, key: psk }: PeerKey): ConnectionOptions {
  return {
    ...peerTlsOptions,
    ca: [],
    pskCallback: () => ({ psk, identity }),
    // Asked only when the other side chose a certificate instead of the key, whoever has signed it.
    checkServerIdentity: () => new Error("the server shows a certificate instead of knowing the cluster secret"),
  };
}

/** Dials other servers. A stream opens only towards one that knows the secret; nothing is sent to any other. */
export function nodePeerDialler(options: { readonly secret: Uint8Array }): PeerDialler {
  const tls = peerDialOptions(derivePeerKey(options.secret));
  return {
    dial: ({ host, port }) => new PeerSocket(connect({ ...tls, host, port }), `${host}:${port}`, "secureConnect"),
  };
}
