import type { RoomEvent } from "../rooms/apply-sink.ts";
import { sealReasons } from "../rooms/seal.ts";
import type { CommitListener } from "./applier.ts";
import { calendar } from "./calendar.ts";
import type { LiveRoom } from "./live-room.ts";
import type { Server } from "./server.ts";

/**
 * What follows from what was committed, beside the answer to whoever asked: who is told of it, which chunks are made, what
 * this server does otherwise from now on.
 */
export class CommitConsequences implements CommitListener {
  readonly #server: Server;
  /** Rooms whose ring has a free slot that somebody waits for: they go on at the end of the turn. */
  readonly #freed = new Set<LiveRoom>();

  constructor(server: Server) {
    this.#server = server;
  }

  stored(live: LiveRoom): void {
    this.#server.fanOut.stored(live);
  }

  freed(live: LiveRoom): void {
    this.#freed.add(live);
  }

  recheck(...[origin, request, record]: Parameters<CommitListener["recheck"]>): void {
    if (origin !== null && origin !== undefined) this.#server.orderer.again(origin, request, record);
  }

  holdsPrev(...[origin, bytes, offset]: Parameters<CommitListener["holdsPrev"]>): boolean {
    return this.#server.orderer.holdsPrev(origin, bytes, offset);
  }

  atSeal(): void {
    this.#server.sealer.atSeal();
  }

  changed(event: RoomEvent): void {
    const { news, sealer } = this.#server;
    switch (event.type) {
      case "notice":
        news.notice(event.room, event.notice);
        return;
      case "told":
        news.told(event);
        return;
      case "read":
        news.readMoved(event.room, event.user, event.seq);
        return;
      case "left":
      case "deleted":
        news.mayNotRead(event.room, event.type === "left" ? "removed" : "deleted");
        return;
      case "sealed":
        sealer.sealed(event.sealed);
        return;
      case "chunkEmpty":
        sealer.chunkEmpty(event.chunk);
        this.#chunksChanged();
        return;
      case "rewrite":
        sealer.rewrite(event.chunk, event.generation);
        this.#chunksChanged();
        return;
      case "setting":
        if (event.setting.kind === "timeZone") this.#server.entries.calendar = calendar(event.setting.timeZone);
        if (event.setting.kind === "line") this.#server.placeChanged();
        return;
      default:
        return;
    }
  }

  /** Everything that was committed in this turn is applied. */
  turnEnded(): void {
    const { news, driver, fanOut, memory, limits, proposals } = this.#server;
    news.proposeFollowing(driver.leads);
    fanOut.turnEnded();
    if (this.#freed.size > 0) this.#letWaitingGoOn();
    if (memory.openBytes >= limits.chunkBytes) proposals.seal(sealReasons.full);
  }

  // Whoever finds the ring full once more waits anew.
  #letWaitingGoOn(): void {
    const freed = [...this.#freed];
    this.#freed.clear();
    for (const live of freed) {
      const { waiting } = live;
      live.waiting = null;
      for (const again of waiting ?? []) again();
    }
  }

  /** In a turn of its own: while entries are applied, the state says what is half-way. */
  #chunksChanged(): void {
    const { cluster, clock } = this.#server;
    if (cluster !== null) clock.defer(() => cluster.catchUp.changed());
  }
}
