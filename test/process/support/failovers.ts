import { setTimeout as pause } from "node:timers/promises";
import type { Random } from "../../../src/base/random.ts";
import type { Chat } from "../../../src/client/client.ts";
import { chatVia } from "./chat-clients.ts";
import type { ClusterProcesses } from "./cluster-processes.ts";
import { until } from "./server-process.ts";

/** One change of leaders: the longest silence, in milliseconds, between the last answers of the old and those of the new. */
export interface Failover {
  /** Of all clients together: for so long nobody was answered. Every follower has a client that knows no other one. */
  readonly anyMs: number;
  /** Of the client that waited longest, of those that know all servers: it may have to find another one first. */
  readonly slowestMs: number;
}

export type Blow = "kill" | "pause";

/** Clients that know all servers; besides, each follower has one that knows no other. */
const roamingCount = 4;
const room = "lobby";
/** A client sends this often, as long as it waits for no more answers than `openMax`. */
const everyMs = 4;
const openMax = 200;
/** Each client was answered at least so often by the old leader before it is struck. */
const steadyCount = 20;

/** A client who sends all the time, and when it was answered. */
class Sender {
  readonly #chat: Chat;
  readonly seqs: number[] = [];
  #open = 0;
  #isOver = false;
  #talking: Promise<void> = Promise.resolve();
  /** The newest epoch it was answered in. */
  epoch = 0;
  /** When it was answered. */
  readonly answers: number[] = [];

  constructor(chat: Chat) {
    this.#chat = chat;
  }

  talk(): void {
    this.#talking = (async () => {
      for (let n = 0; !this.#isOver; n++) {
        if (this.#open < openMax) this.#send(`message ${n} of ${this.#chat.user}`.padEnd(128, "."));
        await pause(everyMs);
      }
    })();
  }

  #send(body: string): void {
    this.#open++;
    void this.#chat
      .room(room)
      .send(body)
      .then(({ seq, epoch }) => {
        this.#open--;
        this.seqs.push(seq!);
        this.answers.push(performance.now());
        if (epoch !== null) this.epoch = Math.max(this.epoch, epoch);
      });
  }

  /** Settles when everything that was sent is answered. */
  async finish(): Promise<void> {
    this.#isOver = true;
    await this.#talking;
    await until(() => this.#open === 0);
    await this.#chat.close();
  }
}

/**
 * Kills or freezes whoever leads, again and again, while clients send through all servers, and measures for how long
 * nobody was answered. Settles with the places that were given, of which none may be given twice.
 */
export async function failovers(
  cluster: ClusterProcesses,
  options: {
    readonly blows: readonly Blow[];
    readonly random: Random;
    readonly measured: (blow: Blow, failover: Failover) => void;
  },
): Promise<readonly number[]> {
  const names = [...cluster.servers.keys()];
  const urls = names.map((name) => cluster.of(name).tcpUrl);
  const seqs: number[] = [];
  for (const [number, blow] of options.blows.entries()) {
    await cluster.voting(names);
    const leader = await leaderOf(cluster, names);
    // New ones each time: whoever has lost its server often within seconds is patient on purpose.
    const made = (some: readonly string[], user: string): Sender =>
      new Sender(chatVia(some, `${user}-${number}`, "TCP binary"));
    const others = names.filter((name) => name !== leader).map((name) => made([cluster.of(name).tcpUrl], `at-${name}`));
    const roaming = Array.from({ length: roamingCount }, (_, at) => made(urls, `user${at}`));
    const senders = [...others, ...roaming];
    for (const sender of senders) sender.talk();
    await until(() => senders.every(({ answers }) => answers.length > steadyCount));
    // Not always at the same moment of a heartbeat.
    await pause(options.random.whole(200));
    const epoch = Math.max(...senders.map((sender) => sender.epoch));
    const struckAt = performance.now();
    const struck = cluster.of(leader);
    if (blow === "kill") await struck.kill();
    else struck.freeze();
    await until(() => senders.every((sender) => sender.epoch > epoch), 5);
    const silence = (some: readonly Sender[]): number =>
      longestSilence(
        some.flatMap(({ answers }) => answers),
        struckAt,
      );
    options.measured(blow, {
      anyMs: silence(senders),
      slowestMs: Math.max(...roaming.map((sender) => silence([sender]))),
    });
    if (blow === "kill") {
      struck.spawn();
      await struck.listening();
    } else struck.thaw();
    await Promise.all(senders.map((sender) => sender.finish()));
    for (const sender of senders) seqs.push(...sender.seqs);
  }
  await cluster.voting(names);
  return seqs;
}

/** The longest time between two answers of which the later one came after `since`. */
function longestSilence(answers: readonly number[], since: number): number {
  const sorted = answers.toSorted((one, other) => one - other);
  let longest = 0;
  for (let at = 1; at < sorted.length; at++) {
    if (sorted[at]! >= since) longest = Math.max(longest, sorted[at]! - sorted[at - 1]!);
  }
  return longest;
}

async function leaderOf(cluster: ClusterProcesses, names: readonly string[]): Promise<string> {
  let found: string | null = null;
  await until(async () => {
    const said = new Set(await Promise.all(names.map((name) => cluster.leader(name))));
    found = said.size === 1 ? [...said][0]! : null;
    return found !== null;
  });
  return found!;
}

/** What stands at this part of the whole, 0 to 1, when sorted. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] ?? 0);
}
