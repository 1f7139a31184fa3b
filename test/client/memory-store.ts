import type { OutboxStore, SavedPosition, SavedSend, SavedState } from "../../src/client/ports.ts";

/** A store whose disk is this object. */
export class MemoryStore implements OutboxStore {
  readonly sends = new Map<string, SavedSend>();
  readonly positions: SavedPosition[] = [];
  readonly log: string[] = [];
  failing = false;
  /** Saves wait for this. */
  gate: Promise<void> = Promise.resolve();

  load(): Promise<SavedState> {
    const sends = [...this.sends.values()].sort((a, b) => a.number - b.number);
    return Promise.resolve({ sends, positions: [...this.positions] });
  }

  async save(send: SavedSend): Promise<void> {
    await this.gate;
    if (this.failing) throw new Error("no space");
    this.sends.set(send.cid, send);
    this.log.push(`save ${send.body}`);
  }

  remove(send: SavedSend): Promise<void> {
    this.sends.delete(send.cid);
    this.log.push(`remove ${send.body}`);
    return Promise.resolve();
  }

  savePosition(position: SavedPosition): Promise<void> {
    this.positions.push(position);
    return Promise.resolve();
  }
}
