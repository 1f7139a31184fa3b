import picocolors from "picocolors";
import { expect, test } from "vitest";
import { parseInput } from "../../src/apps/terminal/chat-input.ts";
import { ChatSession } from "../../src/apps/terminal/chat-session.ts";
import { PipeScreen } from "../../src/apps/terminal/screen.ts";
import { WaitNews } from "../../src/apps/terminal/wait-news.ts";
import type { SendWait } from "../../src/client/outcome.ts";
import { error } from "../client/model-server.ts";
import { type World, world } from "../client/world.ts";

/** A conversation of alice in the lobby of a model server, and all that is shown of it. */
function conversation({ chat }: World): { session: ChatSession; shown: string[]; say: (text: string) => void } {
  const shown: string[] = [];
  const show = (text: string): void => void shown.push(text.trimEnd());
  const session = new ChatSession({
    chat: chat(),
    screen: new PipeScreen({ print: show, note: show }),
    colours: picocolors.createColors(false),
    marksRead: false,
    json: null,
    onQuit: () => undefined,
  });
  session.start("lobby");
  return { session, shown, say: (text) => session.input(parseInput(text)) };
}

test("whoever leaves is told apart what was never sent, what was refused, and what nobody knows", async () => {
  const all = world();
  const { clock, server } = all;
  const { session, shown, say } = conversation(all);
  await clock.advance(100);
  // It went out, and its answer is lost with the server.
  server.fates = ["cut"];
  server.down.add("*");
  say("one");
  await clock.advance(500);
  server.cutAll();
  say("two");
  say("three");
  await clock.advance(500);
  await session.giveUp();
  expect(session.tally).toEqual({ stored: 0, refused: 0, unsent: 2, unknown: 1 });
  expect(session.unsettledCount).toBe(0);
  expect(shown.filter((line) => line.includes("✗"))).toEqual([
    expect.stringMatching(/^✗ one {2}nobody knows whether this was stored/),
    expect.stringMatching(/^✗ two {2}not sent: given up before it was sent/),
    expect.stringMatching(/^✗ three {2}not sent: given up before it was sent/),
  ]);
});

test("what a full disk refuses is told with its reason, once, and is refused when it is given up", async () => {
  const all = world();
  const { clock, server } = all;
  const { session, shown, say } = conversation(all);
  await clock.advance(100);
  server.intercept = (frame) => (frame.t === "send" ? [error(frame.id, "storage_full", true, true, 1_000)] : null);
  say("one");
  say("two");
  await clock.advance(5_000);
  expect(session.held).toMatchObject({ code: "storage_full" });
  expect(shown.filter((line) => line.includes("(storage_full)"))).toEqual([
    "· #lobby: what is said there waits, and is tried again: storage_full by the model (storage_full)",
  ]);
  await session.giveUp();
  expect(session.tally).toEqual({ stored: 0, refused: 2, unsent: 0, unknown: 0 });
});

test("what was said in a room that cannot be come into is not sent later, once it is given up", async () => {
  const all = world();
  const { clock, server } = all;
  server.intercept = (frame) => (frame.t === "join" ? [error(frame.id, "no_quorum", false, true, 2_000)] : null);
  const { session, shown, say } = conversation(all);
  say("one");
  // The answer comes by the model's clock, the next question by this machine's.
  await clock.advance(1_500);
  expect(session.held).toMatchObject({ code: "no_quorum" });
  expect(shown.at(-1)).toBe("· #lobby: coming in waits, and is tried again: no_quorum by the model (no_quorum)");
  await session.giveUp();
  expect(session.tally.unsent).toBe(1);
  expect(session.unsettledCount).toBe(0);
  expect(server.frames("send")).toEqual([]);
});

test("a wait that passes soon is not told; one that lasts is told once for each reason", () => {
  const news = new WaitNews();
  const at = Date.now();
  const held = (code: string, sinceMs: number, aheadMs: number): SendWait =>
    ({ code, message: "words", hint: null, since: at - sinceMs, retryAt: at + aheadMs }) as SendWait;
  const room = "lobby" as never;
  expect(news.toTell(room, null)).toBeNull();
  expect(news.toTell(room, held("overloaded", 0, 100))).toBeNull();
  expect(news.toTell(room, held("rate_limited", 0, 30_000))).toBe("words (rate_limited)");
  expect(news.toTell(room, held("storage_full", 5_000, 0))).toBe("words (storage_full)");
  expect(news.toTell(room, held("storage_full", 6_000, 0))).toBeNull();
  news.over(room);
  expect(news.toTell(room, held("storage_full", 5_000, 0))).toBe("words (storage_full)");
});
