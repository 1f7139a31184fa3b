import type { Clock } from "../base/clock.ts";
import { timestamp } from "../base/units.ts";
import type { ServerFrameOf } from "../protocol/schema.ts";
import type { ConnectionState } from "./connection.ts";
import type { ChatState } from "./events.ts";

/** The state of the connection as users of the SDK see it: times of the wall clock, and who answered. */
export function shownState(state: ConnectionState, welcome: ServerFrameOf<"welcome"> | null, clock: Clock): ChatState {
  switch (state.name) {
    case "connecting":
      return { name: state.name, url: state.url };
    case "online":
      return { name: state.name, url: state.url, node: welcome?.node ?? "", session: welcome?.session ?? "" };
    case "offline": {
      const inMs = Math.max(Math.ceil(state.retryAt - clock.now()), 0);
      return { name: state.name, reason: state.reason, retryAt: timestamp(clock.wall() + inMs) };
    }
    default:
      return state;
  }
}
