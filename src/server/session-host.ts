import type { Clock } from "../base/clock.ts";
import type { NodeName, RoomName, UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Timestamp } from "../base/units.ts";
import type { OkSendRanges } from "../protocol/message-bytes.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { AnswerTurns } from "./answer-turns.ts";
import type { PostSource } from "./batch.ts";
import type { Connections } from "./connections.ts";
import type { FanOut } from "./fan-out.ts";
import type { FrameWriter } from "./frame-writer.ts";
import type { HeldOutput } from "./held-output.ts";
import type { InputShares } from "./input-shares.ts";
import type { Jitter } from "./jitter.ts";
import type { Log } from "./log.ts";
import type { MemoryLog } from "./memory-log.ts";
import type { Orderer } from "./orderer.ts";
import type { Presence } from "./presence.ts";
import type { Requests } from "./requests.ts";
import type { RoomRates } from "./room-rates.ts";
import type { SendRates } from "./send-rates.ts";

/** Who somebody has proved to be, and for how long. */
export interface Identity {
  readonly user: UserName;
  /** When the proof runs out; null = never. */
  readonly expiresAt: Timestamp | null;
}

/** What a session needs from its server. */
export interface SessionHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly node: NodeName;
  readonly state: GroupState;
  readonly memory: MemoryLog;
  readonly orderer: Orderer;
  readonly fanOut: FanOut;
  readonly presence: Presence;
  readonly requests: Requests;
  readonly shares: InputShares;
  readonly turns: AnswerTurns;
  readonly held: HeldOutput;
  readonly jitter: Jitter;
  readonly rates: SendRates;
  readonly roomRates: RoomRates;
  readonly writer: FrameWriter;
  /** Filled in for one post at a time. */
  readonly source: PostSource;
  /** Room for the texts of one post. */
  readonly scratch: Uint8Array;
  /** Filled in for one answer at a time; its place is always true. */
  readonly ok: OkSendRanges;
  readonly connections: Pick<Connections, "authenticate" | "welcome" | "opened" | "ended">;
  mayBegin(user: UserName, room: RoomName): boolean;
  /** There are other servers, which may know more than this one. */
  readonly cluster: object | null;
  /** Settles once everything is applied here that was committed before; rejects with a Fault when nobody can tell. */
  caughtUp(): Promise<void>;
  slowDropped(): void;
}
