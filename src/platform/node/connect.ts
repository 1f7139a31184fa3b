import { binaryEncoding } from "../../client/binary-encoding.ts";
import { Chat } from "../../client/client.ts";
import { jsonLinesEncoding } from "../../client/json-lines-encoding.ts";
import type { ChatOptions } from "../../client/client.ts";
import { nodeClock } from "./node-clock.ts";
import { nodeDial } from "./node-dial.ts";
import { nodeRandom } from "./node-random.ts";

// The entry of the package names its types; nothing is loaded for them.
// oxlint-disable-next-line oxc/no-barrel-file
export type * from "../../client/public-types.ts";

/** What `connect` takes in Node: everything but the ports, which are Node's own and may be replaced. */
export type NodeChatOptions = Omit<ChatOptions, "clock" | "random" | "dial"> &
  Partial<Pick<ChatOptions, "clock" | "random" | "dial">>;

/**
 * Starts a client in Node, in the binary encoding. See `connect` of the SDK. The process stays alive until the client is
 * closed, also while no server answers: what was sent and has no outcome yet must not end with the process in silence.
 */
export function connect(servers: string | readonly string[], options: NodeChatOptions): Chat {
  const clock = nodeClock();
  return new Chat(typeof servers === "string" ? [servers] : servers, {
    clock: {
      ...clock,
      after: (delay, task) => {
        const timer = setTimeout(task, delay);
        return { cancel: () => clearTimeout(timer) };
      },
    },
    random: nodeRandom(),
    dial: nodeDial({ binary: true }),
    encodings: {
      "binary-websocket": binaryEncoding("messages"),
      "binary-stream": binaryEncoding("stream"),
      "json-lines": jsonLinesEncoding(),
    },
    ...options,
  });
}
