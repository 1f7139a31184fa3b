import { entryTypes } from "../base/entry.ts";
import { Fault } from "../base/error-codes.ts";
import type { NodeName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import { nodeOf } from "../consensus/replica.ts";
import { addressesMax, encodeSettings, type ServerAddress } from "../rooms/setting.ts";
import type { Member } from "../topology/engine.ts";
import type { Cluster } from "./cluster.ts";
import type { Server } from "./server.ts";

/** Servers in one cluster. Each one more is dialled and heard by all. */
const serversMax = 16;
/** How long an operator waits for what is put in order, and how often it is looked whether it is. */
const committedWithinMs = 8_000;
const lookEveryMs = 10;
/** How far behind the others who stays may be, to count as one who is there. */
const keepsUpWithinMs = 1_000;

/**
 * Has a server belong to the cluster from now on: its address is put in order, so that all dial it, and the leader admits
 * it as soon as it is there. Settles when the address is committed; rejects with a Fault. Again with another address: it has moved.
 */
export async function addServer(server: Server, node: NodeName, address: ServerAddress): Promise<void> {
  const cluster = leading(server, `add ${node}`);
  const { addresses } = server.state;
  const isNew = node !== server.node && !cluster.listed.has(node);
  if (isNew && cluster.listed.size + 1 >= serversMax) {
    throw new Fault("too_large", `a cluster has at most ${serversMax} servers; remove one first`);
  }
  if (!addresses.has(node) && addresses.size >= addressesMax) {
    throw new Fault("too_large", `the log keeps ${addressesMax} names of servers; use one that was used before`);
  }
  await setAddress(server, node, address);
}

/**
 * Takes a server out of the group, and off the list, so that nobody admits it again. Settles when both are committed;
 * rejects with a Fault, also while it runs and is the only one that has something: whoever removes it may wipe it next.
 */
export async function removeServer(server: Server, node: NodeName): Promise<void> {
  const cluster = leading(server, `remove ${node}`);
  if (node === server.node) {
    throw new Fault(
      "bad_request",
      `${node} leads; have another one lead first (synod cluster transfer), and ask that one`,
    );
  }
  const isMember = server.driver.engine.members.some(({ replica }) => nodeOf(replica) === node);
  if (!isMember && !cluster.listed.has(node))
    throw new Fault("not_found", `no server of this cluster is called ${node}`);
  const staying = server.driver.engine.members.map(({ replica }) => nodeOf(replica)).filter((name) => name !== node);
  const only = cluster.catchUp.lacked.onlyHeldBy(node, staying);
  if (only.length > 0) {
    throw new Fault(
      "behind",
      `${node} alone has ${only.length} of the sealed files, and the others are getting them: wait, or stop ${node} to remove it without`,
      { definite: true, retryAfterMs: 5_000 },
    );
  }
  await refuseLossOfQuorum(server, cluster, node);
  // The group first: it may need the link with the one that goes.
  if (isMember) await cluster.remove(node);
  await setAddress(server, node, null);
}

/**
 * Those who stay decide about it from the moment it is in the log. Were too few of them there, nothing could be decided any
 * more, also not that somebody comes back in their place.
 */
async function refuseLossOfQuorum(server: Server, cluster: Cluster, node: NodeName): Promise<void> {
  const isVoter = server.driver.engine.members.some(
    ({ role, replica }) => role === "voter" && nodeOf(replica) === node,
  );
  if (!isVoter) return;
  // Whoever is linked may be silent for good, its journal damaged, and have had all that there was before: only who takes
  // what comes into the log from now on counts.
  const target = server.driver.lastIndex + 1;
  server.proposals.order(entryTypes.noop, new Uint8Array(0));
  const until = server.clock.now() + keepsUpWithinMs;
  for (;;) {
    const staying = server.driver.engine.members.filter(
      ({ role, replica }) => role === "voter" && nodeOf(replica) !== node,
    );
    const keepsUp = ({ replica, matched }: Member): boolean =>
      nodeOf(replica) === server.node || (cluster.isThere(replica) && matched !== null && matched >= target);
    const away = staying.filter((member) => !keepsUp(member)).map(({ replica }) => nodeOf(replica));
    if (away.length * 2 < staying.length) return;
    if (server.clock.now() >= until || !server.isRunning) {
      throw new Fault(
        "no_quorum",
        `without ${node} the others are no quorum while ${away.join(", ")} can't be reached; bring back or remove ${away.length === 1 ? "that one" : "those"} first`,
        { definite: true, retryAfterMs: 1_000 },
      );
    }
    await looked(server);
  }
}

function looked(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.clock.after(millis(lookEveryMs), resolve);
  });
}

/** Hands the leadership over, to `to` or to whoever is fittest. Settles with who leads then; rejects with a Fault. */
export async function transferLeadership(server: Server, to: NodeName | null): Promise<NodeName | null> {
  leading(server, "hand over");
  if (to === server.node) return to;
  await server.transfer(to);
  return server.driver.engine.standing.leader;
}

function leading(server: Server, what: string): Cluster {
  if (server.cluster === null) {
    throw new Fault(
      "unsupported",
      "this server is alone (topology solo); start it with --topology leader and a secret",
    );
  }
  const { leader } = server.driver.engine.standing;
  if (leader === null) throw new Fault("no_quorum", `can't ${what}: nobody is elected`, { retryAfterMs: 500 });
  if (leader !== server.node) {
    const advice = `ask its operators' port, or have this server lead first: synod cluster transfer ${server.node} there`;
    throw new Fault("bad_request", `can't ${what} from here: ${leader} leads; ${advice}`);
  }
  return server.cluster;
}

async function setAddress(server: Server, node: NodeName, address: ServerAddress | null): Promise<void> {
  const before = server.state.addresses.get(node);
  const isSame = before === address || (before?.host === address?.host && before?.port === address?.port);
  if (before !== undefined && isSame) return;
  server.proposals.order(entryTypes.setting, encodeSettings([{ kind: "address", node, address }]));
  const until = server.clock.now() + committedWithinMs;
  while (server.state.addresses.get(node) === before) {
    if (server.clock.now() >= until || !server.isRunning) {
      throw new Fault("no_quorum", `it is not known whether the address of ${node} was stored: too few servers answer`);
    }
    await looked(server);
  }
}
