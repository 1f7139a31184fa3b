import type { NodeName } from "../base/ids.ts";
import type { PeerAddress } from "../transport/peer-stream.ts";
import { isServerName } from "../transport/remote-server.ts";

/** Longer than any host that is in use; it has to fit an entry of the log. */
const hostCharactersMax = 190;

/** `HOST:PORT`, or `[IPv6]:PORT`; null for what is none. */
export function addressOf(text: string): PeerAddress | null {
  const found = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || host.length > hostCharactersMax || port < 1 || port > 65_535) return null;
  return { host, port };
}

/** `NAME=HOST:PORT`; null for what is none. */
export function peerOf(text: string): { readonly node: NodeName; readonly address: PeerAddress } | null {
  const at = text.indexOf("=");
  const node = text.slice(0, at);
  const address = addressOf(text.slice(at + 1));
  return at > 0 && isServerName(node) && address !== null ? { node: node as NodeName, address } : null;
}

/** A list that was checked already. */
export function peersOf(list: readonly string[]): Map<NodeName, PeerAddress> {
  const peers = new Map<NodeName, PeerAddress>();
  for (const text of list) {
    const peer = peerOf(text);
    if (peer !== null) peers.set(peer.node, peer.address);
  }
  return peers;
}
