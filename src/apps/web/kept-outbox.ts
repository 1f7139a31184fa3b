import type { Cid, RoomName } from "../../base/ids.ts";
import type { OutboxStore, SavedPosition, SavedSend, SavedState } from "../../client/ports.ts";

/**
 * An outbox store that tells which messages are in it, so that the page claims of none that it waits before a reload
 * would find it.
 *
 * 1. `holds` answers true only from when the store has settled a save, or gave the message at the start, until a removal begins.
 * 2. What the store does is done as it is asked for, in the same order.
 */
export class KeptOutbox implements OutboxStore {
  readonly #store: OutboxStore;
  readonly #held = new Set<string>();
  /** Called when one more message is held. */
  onHeld: (() => void) | null = null;

  constructor(store: OutboxStore) {
    this.#store = store;
  }

  /** Says whether the next page would find this message. */
  holds(send: { readonly room: RoomName; readonly cid: Cid }): boolean {
    return this.#held.has(keyOf(send));
  }

  async load(): Promise<SavedState> {
    const state = await this.#store.load();
    for (const send of state.sends) this.#held.add(keyOf(send));
    return state;
  }

  async save(send: SavedSend): Promise<void> {
    await this.#store.save(send);
    this.#held.add(keyOf(send));
    this.onHeld?.();
  }

  remove(send: { readonly room: RoomName; readonly cid: Cid }): Promise<void> {
    this.#held.delete(keyOf(send));
    return this.#store.remove(send);
  }

  savePosition(position: SavedPosition): Promise<void> {
    return this.#store.savePosition(position);
  }
}

const keyOf = ({ room, cid }: { readonly room: RoomName; readonly cid: Cid }): string => `${room} ${cid}`;
