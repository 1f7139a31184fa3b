import type { Clock } from "../base/clock.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import { groupId, type Incarnation, type NodeName, type RoomName, type UserName } from "../base/ids.ts";
import type { Limits } from "../base/limits.ts";
import type { Change } from "../consensus/configuration-change.ts";
import { type OkSendRanges, okPlace, okSendRanges } from "../protocol/message-bytes.ts";
import { membersOf } from "../protocol/names.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { Scrub } from "../storage/scrub.ts";
import type { Journal } from "../storage/journal/journal.ts";
import type { PeerStream } from "../transport/peer-stream.ts";
import { Applier } from "./applier.ts";
import { emptySource, type PostSource } from "./batch.ts";
import { AnswerTurns } from "./answer-turns.ts";
import { calendar } from "./calendar.ts";
import { ClientAddresses } from "./client-addresses.ts";
import { Cluster, type ClusterHost } from "./cluster.ts";
import { CommitConsequences } from "./commit-consequences.ts";
import { Connections } from "./connections.ts";
import { DamagedReads } from "./damaged-reads.ts";
import { Digests } from "./digest.ts";
import { DiskSpace } from "./disk-space.ts";
import { RecentEntries } from "./entry-times.ts";
import { FanOut } from "./fan-out.ts";
import { FrameWriter } from "./frame-writer.ts";
import { GroupDriver } from "./group-driver.ts";
import { GroupDuties } from "./group-duties.ts";
import { HeldOutput } from "./held-output.ts";
import { History } from "./history.ts";
import { InputShares } from "./input-shares.ts";
import { Jitter } from "./jitter.ts";
import { JournalScrub } from "./journal-scrub.ts";
import type { Log } from "./log.ts";
import type { LogClock } from "./log-clock.ts";
import { MemoryLog } from "./memory-log.ts";
import { Online } from "./online.ts";
import { Orderer } from "./orderer.ts";
import { Presence } from "./presence.ts";
import { Proposals } from "./proposals.ts";
import { ReadMarks } from "./read-marks.ts";
import type { Recovered } from "./recovery.ts";
import { Requests } from "./requests.ts";
import { RetentionRound } from "./retention-round.ts";
import { RoomNews } from "./room-news.ts";
import { Scrubbing } from "./scrubbing.ts";
import { Sealer } from "./sealer.ts";
import { SelfFencing } from "./self-fencing.ts";
import type { ServerSettings } from "./server-settings.ts";
import { RoomRates } from "./room-rates.ts";
import { SendRates } from "./send-rates.ts";
import type { Session } from "./session.ts";
import type { SessionHost } from "./session-host.ts";
import { SingleSends } from "./single-sends.ts";
import { StampedEntries } from "./stamped-entries.ts";
import { Trimmer } from "./trimmer.ts";
import { Upkeep } from "./upkeep.ts";

/**
 * One server: its parts put together. Made by `startServer` (start-server.ts); the doors call `connections`, `singleSends`
 * and `requests`. What follows from what was committed is in commit-consequences.ts, from where it stands in its
 * group in group-duties.ts; when it must not go on, in self-fencing.ts.
 */
export class Server implements SessionHost, ClusterHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly node: NodeName;
  readonly state: GroupState;
  readonly memory: MemoryLog;
  readonly driver: GroupDriver;
  readonly entries: StampedEntries;
  readonly proposals: Proposals;
  /** When the newest entries went which step of their way. */
  readonly recent: RecentEntries;
  /** Null: there are no other servers. */
  readonly cluster: Cluster | null;
  /** The same. */
  readonly clientAddresses: ClientAddresses | null;
  readonly orderer: Orderer;
  readonly fanOut: FanOut;
  readonly presence: Presence;
  readonly requests: Requests;
  readonly singleSends: SingleSends;
  readonly sealer: Sealer;
  readonly upkeep: Upkeep;
  readonly online: Online;
  readonly news: RoomNews;
  readonly committed: CommitConsequences;
  readonly fencing: SelfFencing;
  readonly jitter: Jitter;
  /** What clients have not taken yet of what they were sent. */
  readonly held: HeldOutput;
  readonly turns: AnswerTurns;
  readonly shares: InputShares;
  readonly rates: SendRates;
  readonly roomRates: RoomRates;
  readonly connections: Connections;
  readonly writer = new FrameWriter();
  readonly source: PostSource;
  readonly scratch: Uint8Array;
  readonly history: History;
  readonly digests: Digests;
  readonly trimmer: Trimmer;
  readonly logClock: LogClock;
  ok: OkSendRanges;

  readonly #recovered: Recovered;
  readonly #settings: ServerSettings;
  readonly #duties: GroupDuties;
  #stopping: { reason: string } | null = null;
  /** Counts for status and metrics. */
  readonly counts = { slowDropped: 0, movedAside: 0 };
  readonly damagedReads: DamagedReads;

  constructor(recovered: Recovered, settings: ServerSettings) {
    const { clock, random, limits, log, node, state, journal, chunks, engine, logClock, disk, owner, chunkBuilder } =
      recovered;
    this.#recovered = recovered;
    this.#settings = settings;
    this.clock = clock;
    this.limits = limits;
    this.log = log;
    this.node = node;
    this.state = state;
    this.scratch = new Uint8Array(limits.bodyBytesMax + 1024);
    this.source = emptySource(this.scratch);
    this.ok = okSendRanges(okPlace({ line: state.line, leader: node, node }));
    this.memory = new MemoryLog({ limits, from: state.appliedIndex, isShared: chunkBuilder !== undefined });
    this.damagedReads = new DamagedReads({ clock, log });
    this.#duties = new GroupDuties(this, settings, recovered.self);
    this.committed = new CommitConsequences(this);
    this.fencing = new SelfFencing(this, settings, disk);
    this.cluster = recovered.peers === undefined ? null : new Cluster(this, recovered, recovered.peers);
    const others = this.cluster?.catchUp ?? null;
    this.history = new History({ memory: this.memory, chunks, damagedReads: this.damagedReads, others });
    this.digests = new Digests(this.history, clock);
    this.logClock = logClock;
    this.jitter = new Jitter(random);
    this.held = new HeldOutput({ bytesMax: limits.heldOutputBytesMax, clock });
    const retryAfterMs = (): number => this.jitter.after(1_000);
    this.turns = new AnswerTurns({ clock, held: this.held, answerBytesMax: limits.histBytesMax, retryAfterMs });
    this.rates = new SendRates(limits);
    this.roomRates = new RoomRates(limits);
    this.connections = new Connections(this, settings, random);
    this.online = new Online(state);
    const peers = this.cluster?.peers ?? null;
    const { memory } = this;
    this.recent = new RecentEntries(clock.now());
    const { recent } = this;
    const applier = new Applier({
      state,
      memory,
      listener: this.committed,
      recent,
      letGo: (batch) => this.proposals.letGo(batch),
    });
    this.driver = new GroupDriver({
      group: state.group,
      engine,
      journal,
      applier,
      clock,
      logClock,
      send: (to, lane, bytes, rest) => peers?.send(to, lane, bytes, rest),
      listener: this.#duties,
      recent,
    });
    this.entries = new StampedEntries({
      driver: this.driver,
      applier,
      memory,
      logClock,
      calendar: calendar(state.timeZone),
    });
    this.proposals = new Proposals({
      driver: this.driver,
      applier,
      clock,
      entries: this.entries,
      limits,
      forwarding: peers,
      flushNow: () => journal.flushNow(),
      gone: () => this.shares.gone(),
    });
    const { cluster, driver, proposals } = this;
    const tell = (leader: NodeName, setting: Uint8Array): void => cluster?.peers.clients(leader, setting);
    this.clientAddresses =
      cluster === null
        ? null
        : new ClientAddresses({ node, own: settings.advertise, state, driver, proposals, clock, tell });
    this.shares = new InputShares(clock, this.proposals);
    this.orderer = new Orderer({ proposals: this.proposals, state, memory, history: this.history, limits });
    this.fanOut = new FanOut({
      clock,
      writer: this.writer,
      history: this.history,
      online: this.online,
      push: settings.push,
      announced: () => recent.delivered(state.appliedIndex, this.fanOut.delivered, clock.now()),
    });
    this.presence = new Presence({ clock, state, memory: this.memory, gossip: this.cluster?.presence ?? null });
    const readMarks = new ReadMarks({ clock, orderer: this.orderer });
    this.requests = new Requests({
      driver: this.driver,
      orderer: this.orderer,
      history: this.history,
      readMarks,
      clock,
      limits,
      node,
      hasOthers: this.cluster !== null,
      ageMs: () => this.proposals.ageMs,
      knowsUser: (user) => this.knowsUser(user),
      mayBegin: (user, room) => this.mayBegin(user, room),
    });
    this.singleSends = new SingleSends({
      clock,
      state,
      node,
      orderer: this.orderer,
      rates: this.rates,
      roomRates: this.roomRates,
      source: this.source,
      scratch: this.scratch,
      leader: () => this.#leader,
      certain: (act) => this.requests.certain(act),
      mayBegin: (user, room) => this.mayBegin(user, room),
    });
    this.news = new RoomNews({
      state,
      memory: this.memory,
      online: this.online,
      orderer: this.orderer,
      memberships: this.requests.memberships,
      hasOthers: this.cluster !== null,
    });
    this.sealer = new Sealer({
      clock,
      group: groupId(0),
      state,
      memory: this.memory,
      chunks,
      disk,
      owner,
      journal: () => journal,
      snapshotIndex: recovered.snapshotIndex,
      chunkBytes: limits.chunkBytes,
      builder: chunkBuilder,
      onReleased: () => this.driver.compacted(journal.baseOf(state.group)),
      onMade: ({ digest, ...made }) => this.cluster?.catchUp.made({ group: state.group, ...made }, digest),
      onFailed: (cause) => this.log.error("seal.failed", { cause }),
      onStranger: (stranger) => {
        this.counts.movedAside++;
        this.log.warn("chunk.aside", { ...stranger });
      },
    });
    this.trimmer = new Trimmer({ requests: this.requests, digests: this.digests, log });
    const { orderer, sealer, trimmer } = this;
    const space = new DiskSpace({
      limits,
      disk,
      journal,
      proposals,
      orderer,
      sealer,
      log,
      onSpace: (freeBytes) => this.cluster?.spaceIs(freeBytes),
    });
    const retention = new RetentionRound({
      state,
      leads: () => this.driver.leads,
      proposals,
      sealer,
      trimmer,
      giveBack: (room) => this.news.giveBackNow(room),
    });
    const scrubbing = new Scrubbing({
      scrub: new Scrub(chunks),
      journalScrub: new JournalScrub(journal, state.group),
      log,
      onDamaged: (chunk) => this.cluster?.catchUp.damaged(chunk),
      onJournalDamaged: () => this.fencing.journalDamaged(),
    });
    const sessions = (): Iterable<Session> => this.connections.all;
    const { turns } = this;
    this.upkeep = new Upkeep({ clock, proposals, sessions, turns, log, memory, space, retention, scrubbing });
  }

  /** Whether sends can succeed here now, and if not, why. */
  get ready(): { ok: boolean; reason: string | null } {
    if (this.fencing.hasFailed) return { ok: false, reason: "the journal failed" };
    if (this.#stopping !== null) return { ok: false, reason: "stopping" };
    if (this.upkeep.isFull) return { ok: false, reason: "the disk is full" };
    const why = this.orderer.refusal();
    if (why !== null) return { ok: false, reason: why.message };
    const { role, leader } = this.driver.engine.standing;
    const isOrdered = leader !== null && role !== "elected";
    return isOrdered ? { ok: true, reason: null } : { ok: false, reason: "nobody is elected to order messages yet" };
  }

  /** What orders here: one server by itself, or an elected one among several. */
  get topology(): "solo" | "leader" {
    return this.cluster === null ? "solo" : "leader";
  }

  /** Goes on from what the disk remembers. Called once, before anything else. */
  recover(): void {
    this.driver.recover(this.#recovered.remembered);
  }

  /** Begins what a server does by the clock. */
  async start(): Promise<void> {
    this.cluster?.start();
    await this.upkeep.start();
  }

  get incarnation(): Incarnation {
    return this.#recovered.owner.incarnation;
  }

  get journal(): Journal {
    return this.#recovered.journal;
  }

  get chunkCount(): number {
    return this.#recovered.chunks.list().length;
  }

  /** It takes no new connections, and nothing new of those it has. */
  get isStopping(): boolean {
    return this.#stopping !== null;
  }

  get isRunning(): boolean {
    return this.#stopping === null && !this.fencing.hasFailed;
  }

  // Clients

  knowsUser(user: UserName): boolean {
    if (this.#settings.openNames || this.state.user(user) !== undefined) return true;
    return this.online.sessionsOf(user).length > 0;
  }

  /** Whether this user may bring a direct room into being. Whose room it is, `apply` looks at. */
  mayBegin(user: UserName, room: RoomName): boolean {
    return membersOf(room).every((member) => member === user || this.knowsUser(member));
  }

  slowDropped(): void {
    this.counts.slowDropped++;
  }

  /** The journal has flushed: everything that follows from it happens in this turn. */
  flushed(mark: Parameters<GroupDriver["flushed"]>[0]): void {
    this.driver.flushed(mark);
    this.proposals.close();
    this.driver.endTurn();
  }

  /** Answers to sends name who orders, and the line: one of them is another now. */
  placeChanged(): void {
    this.ok = okSendRanges(okPlace({ line: this.state.line, leader: this.#leader, node: this.node }));
  }

  // The group

  /** Settles once everything is applied that was committed before. */
  caughtUp(): Promise<void> {
    return this.driver.read();
  }

  /** Who orders, as far as is known here; this server when nobody is: then nothing is answered that would say so. */
  get #leader(): NodeName {
    return this.driver.engine.standing.leader ?? this.node;
  }

  /** A stream of another server that has shown that it knows the cluster's secret. */
  acceptPeer(stream: PeerStream): void {
    if (this.cluster === null) stream.destroy();
    else this.cluster.peers.accept(stream);
  }

  refusalForOthers(): ErrorCode | null {
    // One that stops still takes what is on its way to it, until another leads.
    return this.#stopping === null ? (this.orderer.refusal()?.code ?? null) : null;
  }

  /** Changes who belongs to the group. Settles when that is committed; rejects with a Fault, also when this server does not lead. */
  changeMembers(changes: readonly Change[]): Promise<void> {
    return this.proposals.changeMembers(changes);
  }

  /** Hands the leadership over. Settles when another leads; rejects with a Fault. */
  transfer(to: NodeName | null): Promise<void> {
    return this.driver.transfer(to);
  }

  /** Proposes again what was never acknowledged: after a start, and for a new leader. */
  tellAgain(): void {
    this.news.noticeAgain();
    this.committed.turnEnded();
  }

  // The end

  /**
   * Stops in good order: takes nothing more, lets clients know, writes what was taken, and closes. Settles when
   * everything that was acknowledged, and everything that was taken before, is durable.
   */
  async stop(withinMs: number): Promise<void> {
    if (this.#stopping !== null) return;
    this.#stopping = { reason: "stopping" };
    this.orderer.end({ code: "unavailable", message: "this server is stopping" });
    for (const session of this.connections.all) session.answer({ t: "drain", withinMs });
    this.fanOut.announceNow();
    const quiet = this.upkeep.stop();
    if (!this.fencing.hasFailed) {
      this.proposals.close();
      if (this.cluster !== null) await this.#duties.leave(this.cluster);
      this.proposals.end();
      this.driver.end();
      if (this.cluster !== null) this.proposals.fail();
      await this.#recovered.journal.close();
    }
    this.fanOut.announceNow();
    for (const session of this.connections.all) session.end(1012, "restarting");
    this.fanOut.flush();
    await this.sealer.stop();
    await quiet;
  }
}
