import { binaryEncoding } from "../../../src/client/binary-encoding.ts";
import { type Chat, connect } from "../../../src/client/client.ts";
import { jsonLinesEncoding } from "../../../src/client/json-lines-encoding.ts";
import { nodeClock } from "../../../src/platform/node/node-clock.ts";
import { nodeDial } from "../../../src/platform/node/node-dial.ts";
import { nodeRandom } from "../../../src/platform/node/node-random.ts";
import type { ServerProcess } from "./server-process.ts";

/** The ways in that the SDK has from Node. */
export const ways = ["WebSocket JSON", "WebSocket binary", "TCP JSON", "TCP binary"] as const;
export type Way = (typeof ways)[number];

/** The shipped SDK on real sockets; only more impatient than a person's, because its server dies all the time. */
export function sdkClient(server: ServerProcess, user: string, way: Way): Chat {
  return chatVia([way.startsWith("TCP") ? server.tcpUrl : server.webSocketUrl], user, way);
}

/** The same, that knows several ways to its server, or to several servers. */
export function chatVia(urls: readonly string[], user: string, way: Way): Chat {
  const binary = way.endsWith("binary");
  return connect(urls, {
    user,
    dial: nodeDial({ binary }),
    clock: nodeClock(),
    random: nodeRandom(),
    encodings: {
      "binary-stream": binaryEncoding("stream"),
      "binary-websocket": binaryEncoding("messages"),
      "json-lines": jsonLinesEncoding(),
    },
    timing: { retryMs: 10, retryMsMax: 100 },
  });
}
