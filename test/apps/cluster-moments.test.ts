import { expect, expectTypeOf, test } from "vitest";
import { ClusterModel } from "../../src/apps/web-cluster/cluster-model.ts";
import { plainText, sentenceOf } from "../../src/apps/web-cluster/moment-text.ts";
import { type Moment, Moments } from "../../src/apps/web-cluster/moments.ts";
import { textsOf } from "../../src/apps/web-cluster/texts.ts";
import type { ToldEvent, ToldStatus, ToldTrace } from "../../src/apps/web-cluster/told.ts";
import type { ClusterStatus } from "../../src/server/cluster-status.ts";
import type { MessageTrace } from "../../src/server/message-trace.ts";
import type { ToldEvent as ServerEvent } from "../../src/server/told-events.ts";

const standing = (server: string, at: number, role: string, term: number, leader: string | null = null) => {
  const fields = { role, term, leader };
  return { at, server, kind: "told", level: "info", event: "standing.changed", fields } as const;
};
const process = (server: string, at: number, state: string) =>
  ({ at, server, kind: "process", level: "info", event: `process.${state}`, fields: { state } }) as const;
const peer = (server: string, at: number, event: string, name: string) =>
  ({ at, server, kind: "told", level: "warn", event, fields: { peer: name } }) as const;

/** n1 leads and is killed; n3 is elected; n1 comes back. Told by all. */
function election(): Moments {
  const moments = new Moments();
  moments.add(standing("n1", 10, "leader", 1, "n1"));
  moments.add(standing("n2", 12, "follower", 1, "n1"));
  moments.add(standing("n3", 11, "follower", 1, "n1"));
  moments.add(process("n1", 100, "stopped"));
  moments.add(standing("n3", 110, "candidate", 2));
  moments.add(standing("n3", 120, "elected", 2, "n3"));
  moments.add(standing("n2", 119, "follower", 2, "n3"));
  moments.add(process("n1", 200, "starting"));
  moments.add(standing("n1", 210, "follower", 2, "n3"));
  return moments;
}

// It is the compiler that this can fail for: `npm run check` has these lines in it.
test("what servers tell is what the page reads [types]", () => {
  expectTypeOf<ClusterStatus>().toExtend<ToldStatus>();
  expectTypeOf<MessageTrace>().toExtend<ToldTrace>();
  expectTypeOf<ServerEvent>().toExtend<ToldEvent>();
});

test("moments stand in the order of time, whoever was heard first, and each is followed by how all stood then", () => {
  const moments = election();
  expect(moments.list.map(({ at }) => at)).toEqual([10, 11, 12, 100, 110, 119, 120, 200, 210]);
  const after = (count: number) => Object.fromEntries(moments.standings(count));
  expect(after(3)).toEqual({
    n1: { role: "leader", term: 1 },
    n2: { role: "follower", term: 1 },
    n3: { role: "follower", term: 1 },
  });
  expect(after(4)["n1"]).toEqual({ role: "down", term: 1 });
  expect(after(5)["n3"]).toEqual({ role: "candidate", term: 2 });
  expect(after(8)["n1"]).toEqual({ role: "unknown", term: 1 });
  expect(Object.fromEntries(moments.standings())).toEqual({
    n1: { role: "follower", term: 2 },
    n2: { role: "follower", term: 2 },
    n3: { role: "leader", term: 2 },
  });
});

test("stretches say who was what when, and are cut at the window", () => {
  const stretches = election().stretches(50, 150);
  expect(stretches.get("n1")).toEqual([
    { role: "leader", term: 1, from: 50, to: 100 },
    { role: "down", term: 1, from: 100, to: 150 },
  ]);
  expect(stretches.get("n3")).toEqual([
    { role: "follower", term: 1, from: 50, to: 110 },
    { role: "candidate", term: 2, from: 110, to: 120 },
    { role: "leader", term: 2, from: 120, to: 150 },
  ]);
});

test("one server's word stands for all where it is the only one that is heard", () => {
  const moments = new Moments();
  moments.own = "n2";
  moments.add(standing("n2", 10, "follower", 1, "n1"));
  expect(moments.standings().get("n1")).toEqual({ role: "leader", term: 1 });
  moments.add(peer("n2", 20, "peer.dead", "n1"));
  expect(moments.standings().get("n1")?.role).toBe("down");
  moments.add(standing("n2", 30, "follower", 2, "n3"));
  moments.add(peer("n2", 40, "peer.alive", "n1"));
  expect(Object.fromEntries(moments.standings())).toEqual({
    n1: { role: "follower", term: 1 },
    n2: { role: "follower", term: 2 },
    n3: { role: "leader", term: 2 },
  });
});

test("what is kept is bounded; whoever has stopped at a moment that is gone looks at the newest", () => {
  const model = new ClusterModel();
  for (let at = 1; at <= 2_000; at++) model.moments.add(standing("n1", at, "follower", at));
  model.stop();
  model.step(-1_998);
  expect(model.stoppedAt?.at).toBe(2);
  for (let at = 2_001; at <= 2_500; at++) model.moments.add(standing("n1", at, "follower", at));
  expect(model.moments.list.length).toBe(2_000);
  expect(model.stoppedAt?.at).toBe(2_500);
});

test("stopped, the page shows that moment, one step on and back, while more happens", () => {
  const model = new ClusterModel();
  for (const moment of election().list) model.moments.add(moment);
  model.stop();
  model.step(-3);
  expect(model.stoppedAt).toMatchObject({ at: 119, server: "n2" });
  expect(model.standings().get("n3")?.role).toBe("candidate");
  model.moments.add(standing("n2", 300, "leader", 3, "n2"));
  expect(model.stoppedAt?.at).toBe(119);
  model.step(1);
  expect([model.stoppedAt?.at, model.standings().get("n3")?.role]).toEqual([120, "leader"]);
  model.step(100);
  expect(model.stoppedAt?.at).toBe(300);
  model.step(-100);
  expect(model.stoppedAt?.at).toBe(10);
  model.goOn();
  expect([model.isStopped, model.standings().get("n2")?.role]).toEqual([false, "leader"]);
});

test("moments are sentences in both languages, or their name and fields", () => {
  const moment = (given: Omit<Moment, "key">): Moment => ({ ...given, key: 1 });
  const [english, chinese] = [textsOf("en"), textsOf("zh")];
  expect(sentenceOf(moment(standing("n3", 1, "leader", 2)), english)).toBe("n3 leads in term 2");
  expect(sentenceOf(moment(standing("n2", 1, "follower", 2, "n3")), english)).toBe("n2 follows n3 in term 2");
  expect(sentenceOf(moment(standing("n2", 1, "follower", 2)), english)).toBe("n2 knows no leader in term 2");
  expect(sentenceOf(moment(peer("n2", 1, "peer.dead", "n1")), chinese)).toBe("n2：n1 已退出");
  const act = { at: 1, server: "n1", kind: "act", level: "warn", event: "act.cut", fields: { other: "n2" } } as const;
  expect(sentenceOf(moment(act), english)).toBe("You: cut the link n1 – n2");
  const members = { members: ["n1#5ac49e voter", "n2#d07997 learner"] };
  const changed = { at: 1, server: "n1", kind: "told", level: "info", event: "members.are", fields: members } as const;
  expect(sentenceOf(moment(changed), english)).toBe("n1: the cluster is n1, n2 (learner)");
  const other = {
    at: 1,
    server: "n1",
    kind: "told",
    level: "error",
    event: "disk.odd",
    fields: { ms: 1.23456 },
  } as const;
  expect(sentenceOf(moment(other), english)).toBe(null);
  expect(plainText(moment(other))).toBe("disk.odd  ms=1.2");
});
