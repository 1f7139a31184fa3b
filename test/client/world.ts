import { seededRandom } from "../../src/base/random.ts";
import { connect } from "../../src/client/client.ts";
import type { Chat, ChatOptions } from "../../src/client/client.ts";
import type { TimelineItem } from "../../src/client/reader.ts";
import type { SentMessage } from "../../src/client/sent-message.ts";
import { ModelServer } from "./model-server.ts";
import { VirtualClock } from "./virtual-clock.ts";

export interface World {
  readonly clock: VirtualClock;
  readonly server: ModelServer;
  readonly chat: (options?: Partial<ChatOptions>, servers?: string[]) => Chat;
}

/** A model server, virtual time, and clients of alice. */
export function world(seed = 1): World {
  const clock = new VirtualClock();
  const server = new ModelServer(clock);
  let clients = 0;
  return {
    clock,
    server,
    chat: (options = {}, servers = ["ws://a"]) =>
      connect(servers, {
        user: "alice",
        clock,
        dial: server,
        random: seededRandom(seed * 1_000 + clients++),
        ...options,
      }),
  };
}

/** "stored 3", "refused forbidden", "unknown" or "queued". */
export function tell(sent: SentMessage): string {
  const { outcome } = sent;
  if (outcome === null) return sent.state;
  if (outcome.state === "stored") return `stored ${String(outcome.stored.seq)}`;
  return outcome.state === "refused" ? `refused ${outcome.error.code}` : "unknown";
}

/** What an iteration has given so far, as "body" or "gap from-to reason". */
export function collect(items: AsyncIterable<TimelineItem>): { seen: string[]; ended: boolean; error: unknown } {
  const collected: { seen: string[]; ended: boolean; error: unknown } = { seen: [], ended: false, error: null };
  const run = async (): Promise<void> => {
    for await (const item of items) {
      collected.seen.push(
        item.gap === undefined ? item.body : `gap ${item.gap.from}-${item.gap.to} ${item.gap.reason}`,
      );
    }
  };
  run().then(
    () => {
      collected.ended = true;
    },
    (error: unknown) => {
      collected.ended = true;
      collected.error = error;
    },
  );
  return collected;
}
