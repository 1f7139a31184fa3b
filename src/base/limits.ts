import { assert } from "./assert.ts";

/**
 * Every bound in one place, with its unit in its name and its reason beside it. What a client can grow is bounded
 * here; what an operator may change is read from the configuration and checked with `checkLimits`.
 */
export interface Limits {
  // What one client may send
  /** Longest body of one message. */
  readonly bodyBytesMax: number;
  /** Longest frame, body included and JSON-escaped (a control character takes six bytes), plus names and fields. */
  readonly frameBytesMax: number;
  /** Frame size before the greeting is answered: the longest token and name fit, and little more. */
  readonly helloBytesMax: number;
  /** Objects and arrays inside one another in JSON; checked before it is parsed, because the parser takes any depth. */
  readonly jsonDepthMax: number;
  /** Keys and elements of one JSON text together: bounds what parsing it may allocate. A full page of history fits. */
  readonly jsonValuesMax: number;
  /** Frames in one array of frames. */
  readonly framesPerTextMax: number;
  /** How long a connection may stay without a valid `hello`. */
  readonly helloWithinMs: number;
  /** Rooms one connection may be subscribed to. */
  readonly subsMax: number;
  /** Rooms one user may be a member of. */
  readonly roomsMax: number;
  /** Sends of one connection that are not answered yet. */
  readonly sendsInFlightMax: number;
  /** Messages and bytes of bodies one user may send in a second, all connections together; a second's worth at once. */
  readonly sendsPerSecondMax: number;
  readonly sendBytesPerSecondMax: number;
  /** Messages into one room in a second through one server, of all users together; a second's worth at once. */
  readonly roomSendsPerSecondMax: number;
  /** Joins and invitations of one user in a second that make a membership; five seconds' worth at once. */
  readonly joinsPerSecondMax: number;
  /** Messages in one page of history. */
  readonly histItemsMax: number;
  /** Bytes of bodies in one page of history; the page ends early, `more` says so. */
  readonly histBytesMax: number;
  /** Other requests of one connection that are not answered yet. */
  readonly requestsInFlightMax: number;
  /** Of those, pages of history: each may be as large as `histBytesMax`. */
  readonly pagesInFlightMax: number;

  // What one connection may cost
  /** Bytes waiting in one socket before the reader goes to cursor mode. */
  readonly socketQueueBytesMax: number;
  /** Bytes of history waiting for one reader before the next step is read: nobody else shares them. */
  readonly catchUpBytesMax: number;
  /** Bytes that wait for slow clients and for nobody else, over all connections: beyond, no large answer is built, and who takes nothing goes. */
  readonly heldOutputBytesMax: number;
  /** How long a socket may take no byte at all before it is closed with 4429. */
  readonly socketStalledMsMax: number;
  /** Connections of this server, all doors together. */
  readonly connectionsMax: number;
  /** Connections that have not greeted yet: in all, and of one address. */
  readonly greetingConnectionsMax: number;
  readonly greetingConnectionsPerAddressMax: number;
  /** New connections from one address in a second; five seconds' worth at once. */
  readonly connectionsPerSecondPerAddressMax: number;
  /** Refused proofs of identity from one address in a second; five seconds' worth at once. Beyond, none is looked at. */
  readonly loginFailuresPerSecondPerAddressMax: number;
  /** A heartbeat is asked for this often; silence of twice this long closes the connection. */
  readonly heartbeatMs: number;

  // What the orderer may hold
  /** Commands proposed and not yet committed, by bytes: beyond, senders are refused with `overloaded`. */
  readonly uncommittedBytesMax: number;
  /** Bytes of one entry. Keeps one flush short, and one group from filling the journal's turn. */
  readonly entryBytesMax: number;
  /** Message ids kept in replicated state for deduplication, of one group. */
  readonly idWindowEntries: number;
  /** Rooms of one group. */
  readonly groupRoomsMax: number;
  /** Rooms of one group that one user has made and that are still there. */
  readonly madeRoomsMax: number;
  /** Rooms that one user was invited to and has not joined. */
  readonly invitedRoomsMax: number;
  /** Members of one room. */
  readonly roomMembersMax: number;
  /** Users of one group: those who are or were in a room, or have a direct room. */
  readonly groupUsersMax: number;
  /** Direct rooms of one user. */
  readonly directRoomsMax: number;
  /** Read marks, in one open room, of users who are not its members. */
  readonly visitorMarksMax: number;

  // What memory keeps
  /** Slots of one room's recent ring; a power of two. */
  readonly ringSlots: number;
  /** Bytes of all recent rings together, beyond the unsealed tail. */
  readonly ringBytesMax: number;

  // What the disk holds
  /** Size of one journal segment. */
  readonly segmentBytes: number;
  /** Unsealed bytes after which the orderer seals a chunk: the memory tail and the start-up are bounded by it. */
  readonly chunkBytes: number;
  /** Bytes not yet in a durable chunk after which senders are refused with `overloaded`. */
  readonly unsealedBytesMax: number;
  /** Free space below which new sends are refused with `storage_full`; seals, trims and configuration still fit. */
  readonly diskReserveBytes: number;
  /** Segments of the journal together, those kept for servers that lag behind included; only where there are others. */
  readonly journalKeptBytes: number;
  /** Idle time of the journal after which a mark certifies the last batch. */
  readonly markAfterMs: number;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const defaultLimits: Limits = {
  bodyBytesMax: 64 * KiB,
  frameBytesMax: 448 * KiB,
  helloBytesMax: 5 * KiB,
  jsonDepthMax: 16,
  jsonValuesMax: 32_768,
  framesPerTextMax: 1_024,
  helloWithinMs: 3_500,
  subsMax: 1_000,
  roomsMax: 1_000,
  sendsInFlightMax: 1_024,
  sendsPerSecondMax: 1_000_000,
  sendBytesPerSecondMax: 1_024 * MiB,
  roomSendsPerSecondMax: 1_000_000,
  joinsPerSecondMax: 250,
  histItemsMax: 500,
  histBytesMax: 1 * MiB,
  requestsInFlightMax: 64,
  pagesInFlightMax: 8,

  socketQueueBytesMax: 256 * KiB,
  catchUpBytesMax: 32 * KiB,
  heldOutputBytesMax: 64 * MiB,
  socketStalledMsMax: 30_000,
  connectionsMax: 20_000,
  greetingConnectionsMax: 2_000,
  greetingConnectionsPerAddressMax: 1_000,
  connectionsPerSecondPerAddressMax: 5_000,
  loginFailuresPerSecondPerAddressMax: 20,
  heartbeatMs: 25_000,

  uncommittedBytesMax: 64 * MiB,
  entryBytesMax: 1 * MiB,
  idWindowEntries: 65_536,
  groupRoomsMax: 100_000,
  madeRoomsMax: 1_000,
  invitedRoomsMax: 10_000,
  roomMembersMax: 10_000,
  groupUsersMax: 1_000_000,
  directRoomsMax: 10_000,
  visitorMarksMax: 1_000,

  ringSlots: 4_096,
  ringBytesMax: 64 * MiB,

  segmentBytes: 64 * MiB,
  chunkBytes: 64 * MiB,
  unsealedBytesMax: 192 * MiB,
  diskReserveBytes: 256 * MiB,
  journalKeptBytes: 512 * MiB,
  markAfterMs: 20,
};

/** What disks write at once, and the journal's unit. */
const sectorBytes = 512;

/** Asserts of each bound what holds for all. */
export function checkEachLimit(limits: object): void {
  for (const [name, value] of Object.entries(limits) as [string, unknown][]) {
    const isWhole = Number.isSafeInteger(value) && (value as number) > 0;
    assert(isWhole, `limit ${name} must be a whole number above 0, not ${String(value)}`);
  }
}

/** A bound that doesn't go with others, and what it must be. */
export interface LimitMistake {
  readonly limit: keyof Limits;
  /** What follows the name: `must be at least 6148, to hold …`. */
  readonly message: string;
  /** The bounds it was held against. */
  readonly against: readonly (keyof Limits)[];
}

interface LeastRule {
  readonly limit: keyof Limits;
  readonly least: (limits: Limits) => number;
  readonly reason: string;
  readonly against: readonly (keyof Limits)[];
}

const leastRules: readonly LeastRule[] = [
  {
    limit: "frameBytesMax",
    least: ({ bodyBytesMax }) => bodyBytesMax * 6 + 4 * KiB,
    reason: "to hold an escaped body and its names",
    against: ["bodyBytesMax"],
  },
  {
    limit: "entryBytesMax",
    least: ({ bodyBytesMax }) => bodyBytesMax * 2,
    reason: "to hold a message",
    against: ["bodyBytesMax"],
  },
  {
    limit: "uncommittedBytesMax",
    least: ({ entryBytesMax }) => entryBytesMax,
    reason: "to hold an entry",
    against: ["entryBytesMax"],
  },
  {
    limit: "segmentBytes",
    least: ({ entryBytesMax }) => entryBytesMax * 2 + 8 * KiB,
    reason: "to hold the largest batch",
    against: ["entryBytesMax"],
  },
  {
    limit: "unsealedBytesMax",
    least: ({ chunkBytes }) => chunkBytes * 2,
    reason: "so that one chunk can fill while another is written",
    against: ["chunkBytes"],
  },
  {
    limit: "histBytesMax",
    least: ({ bodyBytesMax }) => bodyBytesMax,
    reason: "to hold one message",
    against: ["bodyBytesMax"],
  },
  {
    limit: "socketQueueBytesMax",
    least: ({ bodyBytesMax }) => bodyBytesMax,
    reason: "to hold one message",
    against: ["bodyBytesMax"],
  },
  {
    limit: "heldOutputBytesMax",
    least: ({ histBytesMax, catchUpBytesMax }) => histBytesMax + catchUpBytesMax,
    reason: "to hold a page of history, and a step of it",
    against: ["histBytesMax", "catchUpBytesMax"],
  },
  { limit: "sendsInFlightMax", least: () => 1_024, reason: "by protocol", against: [] },
  { limit: "idWindowEntries", least: () => 8, reason: "to hold a few ids", against: [] },
];

/** The bounds against each other, so that a changed one cannot break a promise made by another. Each is a whole number. */
export function limitMistakes(limits: Limits): LimitMistake[] {
  const mistakes: LimitMistake[] = [];
  for (const { limit, least, reason, against } of leastRules) {
    const needed = least(limits);
    if (limits[limit] < needed) mistakes.push({ limit, message: `must be at least ${needed}, ${reason}`, against });
  }
  if (limits.segmentBytes % sectorBytes !== 0) {
    const message = `must be a multiple of ${sectorBytes}: a segment is whole sectors`;
    mistakes.push({ limit: "segmentBytes", message, against: [] });
  }
  if ((limits.ringSlots & (limits.ringSlots - 1)) !== 0) {
    mistakes.push({ limit: "ringSlots", message: "must be a power of two", against: [] });
  }
  return mistakes;
}

/** Asserts that each bound is one, and that they go together. */
export function checkLimits(limits: Limits): void {
  checkEachLimit(limits);
  const [first] = limitMistakes(limits);
  assert(first === undefined, `${first?.limit} ${first?.message}`);
}
