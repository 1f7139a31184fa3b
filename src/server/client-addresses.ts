import type { Clock } from "../base/clock.ts";
import { entryTypes } from "../base/entry.ts";
import type { NodeName } from "../base/ids.ts";
import { nodeOf } from "../consensus/replica.ts";
import type { GroupState } from "../rooms/group-state.ts";
import { decodeSettings, encodeSettings, urlsThatFit } from "../rooms/setting.ts";
import type { GroupDriver } from "./group-driver.ts";
import type { Proposals } from "./proposals.ts";

/** What was asked for has so long to be committed before it is asked for again. */
const againMs = 2_000;
/** As many as a greeting has room for. */
const toldMax = 64;

/**
 * Where clients reach the servers of a cluster. Each says so of itself; whoever leads puts it into the log, when the log
 * says otherwise; so every server can name all of them to its clients, those that were added later, and those that are
 * away, too.
 */
export class ClientAddresses {
  readonly #node: NodeName;
  readonly #own: readonly string[];
  readonly #state: GroupState;
  readonly #driver: GroupDriver;
  readonly #proposals: Proposals;
  readonly #clock: Clock;
  readonly #tell: (leader: NodeName, setting: Uint8Array) => void;
  /** When what was asked for, by server. */
  readonly #asked = new Map<string, number>();

  constructor(options: {
    node: NodeName;
    /** Addresses of this server; none: clients use those they came by. */
    own: readonly string[];
    state: GroupState;
    driver: GroupDriver;
    proposals: Proposals;
    clock: Clock;
    /** Tells whoever leads elsewhere. May be lost. */
    tell: (leader: NodeName, setting: Uint8Array) => void;
  }) {
    this.#node = options.node;
    this.#own = urlsThatFit(options.node, options.own);
    this.#state = options.state;
    this.#driver = options.driver;
    this.#proposals = options.proposals;
    this.#clock = options.clock;
    this.#tell = options.tell;
  }

  /** Of all servers that belong to the group, this one's first. */
  get all(): readonly string[] {
    const members = new Set<string>(this.#driver.engine.members.map(({ replica }) => nodeOf(replica)));
    const others = [...this.#state.clientAddresses].filter(([node]) => node !== this.#node && members.has(node));
    return [...this.#own, ...others.flatMap(([, urls]) => urls)].slice(0, toldMax);
  }

  /** Sees to it that the log says of this server what is true. Called again and again. */
  look(): void {
    const { leader } = this.#driver.engine.standing;
    if (leader === null || this.#isKnown(this.#node, this.#own) || this.#wasAsked(this.#node)) return;
    this.#asks(this.#node);
    const setting = encodeSettings([{ kind: "clients", node: this.#node, urls: this.#own }]);
    if (leader === this.#node) this.#proposals.order(entryTypes.setting, setting);
    else this.#tell(leader, setting);
  }

  /** What another server says of itself. Only who leads does something about it, and only for members. */
  told(from: NodeName, bytes: Uint8Array): void {
    const [setting, ...more] = decodeSettings(bytes) ?? [];
    if (setting?.kind !== "clients" || setting.node !== from || more.length > 0 || !this.#driver.leads) return;
    const isMember = this.#driver.engine.members.some(({ replica }) => nodeOf(replica) === from);
    if (urlsThatFit(from, setting.urls).length < setting.urls.length) return;
    if (!isMember || this.#isKnown(from, setting.urls) || this.#wasAsked(from)) return;
    this.#asks(from);
    this.#proposals.order(entryTypes.setting, encodeSettings([setting]));
  }

  #isKnown(node: string, urls: readonly string[]): boolean {
    const known = this.#state.clientAddresses.get(node) ?? [];
    return known.length === urls.length && known.every((url, at) => url === urls[at]);
  }

  #wasAsked(node: string): boolean {
    const at = this.#asked.get(node);
    return at !== undefined && this.#clock.now() - at < againMs;
  }

  #asks(node: string): void {
    this.#asked.set(node, this.#clock.now());
  }
}
