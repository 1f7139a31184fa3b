import { Chat } from "../../client/client.ts";
import type { ChatOptions } from "../../client/client.ts";
import { browserDial } from "./browser-dial.ts";
import { browserClock, browserHints, browserRandom } from "./browser-ports.ts";

// The entry of the package names its types; nothing is loaded for them.
// oxlint-disable-next-line oxc/no-barrel-file
export type * from "../../client/public-types.ts";

/** What `connect` takes in a browser: everything but the ports, which are the browser's own and may be replaced. */
export type BrowserChatOptions = Omit<ChatOptions, "clock" | "random" | "dial"> &
  Partial<Pick<ChatOptions, "clock" | "random" | "dial">>;

/** Starts a client in a page or a worker. See `connect` of the SDK. */
export function connect(servers: string | readonly string[], options: BrowserChatOptions): Chat {
  return new Chat(typeof servers === "string" ? [servers] : servers, {
    clock: browserClock(),
    random: browserRandom(),
    dial: browserDial(),
    hints: browserHints(),
    ...options,
  });
}
