import { expect, test } from "vitest";
import { groupId, type Incarnation, logIndex, type LogIndex, type NodeName } from "../../../src/base/ids.ts";
import { catchUpFrameKinds } from "../../../src/server/catch-up/catch-up-frames.ts";
import type { Log } from "../../../src/server/log.ts";
import { GroupState } from "../../../src/rooms/group-state.ts";
import { CatchUp, type CatchUpOptions, defaultCatchUpSettings } from "../../../src/server/catch-up/catch-up.ts";
import { SimFileSystem } from "../../../src/sim/sim-file-system.ts";
import { chunkNumber } from "../../../src/storage/chunk/chunk-layout.ts";
import { type ChunkStore, openChunkStore } from "../../../src/storage/chunk/chunk-store.ts";
import { type Disk, openDisk } from "../../../src/storage/disk.ts";
import {
  buildSnapshot,
  latestSnapshot,
  publishSnapshot,
  type SnapshotOwner,
} from "../../../src/storage/snapshot-file.ts";
import { GroupLog, Listener } from "../../rooms/group-log.ts";
import { drained, finished, imageOf, type Message, metaOf } from "../../storage/chunk-messages.ts";
import { quiet, StillClock } from "../../storage/journal-world.ts";

const group = groupId(0);

interface Sealed {
  readonly chunk: number;
  readonly from: number;
  readonly to: number;
  readonly day: number;
  readonly messages: readonly Message[];
}

/** A log of `count` sealed chunks, and what each of them holds. */
function written(count: number, bodyBytes = 400): { log: GroupLog; sealed: Sealed[] } {
  const log = new GroupLog();
  log.set({ kind: "founding" });
  const sealed: Sealed[] = [];
  for (let chunk = 1; chunk <= count; chunk++) {
    const messages: Message[] = [];
    for (let at = 0; at < 60; at++) {
      const post = { room: "lobby", from: "zoe", cid: `c${chunk}-${at}`, body: "x".repeat(bodyBytes + at) };
      const { seq, ts } = log.post(post);
      messages.push({ ...post, seq, ts });
    }
    const { from, day } = log.state.openChunk;
    sealed.push({ chunk, from, to: log.state.appliedIndex, day, messages });
    log.seal();
  }
  return { log, sealed };
}

const imageOfSealed = (log: GroupLog, { chunk, from, to, day, messages }: Sealed): ReturnType<typeof imageOf> =>
  imageOf(
    metaOf({
      cluster: log.state.cluster,
      chunk: chunkNumber(chunk),
      from: logIndex(from),
      to: logIndex(to),
      day: day as ReturnType<typeof metaOf>["day"],
    }),
    messages,
  );

interface Told {
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

interface Node {
  readonly name: NodeName;
  readonly fileSystem: SimFileSystem;
  readonly disk: Disk;
  readonly owner: SnapshotOwner;
  readonly chunks: ChunkStore;
  readonly state: GroupState;
  readonly catchUp: CatchUp;
  readonly told: Told[];
  snapshotAt: LogIndex | null;
}

/** Servers whose bulk lanes hold a few frames; what is in a lane arrives when the world moves. */
class World {
  readonly clock = new StillClock();
  readonly nodes = new Map<string, Node>();
  readonly #lanes = new Map<string, { kind: number; payload: Uint8Array; from: NodeName; to: NodeName }[]>();
  readonly #refused = new Set<string>();
  readonly #cut = new Set<string>();
  laneFrames = 4;
  /** Called for each frame before it arrives; false loses it. */
  onFrame: (frame: { kind: number; payload: Uint8Array; from: NodeName; to: NodeName }) => boolean = () => true;

  async add(
    name: string,
    log: GroupLog,
    options: { chunks?: readonly Sealed[]; state?: GroupState; settings?: Partial<CatchUpOptions> } = {},
  ): Promise<Node> {
    const fileSystem = new SimFileSystem();
    const disk = openDisk(fileSystem);
    const { cluster } = log.state;
    const chunks = await openChunkStore({ disk, cluster, group });
    for (const sealed of options.chunks ?? []) await chunks.publish(imageOfSealed(log, sealed));
    const owner = { cluster, incarnation: Buffer.from(name.padEnd(16)).toString("hex") as Incarnation };
    const told: Told[] = [];
    const tell = (event: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      void told.push({ event, fields });
    const log_: Log = { info: tell, warn: tell, error: tell };
    const state = options.state ?? GroupState.restore(log.state.snapshot(), { hashSeed: 1 });
    const self = name as NodeName;
    const catchUp = new CatchUp({
      disk,
      owner,
      chunks,
      state,
      clock: this.clock,
      log: log_,
      ...defaultCatchUpSettings,
      send: (to, kind, payload) => this.#send(self, to, kind, payload),
      onSnapshot: (index) => {
        node.snapshotAt = index;
      },
      onDifference: ({ item, isOutvoted }) => tell("differs", { ...item, isOutvoted }),
      ...options.settings,
    });
    const node: Node = { name: self, fileSystem, disk, owner, chunks, state, catchUp, told, snapshotAt: null };
    this.nodes.set(name, node);
    return node;
  }

  /** Everybody hears whom there are links with. */
  link(): void {
    for (const node of this.nodes.values()) node.catchUp.linked(this.#peersOf(node.name));
  }

  cut(name: string): void {
    this.#cut.add(name);
    for (const [key, lane] of this.#lanes)
      if (lane.some(({ from, to }) => from === name || to === name)) this.#lanes.delete(key);
    for (const node of this.nodes.values()) {
      if (node.name !== name) node.catchUp.linkLost(name as NodeName);
      else for (const peer of this.nodes.values()) node.catchUp.linkLost(peer.name);
    }
    this.link();
  }

  /** Until nothing moves without time. */
  async settle(): Promise<void> {
    for (let calm = 0; calm < 3; ) {
      await quiet();
      await this.clock.advance(0);
      calm = this.#deliver() ? 0 : calm + 1;
    }
  }

  async advance(byMs: number): Promise<void> {
    await this.clock.advance(byMs);
    await this.settle();
  }

  #peersOf(name: NodeName): NodeName[] {
    if (this.#cut.has(name)) return [];
    return [...this.nodes.values()].map((node) => node.name).filter((other) => other !== name && !this.#cut.has(other));
  }

  #send(from: NodeName, to: NodeName, kind: number, payload: Uint8Array): "taken" | "full" | "no-link" {
    if (!this.#peersOf(from).includes(to)) return "no-link";
    const key = `${from}>${to}`;
    const lane = this.#lanes.get(key) ?? [];
    this.#lanes.set(key, lane);
    if (lane.length >= this.laneFrames) {
      this.#refused.add(key);
      return "full";
    }
    lane.push({ kind, payload, from, to });
    return "taken";
  }

  /** One frame of each lane. */
  #deliver(): boolean {
    let moved = false;
    for (const [key, lane] of this.#lanes) {
      const frame = lane.shift();
      if (frame === undefined) continue;
      moved = true;
      if (this.onFrame(frame))
        expect(this.nodes.get(frame.to)!.catchUp.take(frame.from, frame.kind, frame.payload)).toBe(true);
      if (lane.length <= this.laneFrames / 2 && this.#refused.delete(key))
        this.nodes.get(frame.from)!.catchUp.room(frame.to);
    }
    return moved;
  }
}

const numbers = (node: Node): number[] => node.chunks.list().map(({ chunk }) => chunk);

/** A server that has made so many chunks, and a linked one that lacks them all. */
async function besideOneThatHasAll(chunks: number) {
  const { log, sealed } = written(chunks);
  const world = new World();
  await world.add("n1", log, { chunks: sealed });
  const poor = await world.add("n2", log);
  world.link();
  return { world, poor };
}

/** A server that has a snapshot of its own, and one that has nothing yet; not linked. */
async function joinerBesideASnapshot() {
  const { log } = written(1);
  const world = new World();
  const rich = await world.add("n1", log);
  await publishOwn(rich, log);
  const state = GroupState.empty({ group, cluster: log.state.cluster, hashSeed: 1 });
  const joiner = await world.add("n2", log, { state });
  return { log, world, rich, joiner };
}

test("[CATCH11] all that is lacking comes, newest first, from whoever has it, and is the same file", async () => {
  const { log, sealed } = written(5);
  const world = new World();
  const rich = await world.add("n1", log, { chunks: sealed.slice(0, 4) });
  const other = await world.add("n2", log, { chunks: sealed.slice(3) });
  const poor = await world.add("n3", log, { chunks: sealed.slice(2, 3) });
  world.link();
  poor.catchUp.changed();
  expect(poor.catchUp.progress.lacking).toBe(4);
  await world.settle();
  expect(numbers(poor)).toEqual([1, 2, 3, 4, 5]);
  const order = poor.told.filter(({ event }) => event === "catch-up.taken").map(({ fields }) => fields["number"]);
  expect(order).toEqual([5, 4, 2, 1]);
  for (const { chunk, file } of poor.chunks.list()) {
    const from = chunk === 5 ? other : rich;
    expect(poor.fileSystem.files().get(file)).toEqual(from.fileSystem.files().get(file));
    expect(await poor.chunks.verify(chunk)).toEqual([]);
  }
  expect(poor.catchUp.progress.lacking).toBe(0);
  expect(world.clock.timers).toBe(0);
});

test("[CATCH11] what was sealed since this start is built here, and what no room keeps is not wanted", async () => {
  const { log, sealed } = written(2);
  const world = new World();
  await world.add("n1", log, { chunks: sealed });
  const state = GroupState.restore(log.state.snapshot(), { hashSeed: 1 });
  const poor = await world.add("n2", log, { state });
  for (let at = 0; at < 5; at++) log.post({ room: "lobby", from: "zoe", cid: `late${at}` });
  log.seal();
  for (const entry of log.entries.slice(state.appliedIndex)) {
    state.apply(entry, entry.payload.slice(), {
      outcome: () => undefined,
      stored: () => undefined,
      changed: () => undefined,
    });
  }
  expect(state.lastChunk).toBe(3);
  expect(poor.catchUp.progress.lacking).toBe(2);
});

test("[CATCH12] somebody who waits for a chunk has it first, and hears when it is here", async () => {
  const { world, poor } = await besideOneThatHasAll(6);
  poor.catchUp.changed();
  const heard: boolean[] = [];
  for (const chunk of [2, 2, 1]) void poor.catchUp.fetch(chunk).then((isHere) => heard.push(isHere));
  await world.settle();
  expect(heard).toEqual([true, true, true]);
  const order = poor.told.filter(({ event }) => event === "catch-up.taken").map(({ fields }) => fields["number"]);
  expect(new Set(order)).toEqual(new Set([1, 2, 3, 4, 5, 6]));
  expect(order.indexOf(2)).toBeLessThan(3);
  expect(order.indexOf(1)).toBeLessThan(5);
  // What is here needs no waiting, and what nobody sealed can't be had.
  expect(await poor.catchUp.fetch(2)).toBe(false);
  expect(await poor.catchUp.fetch(99)).toBe(false);
});

test("[CATCH12] nobody waits for ever: not for what nobody has, not without links, not beyond a stop", async () => {
  const { log, sealed } = written(2);
  const world = new World();
  await world.add("n1", log, { chunks: sealed.slice(1) });
  const poor = await world.add("n2", log);
  poor.catchUp.changed();
  const heard: string[] = [];
  const wait = (what: string, chunk: number): void => {
    void poor.catchUp.fetch(chunk).then((isHere) => heard.push(`${what} ${String(isHere)}`));
  };
  wait("alone", 2);
  await world.advance(2_000);
  expect(heard).toEqual(["alone false"]);
  world.onFrame = () => false;
  world.link();
  wait("silent", 2);
  await world.advance(4_999);
  expect(heard).toHaveLength(1);
  await world.advance(1);
  expect(heard).toEqual(["alone false", "silent false"]);
  wait("stopped", 1);
  await poor.catchUp.stop();
  await quiet();
  expect(heard.at(-1)).toBe("stopped false");
  expect(await poor.catchUp.fetch(1)).toBe(false);
});

test("[CATCH13] a chunk that is written anew here while an older one of it comes stays as it was written", async () => {
  const { log, sealed } = written(1);
  const world = new World();
  await world.add("n1", log, { chunks: sealed });
  const poor = await world.add("n2", log, { chunks: sealed });
  world.link();
  const publish = poor.chunks.publish.bind(poor.chunks);
  poor.chunks.publish = async (image) => {
    await publish(image);
    // Meanwhile the log says that the chunk is written anew, and so it is.
    log.rewrite(1, 1);
    const entry = log.entries.at(-1)!;
    poor.state.apply(entry, entry.payload.slice(), new Listener());
    await publish(await drained(poor.chunks.rewrite(chunkNumber(1), () => true)));
  };
  poor.catchUp.damaged(1);
  await world.settle();
  expect(poor.told.map(({ event }) => event)).toContain("catch-up.taken");
  expect(poor.chunks.list()).toMatchObject([{ chunk: 1, generation: 1 }]);
  expect(await poor.chunks.verify(chunkNumber(1))).toEqual([]);
});

test("[CATCH13] what rots on the way or at its source is not taken, and had from somebody else", async () => {
  const { log, sealed } = written(1);
  const world = new World();
  const rotten = await world.add("n1", log, { chunks: sealed });
  await world.add("n2", log, { chunks: sealed });
  const poor = await world.add("n3", log);
  const [listed] = rotten.chunks.list();
  rotten.fileSystem.flip(listed!.file, 2_000, 3);
  world.link();
  poor.catchUp.changed();
  await world.settle();
  expect(numbers(poor)).toEqual([]);
  expect(poor.told.map(({ event }) => event)).toContain("catch-up.spoiled");
  await world.advance(2_000);
  expect(numbers(poor)).toEqual([1]);
  expect(await poor.chunks.verify(chunkNumber(1))).toEqual([]);
});

test("[CATCH13] a damaged chunk is had again and takes the place of what is damaged, once it is proven", async () => {
  const { log, sealed } = written(2);
  const world = new World();
  const sound = await world.add("n1", log, { chunks: sealed });
  const node = await world.add("n2", log, { chunks: sealed });
  world.link();
  const [{ file } = { file: "" }] = node.chunks.list();
  node.fileSystem.flip(file, 3_000, 1);
  expect(await node.chunks.verify(chunkNumber(1))).not.toEqual([]);
  node.catchUp.damaged(1);
  await world.settle();
  expect(await node.chunks.verify(chunkNumber(1))).toEqual([]);
  expect(node.fileSystem.files().get(file)).toEqual(sound.fileSystem.files().get(file));
  expect(node.catchUp.progress.lacking).toBe(0);
});

test("[CATCH13] a full disk loses nothing: it comes when there is space", async () => {
  const { world, poor } = await besideOneThatHasAll(2);
  poor.fileSystem.failAt(poor.fileSystem.calls + 1, "ENOSPC", { persistent: true });
  poor.catchUp.changed();
  await world.settle();
  expect(poor.told.map(({ event }) => event)).toContain("catch-up.not.kept");
  poor.fileSystem.heal();
  await world.advance(2_000);
  await world.advance(2_000);
  expect(numbers(poor)).toEqual([1, 2]);
});

test("[CATCH3] the source may be lost at any frame: the other one gives the rest", async () => {
  const { log, sealed } = written(1, 6_000);
  for (let at = 1; at < 14; at++) {
    const world = new World();
    await world.add("n1", log, { chunks: sealed });
    await world.add("n2", log, { chunks: sealed });
    const poor = await world.add("n3", log);
    let frames = 0;
    let bytes = 0;
    world.onFrame = ({ from, to, payload }) => {
      if (to === "n3") bytes += payload.length;
      if (++frames === at) {
        world.cut("n1");
        return from !== "n1" && to !== "n1";
      }
      return true;
    };
    world.link();
    poor.catchUp.changed();
    await world.settle();
    expect(numbers(poor)).toEqual([1]);
    // What had come was not sent again, but for what was on its way.
    const [{ file } = { file: "" }] = poor.chunks.list();
    expect(bytes).toBeLessThan(poor.fileSystem.files().get(file)!.length + 5 * 62_000);
  }
});

test("[CATCH14] a snapshot comes whole, under the own incarnation, and a start is asked for", async () => {
  const { log, sealed } = written(3);
  const world = new World();
  const rich = await world.add("n1", log, { chunks: sealed });
  await publishOwn(rich, log);
  const joiner = await world.add("n2", log, {
    state: GroupState.empty({ group, cluster: log.state.cluster, hashSeed: 1 }),
  });
  world.link();
  joiner.catchUp.snapshotWanted(logIndex(10));
  await world.settle();
  const index = log.state.appliedIndex;
  expect(joiner.snapshotAt).toBe(index);
  const { snapshot, damage } = await latestSnapshot(joiner.disk, joiner.owner, group);
  expect(damage).toEqual([]);
  expect(snapshot).toMatchObject({ index, term: 1, chunk: 3, isTaken: true, chain: new Uint8Array(8).fill(9) });
  expect(GroupState.restore(snapshot!.state, { hashSeed: 2 }).hash()).toBe(log.state.hash());
  // It is nobody's any more who sent it: as long as it is not asked for, it takes no memory.
  expect(world.clock.timers).toBe(1);
  await world.advance(30_000);
  expect(world.clock.timers).toBe(0);
});

test("[CATCH14] a snapshot that is damaged, of another cluster, or not later than the own state is not taken", async () => {
  const { log, world, joiner } = await joinerBesideASnapshot();
  const upToDate = await world.add("n3", log);
  let rot = true;
  world.onFrame = ({ payload, to }) => {
    if (rot && to === "n2" && payload.length > 1_000) payload[900]! ^= 1;
    return true;
  };
  world.link();
  joiner.catchUp.snapshotWanted(logIndex(1));
  upToDate.catchUp.snapshotWanted(logIndex(1));
  await world.settle();
  expect([joiner.snapshotAt, upToDate.snapshotAt]).toEqual([null, null]);
  expect(joiner.told.map(({ event }) => event)).toContain("catch-up.spoiled");
  expect(upToDate.fileSystem.files().size).toBe(0);
  rot = false;
  await world.advance(2_000);
  expect(joiner.snapshotAt).toBe(log.state.appliedIndex);
});

test("[CATCH14] a server that has only a damaged snapshot, or none that late, says that it has none", async () => {
  const { log, world, rich, joiner } = await joinerBesideASnapshot();
  world.link();
  joiner.catchUp.snapshotWanted(logIndex(log.state.appliedIndex + 1));
  await world.settle();
  expect(joiner.told.map(({ event }) => event)).toEqual(["catch-up.nowhere"]);
  await joiner.catchUp.stop();
  await rich.catchUp.stop();
  expect(world.clock.timers).toBe(0);
});

test("[CATCH9] a lane that holds one frame is enough, and who asks for more than that waits", async () => {
  const { log, sealed } = written(2, 6_000);
  const world = new World();
  world.laneFrames = 1;
  await world.add("n1", log, { chunks: sealed });
  const poor = await world.add("n2", log);
  world.link();
  poor.catchUp.changed();
  await world.settle();
  expect(numbers(poor)).toEqual([1, 2]);
});

test("[CATCH16] who lacks what is told to all with whom a link stands, and again when it changes", async () => {
  const { world, poor } = await besideOneThatHasAll(3);
  const rich = world.nodes.get("n1")!;
  const tell = async (): Promise<void> => {
    for (const node of world.nodes.values()) node.catchUp.tellLacked();
    await world.settle();
  };
  expect([poor.catchUp.lacked.countOf(rich.name), rich.catchUp.lacked.countOf(poor.name)]).toEqual([null, null]);
  world.onFrame = ({ kind }) => kind !== catchUpFrameKinds.piece;
  poor.catchUp.changed();
  await tell();
  expect([poor.catchUp.lacked.countOf(rich.name), rich.catchUp.lacked.countOf(poor.name)]).toEqual([0, 3]);
  expect(rich.catchUp.lacked.isComplete(poor.name)).toBe(false);
  world.onFrame = () => true;
  await world.settle();
  for (let round = 0; round < 40 && poor.catchUp.progress.lacking > 0; round++) {
    await world.clock.advance(1_000);
    await world.settle();
  }
  await tell();
  expect(rich.catchUp.lacked.countOf(poor.name)).toBe(0);
  expect(rich.catchUp.lacked.isComplete(poor.name)).toBe(true);
  rich.catchUp.linkLost(poor.name);
  expect(rich.catchUp.lacked.countOf(poor.name)).toBe(null);
});

async function publishOwn({ disk, owner }: Node, log: GroupLog): Promise<void> {
  const { appliedIndex, appliedTerm, lastChunk } = log.state;
  const place = { group, index: appliedIndex, term: appliedTerm, chunk: lastChunk, chain: new Uint8Array(8).fill(9) };
  await publishSnapshot(disk, finished(buildSnapshot(owner, { ...place, state: [log.state.snapshot()] })));
}
