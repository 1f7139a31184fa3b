import type { ClusterId, GroupId, LogIndex, Term } from "../base/ids.ts";
import type { Day, Timestamp } from "../base/units.ts";
import { Aggregates } from "./aggregates.ts";
import { Chunks } from "./chunks.ts";
import { Membership } from "./membership.ts";
import { Posting } from "./posting.ts";
import type { Bounds, ServerAddress } from "./setting.ts";

/** The parts of a group's state. They know one another; nobody outside this folder sees them. */
export interface StateParts {
  readonly group: GroupId;
  readonly all: Aggregates;
  readonly chunks: Chunks;
  readonly membership: Membership;
  readonly posting: Posting;
  appliedIndex: LogIndex;
  appliedTerm: Term;
  lastTs: Timestamp;
  lastDay: Day;
  timeZone: string;
  retentionDays: number;
  /** Payload and index of the last configuration entry. Opaque here: consensus wrote it and reads it. */
  configuration: GroupConfiguration | null;
  /** Where servers were said to be reached, in the order in which they were named first. */
  readonly addresses: Map<string, ServerAddress | null>;
  /** Where clients reach servers, as these said; one that said nothing is not there. In the order in which they said so. */
  readonly clientAddresses: Map<string, readonly string[]>;
}

/** Who belongs to the group, in bytes, and the entry that said so. */
export interface GroupConfiguration {
  readonly index: LogIndex;
  readonly bytes: Uint8Array;
}

/** What there is before the first entry. */
export function emptyParts(group: GroupId, cluster: ClusterId, bounds: Bounds, hashSeed: number): StateParts {
  const all = new Aggregates(cluster, bounds, hashSeed);
  const chunks = new Chunks(all);
  const membership = new Membership(all, chunks);
  return {
    group,
    all,
    chunks,
    membership,
    posting: new Posting(all, chunks, membership),
    appliedIndex: 0 as LogIndex,
    appliedTerm: 0 as Term,
    lastTs: 0 as Timestamp,
    lastDay: 0 as Day,
    timeZone: "UTC",
    retentionDays: 0,
    configuration: null,
    addresses: new Map(),
    clientAddresses: new Map(),
  };
}
