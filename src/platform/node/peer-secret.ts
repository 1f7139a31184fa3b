import { hkdfSync } from "node:crypto";
import type { SecureVersion } from "node:tls";

import { Fault } from "../../base/error-codes.ts";

/** What two servers of a cluster have in common for TLS. */
export interface PeerKey {
  /** Goes over the wire in the clear. Says which secret is meant, and nothing about it. */
  readonly identity: string;
  readonly key: Uint8Array;
}

/** A secret must not be guessable; 16 random bytes are not. */
export const secretBytesMin = 16;

/** Derives key and identity from the cluster's secret (HKDF, RFC 5869). The same secret gives the same on every server. */
export function derivePeerKey(secret: Uint8Array): PeerKey {
  if (secret.length < secretBytesMin) {
    throw new Fault("bad_request", `the cluster secret has ${secret.length} bytes; make it ${secretBytesMin} or more`);
  }
  const derive = (purpose: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync("sha256", secret, "synod", `peer port 1 ${purpose}`, bytes));
  return { identity: `synod-peer-1-${derive("identity", 8).toString("hex")}`, key: derive("key", 32) };
}

/**
 * TLS 1.3 with the secret as external PSK and an ephemeral key exchange (X25519), so that who learns the secret later
 * can't read what was recorded. No certificates on either side. The suites are those with SHA-256: OpenSSL binds keys
 * that come through a callback to that hash, so TLS_AES_256_GCM_SHA384 can't be negotiated with them (Node 20.20).
 */
export const peerTlsOptions = {
  minVersion: "TLSv1.3" satisfies SecureVersion,
  maxVersion: "TLSv1.3" satisfies SecureVersion,
  ciphers: "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256",
} as const;
