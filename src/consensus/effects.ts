import { assert } from "../base/assert.ts";
import type { GroupEffect } from "./events.ts";
import type { Message } from "./messages.ts";

/**
 * Gathers the effects of one step, and counts tickets: one for each write, in the order they are to be written.
 *
 * 1. durable <= issued; both only grow
 */
export class Effects {
  #list: GroupEffect[] = [];
  #issued = 0;
  #durable = 0;

  get issued(): number {
    return this.#issued;
  }

  get durable(): number {
    return this.#durable;
  }

  push(effect: GroupEffect): void {
    this.#list.push(effect);
  }

  send(message: Message): void {
    this.#list.push({ type: "send", message });
  }

  nextTicket(): number {
    return ++this.#issued;
  }

  flushed(ticket: number): void {
    assert(ticket <= this.#issued, "what was never asked for can't be durable");
    if (ticket > this.#durable) this.#durable = ticket;
  }

  take(): readonly GroupEffect[] {
    const list = this.#list;
    this.#list = [];
    return list;
  }
}
