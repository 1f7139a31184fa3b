import type { UserName } from "../base/ids.ts";
import type { BoundName } from "../rooms/setting.ts";
import type { PushSettings } from "./fan-out.ts";
import type { Identity } from "./session-host.ts";

/** What an operator decides about one server, checked by whoever read the configuration. */
export interface ServerSettings {
  /**
   * IANA name of the zone in which days are reckoned. Committed: changing it takes effect on the whole cluster. null: as
   * it was committed.
   */
  readonly timeZone: string | null;
  /** Days kept besides today's, in every room; 0 = for ever. Committed. null: as it was committed. */
  readonly retentionDays: number | null;
  /** Bounds that nobody configured: once a server is founded they stay as they were committed. @defaultValue none */
  readonly keptBounds?: readonly BoundName[];
  readonly push: PushSettings;
  /** When a batch is written: 0 and 0 = at once, as soon as the disk is free. */
  readonly flushAfterMs: number;
  readonly flushAfterBytes: number;
  /** Addresses told to clients in `welcome`; among several servers those of the others are told too. */
  readonly advertise: readonly string[];
  /** Direct messages may go to names that nobody has yet. True where authentication is `open`. */
  readonly openNames: boolean;
  /** Tells who somebody is; rejects with a Fault `unauthorized`. `user` is what they say, null when they say nothing. */
  authenticate(claim: { user: UserName | null; token: string | null; address: string }): Promise<Identity>;
  /**
   * What is on the disk now is another state than the one this server has: it has taken a snapshot from another, or its
   * journal is damaged and it does not have to go on from it, for the others are a quorum. It is to be stopped and started
   * anew from there, as after a crash; told again if it is not. @defaultValue it stays as it is
   */
  onOvertaken?(because: string): void;
  /** The journal failed: nothing more is acknowledged, and the process should end. */
  onFailed(cause: Error): void;
}
