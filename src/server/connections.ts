import type { Fault } from "../base/error-codes.ts";
import type { UserName } from "../base/ids.ts";
import { type Random, randomHex } from "../base/random.ts";
import type { Millis } from "../base/units.ts";
import type { ServerFrame } from "../protocol/schema.ts";
import { Admission } from "./admission.ts";
import type { ClientLink, ClientSession } from "./client-link.ts";
import type { Server } from "./server.ts";
import type { ServerSettings } from "./server-settings.ts";
import { Session } from "./session.ts";
import type { Identity } from "./session-host.ts";

/**
 * The clients that are connected, or would be: whom the server takes, who they prove to be, what they are greeted with, and
 * when they are gone.
 */
export class Connections {
  readonly #server: Server;
  readonly #settings: ServerSettings;
  readonly #random: Random;
  readonly #admission: Admission;
  readonly #sessions = new Set<Session>();

  constructor(server: Server, settings: ServerSettings, random: Random) {
    this.#server = server;
    this.#settings = settings;
    this.#random = random;
    this.#admission = new Admission(server.limits);
  }

  /** In the order in which they came. */
  get all(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** How many were refused since the start. */
  get rejected(): number {
    return this.#admission.rejected;
  }

  /** Takes a new connection, or answers the Fault with which the door refuses it before anything is kept. */
  connect(link: ClientLink): ClientSession | Fault {
    const { address } = link;
    const { isStopping, clock } = this.#server;
    const now = clock.now();
    const refused = this.#admission.admit({ address, connections: this.#sessions.size, isStopping, now });
    if (refused !== null) return refused;
    const session = new Session(this.#server, link, randomHex(this.#random, 8));
    this.#sessions.add(session);
    return session;
  }

  authenticate(claim: { user: UserName; token: string | null; link: ClientLink }): Promise<Identity> {
    return this.identify({ user: claim.user, token: claim.token, address: claim.link.address });
  }

  /** Tells who somebody is; for doors whose requests stand alone. Rejects with `unauthorized`, or `rate_limited`. */
  async identify(claim: { user: UserName | null; token: string | null; address: string }): Promise<Identity> {
    const now = (): Millis => this.#server.clock.now();
    return this.#admission.identify(claim.address, now, () => this.#settings.authenticate(claim));
  }

  /** What a client is greeted with. */
  welcome(session: Session): ServerFrame {
    const { state, node, topology, limits, clientAddresses } = this.#server;
    const { bodyBytesMax, frameBytesMax, heartbeatMs, histItemsMax, subsMax, sendsInFlightMax } = limits;
    const { roomsMax } = state.bounds;
    return {
      t: "welcome",
      v: 1,
      user: session.user,
      session: session.id,
      node,
      cluster: state.cluster,
      topology,
      heartbeatMs,
      servers: clientAddresses?.all ?? this.#settings.advertise,
      limits: { bodyBytesMax, frameBytesMax, histItemsMax, subsMax, roomsMax, sendsInFlightMax },
    };
  }

  /** It was greeted: from here on it is told what concerns its user, and first what was not read yet. */
  opened(session: Session): void {
    const { online, requests } = this.#server;
    this.#admission.greeted(session.link.address);
    online.add(session);
    for (const room of requests.memberships.roomsOf(session.user)) {
      // One that the user is yet to be told of comes when that is in order.
      if (room.unread === 0 || !online.knowsDirectRoom(session.user, room.room)) continue;
      const { line, first, head, read } = room;
      session.answer({ t: "room", room: room.room, line, first, head, read });
    }
  }

  ended(session: Session, wasOpen: boolean): void {
    const { online, presence } = this.#server;
    this.#sessions.delete(session);
    if (wasOpen) online.remove(session);
    else this.#admission.greeted(session.link.address);
    presence.ended(session);
  }
}
