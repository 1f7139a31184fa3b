import type { GroupId } from "../../base/ids.ts";
import type { ConfigurationHistory } from "../configuration-history.ts";
import type { Effects } from "../effects.ts";
import type { Peers } from "../peers.ts";
import type { ReplicaId } from "../replica.ts";
import type { GroupSettings } from "../settings.ts";
import type { Log } from "./log.ts";

/** What leading and following share: the group's log and members, and the way to the outside. */
export interface ReplicationOptions {
  readonly group: GroupId;
  readonly self: ReplicaId;
  readonly log: Log;
  readonly history: ConfigurationHistory;
  readonly peers: Peers;
  readonly effects: Effects;
  readonly settings: GroupSettings;
}
