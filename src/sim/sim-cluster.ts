import type { ClusterId, RoomName } from "../base/ids.ts";
import { type Random, seededRandom } from "../base/random.ts";
import { millis } from "../base/units.ts";
import type { Log } from "../server/log.ts";
import type { Server } from "../server/server.ts";
import { nodeOf } from "../consensus/replica.ts";
import { defaultLinkLimits } from "../transport/link-limits.ts";
import { ConsensusWatch } from "./consensus-watch.ts";
import type { Coverage } from "./coverage.ts";
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";
import type { CallName } from "./process-files.ts";
import type { RunMarks } from "./run-marks.ts";
import type { Scenario } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import { SimDisk } from "./sim-disk.ts";
import { restartAfter, SimServer } from "./sim-server.ts";
import { WhiteBox } from "./white-box.ts";

/** One server of a cluster, over all its lives. */
export interface Member {
  readonly host: SimHost;
  disk: SimDisk;
  /** How often everything on the disk was lost. */
  wipes: number;
  /** Its journal was damaged, and it has not started since. */
  isDamaged: boolean;
  readonly box: WhiteBox;
  /** The program of the present life. */
  program: SimServer | null;
  /** The server of this life, or of the last one: what it knew can still be looked at. Null before the first. */
  server: Server | null;
  starts: number;
}

export interface SimClusterOptions {
  readonly seed: number;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly scenario: Scenario;
  readonly marks: RunMarks;
  readonly coverage: Coverage;
  readonly log: (node: string) => Log;
  readonly violated: (what: string) => void;
  /** Before what a server knew gives way to what its next life knows. */
  readonly beforeStart: () => void;
}

/**
 * The servers of a run, each on a host and a disk of its own: one that is alone, or several that belong together. One of
 * those founds; the others are admitted by whoever leads.
 */
export class SimCluster {
  readonly members: readonly Member[];
  readonly watch: ConsensusWatch;
  readonly #options: SimClusterOptions;
  #cluster: ClusterId | null = null;
  /** Those that nobody has started so far. */
  readonly #waiting = new Set<Member>();

  constructor(options: SimClusterOptions) {
    this.#options = options;
    const { scheduler, scenario, marks, violated, coverage } = options;
    this.watch = new ConsensusWatch(violated, (replica, { type }) => {
      if (type === "persist-vote") coverage.over("election", () => [nodeOf(replica)]);
      else if (type === "fetch") coverage.over("catch-up by journal", () => [nodeOf(replica)]);
    });
    const states = new Map<number, string>();
    this.members = scenario.servers.map((name, index) => {
      const host = scheduler.host(name);
      const box: WhiteBox = new WhiteBox({
        disk: () => this.members[index]!.disk,
        limits: scenario.limits,
        marks,
        ...(this.#isAlone ? {} : { states }),
        violated: (what) => violated(`${name}: ${what}`),
      });
      return {
        host,
        disk: this.#newDisk(host, 0),
        wipes: 0,
        isDamaged: false,
        box,
        program: null,
        server: null,
        starts: 0,
      };
    });
  }

  get #isAlone(): boolean {
    return this.#options.scenario.servers.length === 1;
  }

  of(host: SimHost): Member | undefined {
    return this.members.find((member) => member.host === host);
  }

  start(): void {
    for (const member of this.members) this.boot(member);
  }

  /** Starts the program of a host whose life has just begun. */
  boot(member: Member): void {
    const isFounder = member === this.members[0];
    const { foundsByList } = this.#options.scenario;
    if (this.#cluster === null && !isFounder && !foundsByList) {
      this.#waiting.add(member);
      return;
    }
    const { network, scenario, seed, log, violated, coverage } = this.#options;
    const { host, disk } = member;
    const { limits, settings, servers } = scenario;
    const since = coverage.now;
    member.starts++;
    member.program = new SimServer({
      host,
      network,
      disk,
      random: this.#isAlone ? scenario.random.server : seededRandom(chance(seed, host.index, host.life)),
      limits,
      settings,
      log: log(host.name),
      peers: this.#isAlone
        ? null
        : {
            nodes: servers,
            belonging: foundsByList ? "by-list" : { cluster: this.#cluster },
            limits: defaultLinkLimits,
            timing: scenario.timing,
            watch: (replica, engine) => this.watch.watched(replica, engine),
          },
      onStarted: (server) => {
        coverage.over("start", () => [host.name], since);
        this.#started(member, server);
      },
      onBelonging: () => coverage.over("founding", () => [host.name], since),
      onDamaged: (damage) => violated(`${host.name}: damaged without damage: ${damage.message}`),
      isDamaged: () => member.isDamaged,
      onExit: () => this.#ended(member, restartAfter),
    });
    member.program.start();
  }

  /**
   * Some servers without which the others are a majority, drawn by chance. Empty where not all present lives
   * vote as far as anybody knows, or it is not the same for all: then it is not known who is a majority. Whose journal is
   * damaged can't vote, so that without another one there may be none.
   */
  minority(random: Random): SimHost[] {
    const lives = this.members.map(({ host, server }) => `${host.name}#${server?.incarnation ?? ""}`);
    const agreed = this.members.every(({ server, isDamaged }) => {
      if (isDamaged) return false;
      const voters = server?.driver.engine.members.filter(({ role }) => role === "voter") ?? [];
      return voters.length === lives.length && voters.every(({ replica }) => lives.some((life) => life === replica));
    });
    if (!agreed) return [];
    const first = random.whole(this.members.length);
    const count = 1 + random.whole((this.members.length - 1) / 2);
    return Array.from({ length: count }, (_, at) => this.members[(first + at) % this.members.length]!.host);
  }

  /** Asks the program of a host to stop in good order. */
  stop(host: SimHost, ended: () => void): void {
    const { coverage } = this.#options;
    const since = coverage.now;
    this.of(host)?.program?.stop(1_000, () => {
      coverage.over("stop", () => [host.name], since);
      ended();
    });
  }

  /**
   * Takes all data of one server away for good, with its power, or damages its journal. Only while all vote with the data
   * they have, and every disk says so: who votes has the whole history, so no second copy is lost before others have made
   * good the first, and those that are left are a majority by what each of them knows. Answers whether it was done.
   */
  wipe(host: SimHost): boolean {
    const member = this.of(host);
    if (member === undefined || this.#isAlone || !this.#allVote()) return false;
    member.wipes++;
    if ((chance(this.#options.seed, host.index, member.wipes) & 1) === 0) {
      host.crash("killed");
      member.disk.killed();
      damageJournal(member.disk);
      member.isDamaged = true;
      this.#options.marks.count("journal damaged");
      return true;
    }
    host.crash("powerLoss");
    member.server = null;
    member.disk = this.#newDisk(host, member.wipes);
    this.#options.marks.count("server wiped");
    return true;
  }

  /** Those that run and have started. */
  get running(): { member: Member; server: Server }[] {
    return this.members.flatMap((member) => {
      const server = this.serverOf(member);
      return server === null ? [] : [{ member, server }];
    });
  }

  serverOf({ host, program }: Member): Server | null {
    return host.alive ? (program?.server ?? null) : null;
  }

  /** Who leads and knows a quorum; null when nobody does, or more than one thinks so. */
  get leader(): Server | null {
    return this.leaderBut([]);
  }

  /** The same, whatever these think of themselves. */
  leaderBut(others: readonly SimHost[]): Server | null {
    const leaders = this.running.filter(({ member, server }) => {
      const { role, isAuthoritative } = server.driver.engine.standing;
      return role === "leader" && isAuthoritative && !others.includes(member.host);
    });
    return leaders.length === 1 ? leaders[0]!.server : null;
  }

  /** The host of whoever leads; the first one while nobody does. */
  get hostThatLeads(): SimHost {
    const { leader } = this;
    return (
      this.members.find(({ program }) => leader !== null && program?.server === leader)?.host ?? this.members[0]!.host
    );
  }

  /** How far a room is known to go by anybody, also by whoever is down. */
  head(room: RoomName): number {
    return Math.max(...this.members.map(({ server }) => server?.state.room(room)?.head ?? 0));
  }

  /** Empty when all run, vote, and have applied the same; else what is missing for that. */
  apart(): string[] {
    const { leader } = this;
    if (leader === null) return ["nobody leads"];
    const apart: string[] = [];
    const { engine, lastIndex } = leader.driver;
    const voters = engine.members.filter(({ role }) => role === "voter").map(({ replica }) => nodeOf(replica));
    for (const member of this.members) {
      const { name } = member.host;
      const server = this.serverOf(member);
      if (server === null) apart.push(`${name} does not run`);
      else if (!voters.some((voter) => voter === name)) apart.push(`${name} does not vote`);
      else if (server.state.appliedIndex !== lastIndex) {
        apart.push(`${name} has applied ${server.state.appliedIndex} of ${lastIndex}`);
      } else if (lackedBy(server) > 0) apart.push(`${name} lacks ${lackedBy(server)} chunks`);
      else if (server.state.hash() !== leader.state.hash()) apart.push(`${name} has another state at ${lastIndex}`);
    }
    return apart;
  }

  #newDisk(host: SimHost, wipes: number): SimDisk {
    const { seed, scenario } = this.#options;
    const random = this.#isAlone ? scenario.random.disk : seededRandom(chance(seed, host.index + 64, wipes));
    return new SimDisk(host, random, (call, path) => this.#called(host, call, path));
  }

  /** What a process asks of its disk while it serves. */
  #called(host: SimHost, call: CallName, path: string): void {
    const member = this.of(host);
    if (member === undefined || this.serverOf(member) === null) return;
    const { coverage } = this.#options;
    if (call === "open" && path.startsWith("journal/")) coverage.over("journal roll", () => [host.name]);
    else if (call === "rename" && path.includes("-> history/")) coverage.over("chunk build", () => [host.name]);
    else if (call === "rename" && path.includes("-> snapshot/")) coverage.over("snapshot take", () => [host.name]);
  }

  /** Whether all run and each has it on its disk that exactly the present lives of all vote. */
  #allVote(): boolean {
    const lives = this.members.map(({ host, server }) => `${host.name}#${server?.incarnation ?? ""}`);
    return this.members.every((member) => {
      const server = this.serverOf(member);
      if (server === null || server.driver.syncAgeMs() > 0) return false;
      const { members } = server.driver.engine;
      return (
        members.length === lives.length &&
        members.every(({ role, replica }) => role === "voter" && lives.some((life) => life === replica))
      );
    });
  }

  #started(member: Member, server: Server): void {
    this.#options.beforeStart();
    member.server = server;
    member.isDamaged = false;
    member.box.started(server);
    const { cluster } = server.state;
    const { violated, marks, scenario } = this.#options;
    if (this.#cluster !== null && this.#cluster !== cluster) {
      violated(`${member.host.name} is in cluster ${cluster}, and others are in ${this.#cluster}`);
    }
    if (this.#cluster !== null) return;
    if (scenario.foundsByList) marks.count("founded by a list");
    this.#cluster = cluster;
    for (const waiting of this.#waiting) if (waiting.host.alive) this.boot(waiting);
    this.#waiting.clear();
  }

  #ended(member: Member, downMs: number): void {
    const { host, disk } = member;
    host.crash("killed");
    disk.killed();
    this.#options.scheduler.after(millis(downMs), "restart", () => {
      if (host.alive) return;
      host.start();
      this.boot(member);
    });
  }
}

/** A bit in the head of each segment: whatever stands behind it, that is no torn end. */
function damageJournal({ fileSystem }: SimDisk): void {
  for (const file of fileSystem.files().keys()) {
    if (file.startsWith("journal/") && file.endsWith(".wal")) fileSystem.flip(file, 20, 3);
  }
}

/** How many chunks this server has yet to fetch from others. */
function lackedBy(server: Server): number {
  return server.cluster?.catchUp.progress.lacking ?? 0;
}

/** A seed of its own for each life of each server and each disk: the same chance would name two lives of data alike. */
function chance(seed: number, index: number, life: number): number {
  return Math.imul(Math.imul(seed, 0x9e3779b1) ^ (index + 1), 0x85ebca6b) ^ Math.imul(life + 1, 0xc2b2ae35);
}
