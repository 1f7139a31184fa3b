import { unreachable } from "../../base/assert.ts";
import type { NodeName } from "../../base/ids.ts";
import { Download } from "./download.ts";
import type { Item, Piece, Want } from "./catch-up-frames.ts";

/** What is lacking here. Of two with the same place in the list the first comes first. */
export interface WantedItem {
  readonly item: Item;
  /** Somebody waits for it now. */
  readonly isUrgent: boolean;
  /** More than it can have is not taken from anybody. */
  readonly bytesMax: number;
}

export type DownloadEvent =
  /** All that is lacking, in the order in which it is wanted; what is not among it any more is given up. */
  | { type: "wanted"; now: number; items: readonly WantedItem[] }
  /** Those with whom a link stands. */
  | { type: "linked"; now: number; peers: readonly NodeName[] }
  | { type: "piece"; now: number; from: NodeName; piece: Piece }
  | { type: "absent"; now: number; from: NodeName; request: number }
  /** A request could not be sent, because nothing more fits on the way to this server; `room` follows. */
  | { type: "blocked"; now: number; peer: NodeName; request: number }
  | { type: "room"; now: number; peer: NodeName }
  /** What is complete was found to be what it should be, and is durable. */
  | { type: "stored"; now: number; item: Item }
  /** It was not. */
  | { type: "spoiled"; now: number; item: Item }
  | { type: "tick"; now: number };

export type DownloadEffect =
  | { type: "send"; to: NodeName; want: Want }
  /** All bytes are here: prove them, keep them, and say `stored` or `spoiled` of the same item. */
  | { type: "complete"; item: Item; bytes: Uint8Array }
  /** Nobody with whom a link stands has it now. It is asked for again later, behind the others, and this said again then. */
  | { type: "nowhere"; item: Item };

export interface DownloadSettings {
  /** Requests for one item that are not answered. */
  readonly requestsMax: number;
  /** So long without a piece, and the next server is asked. */
  readonly answerWithinMs: number;
  /** After so long those who did not have something are asked again. */
  readonly retryAfterMs: number;
}

export const defaultDownloadSettings: DownloadSettings = {
  requestsMax: 8,
  answerWithinMs: 5_000,
  retryAfterMs: 2_000,
};

/**
 * Gets what is lacking from whoever has it, piece by piece.
 *
 * 1. two items at most are on their way: the first that somebody waits for, and the first of the others
 * 2. of each at most `requestsMax` pieces are asked for and not here
 * 3. what has come stays when a server is lost: the next one is asked for the rest
 * 4. what was not what it should be is asked for anew, of other servers first
 */
export class Downloads {
  readonly #settings: DownloadSettings;
  #wanted: readonly WantedItem[] = [];
  #active: Download[] = [];
  #linked: readonly NodeName[] = [];
  readonly #blocked = new Set<NodeName>();
  /** What nobody had, and when it is asked for again. */
  readonly #later = new Map<string, number>();
  #request = 0;
  #effects: DownloadEffect[] = [];

  constructor(settings: DownloadSettings = defaultDownloadSettings) {
    this.#settings = settings;
  }

  /** When `tick` is due at the latest; Infinity when nothing is. */
  get dueAt(): number {
    return Math.min(Infinity, ...this.#active.map((download) => download.dueAt), ...this.#later.values());
  }

  /** What is on its way, and how much of it is here. */
  get progress(): { item: Item; from: NodeName | null; bytes: number; total: number | null }[] {
    return this.#active.map(({ item, source, received, total }) => ({ item, from: source, bytes: received, total }));
  }

  step(event: DownloadEvent): readonly DownloadEffect[] {
    switch (event.type) {
      case "wanted":
        this.#take(event.items);
        break;
      case "linked":
        if (event.peers.some((peer) => !this.#linked.includes(peer))) this.#later.clear();
        this.#linked = event.peers;
        for (const peer of this.#blocked) if (!event.peers.includes(peer)) this.#blocked.delete(peer);
        for (const download of this.#active) download.linked(event.now, event.peers);
        break;
      case "piece": {
        const download = this.#downloadOf(event.piece.request);
        if (download?.source === event.from) this.#took(event.now, download, event.piece);
        break;
      }
      case "absent": {
        const download = this.#downloadOf(event.request);
        if (download?.source === event.from) download.absent(event.now);
        break;
      }
      case "blocked":
        this.#blocked.add(event.peer);
        this.#downloadOf(event.request)?.unsent(event.request);
        break;
      case "room":
        this.#blocked.delete(event.peer);
        break;
      case "stored": {
        const stored = this.#active.find((download) => isSame(download.item, event.item));
        this.#active = this.#active.filter((download) => download !== stored);
        this.#take(this.#wanted.filter(({ item }) => stored?.serves(item) !== true));
        break;
      }
      case "spoiled":
        this.#active.find((download) => isSame(download.item, event.item))?.spoiled(event.now);
        break;
      case "tick":
        for (const download of this.#active) download.tick(event.now);
        for (const [key, at] of this.#later) if (event.now >= at) this.#later.delete(key);
        break;
      default:
        return unreachable(event);
    }
    // Whoever turns out to be nowhere makes room for another.
    do this.#begin(event.now);
    while (this.#askAll(event.now));
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** One place for what somebody waits for, and one for what nobody does. */
  #begin(now: number): void {
    for (const isUrgent of [true, false]) {
      const first = this.#wanted.find((wanted) => wanted.isUrgent === isUrgent && !this.#later.has(keyOf(wanted.item)));
      const isUnderWay = (wanted: WantedItem): boolean =>
        wanted.isUrgent === isUrgent && this.#active.some((download) => download.serves(wanted.item));
      if (first === undefined || this.#active.length >= activeMax || this.#wanted.some(isUnderWay)) continue;
      this.#active.push(new Download(first.item, first.bytesMax, this.#settings, now));
    }
  }

  /** Answers whether one of them is nowhere. */
  #askAll(now: number): boolean {
    const nowhere = this.#active.filter((download) => download.isNowhere(now, this.#linked));
    for (const download of nowhere) {
      this.#effects.push({ type: "nowhere", item: download.item });
      for (const wanted of this.#wanted) {
        if (download.serves(wanted.item)) this.#later.set(keyOf(wanted.item), now + this.#settings.retryAfterMs);
      }
    }
    this.#active = this.#active.filter((download) => !nowhere.includes(download));
    for (const download of this.#active) this.#ask(now, download);
    return nowhere.length > 0;
  }

  #ask(now: number, download: Download): void {
    if (download.isComplete) return;
    const source = download.sourceFor(now, this.#linked);
    if (source === null || this.#blocked.has(source)) return;
    for (;;) {
      const want = download.next(now, this.#request + 1);
      if (want === null) return;
      this.#request++;
      this.#effects.push({ type: "send", to: source, want });
    }
  }

  #took(now: number, download: Download, piece: Piece): void {
    download.took(now, piece);
    const { bytes } = download;
    if (download.isComplete && bytes !== null) this.#effects.push({ type: "complete", item: download.item, bytes });
  }

  #take(items: readonly WantedItem[]): void {
    this.#wanted = items;
    this.#active = this.#active.filter((download) => items.some((wanted) => download.serves(wanted.item)));
    const keys = new Set(items.map(({ item }) => keyOf(item)));
    for (const key of this.#later.keys()) if (!keys.has(key)) this.#later.delete(key);
  }

  #downloadOf(request: number): Download | undefined {
    return this.#active.find((download) => download.hasAsked(request));
  }
}

const activeMax = 2;

const keyOf = ({ kind, group, number, generation }: Item): string => `${kind} ${group} ${number} ${generation}`;

function isSame(left: Item, right: Item): boolean {
  const { kind, group, number, generation } = left;
  return kind === right.kind && group === right.group && number === right.number && generation === right.generation;
}
