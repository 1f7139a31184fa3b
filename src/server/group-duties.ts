import { entryTypes } from "../base/entry.ts";
import type { LogIndex, NodeName } from "../base/ids.ts";
import { millis } from "../base/units.ts";
import type { Snapshot } from "../consensus/messages.ts";
import type { ReplicaId } from "../consensus/replica.ts";
import { encodeSettings } from "../rooms/setting.ts";
import type { Standing } from "../topology/engine.ts";
import type { Cluster } from "./cluster.ts";
import { differingSettings, isUnfounded } from "./committed-settings.ts";
import type { DriverListener } from "./group-driver.ts";
import type { Server } from "./server.ts";
import type { ServerSettings } from "./server-settings.ts";

/** What was taken has so long to be decided while the server stops. */
const decideWithinMs = 2_000;
const decidePollMs = 5;

/**
 * What follows for a server from where it stands in its group: what it says to its clients and to other servers, what it
 * proposes once it leads, and how it leaves.
 */
export class GroupDuties implements DriverListener {
  readonly #server: Server;
  readonly #settings: ServerSettings;
  readonly #self: ReplicaId;
  /** The last term in which this server led. */
  #ledTerm = 0;

  constructor(server: Server, settings: ServerSettings, self: ReplicaId) {
    this.#server = server;
    this.#settings = settings;
    this.#self = self;
  }

  turnEnded(): void {
    this.#server.committed.turnEnded();
  }

  standingChanged(standing: Standing): void {
    const { role, term, leader, isAuthoritative } = standing;
    this.#server.log.info("standing.changed", { role, term, leader, isAuthoritative });
    this.#server.placeChanged();
    this.#server.cluster?.standingChanged(standing);
    this.#server.proposals.standingChanged(standing);
    const isNew = role === "leader" && this.#ledTerm !== term;
    if (!isNew || this.#server.cluster === null) return;
    this.#ledTerm = term;
    this.#server.clock.defer(() => this.#tookOver());
  }

  membersChanged(members: Parameters<DriverListener["membersChanged"]>[0]): void {
    this.#server.log.info("members.are", { members: members.map(({ replica, role }) => `${replica} ${role}`) });
  }

  snapshotWanted({ index }: Snapshot, from: NodeName): void {
    this.#server.log.warn("snapshot.wanted", { index, from, why: "what the log lacks here is not in it any more" });
    this.#server.cluster?.catchUp.snapshotWanted(index);
  }

  /** Others can begin with the newest snapshot, which holds what can't be read. */
  unreadable(cause: unknown): void {
    const { log, sealer, journal, state, driver } = this.#server;
    log.error("journal.unreadable", { cause });
    const { snapshotIndex } = sealer;
    if (snapshotIndex > journal.baseOf(state.group)) driver.compacted(snapshotIndex as LogIndex);
  }

  /** A new leader proposes what the last one may not have: what the state says is due, and a founder's settings. */
  #tookOver(): void {
    const { driver, isRunning, state, limits, log, proposals } = this.#server;
    if (!driver.leads || !isRunning) return;
    const differing = differingSettings(state, this.#settings, limits);
    if (isUnfounded(state)) {
      proposals.order(entryTypes.setting, encodeSettings([{ kind: "founding" }, ...differing]));
    } else if (differing.length > 0) {
      log.warn("setting.differs", { settings: differing });
    }
    this.#server.tellAgain();
  }

  /** Hands over what is led here, and gives what was taken the time to be decided. */
  async leave(cluster: Cluster): Promise<void> {
    const { driver, proposals, clock, log } = this.#server;
    const isAlone = driver.engine.members.every(({ replica, role }) => role !== "voter" || replica === this.#self);
    const handover = { isUnderWay: driver.leads && !isAlone };
    if (handover.isUnderWay) {
      driver
        .transfer(null)
        .catch((cause: unknown) => log.warn("not.handed.over", { cause }))
        .finally(() => {
          handover.isUnderWay = false;
        });
    }
    // Whoever steps down meanwhile because too few are left never hears of another leader.
    const until = clock.now() + decideWithinMs;
    while ((handover.isUnderWay || !proposals.isIdle) && clock.now() < until && !this.#server.fencing.hasFailed) {
      await new Promise<void>((resolve) => {
        clock.after(millis(decidePollMs), resolve);
      });
    }
    await cluster.stop();
  }
}
