import type { NodeName } from "../../src/base/ids.ts";
import { millis } from "../../src/base/units.ts";
import { defaultLinkLimits, type LinkLimits } from "../../src/transport/link-limits.ts";
import type { LivenessEvent } from "../../src/transport/liveness/liveness.ts";
import { defaultLivenessTiming } from "../../src/transport/liveness/liveness-timing.ts";
import type { SendOutcome, SentFrame } from "../../src/transport/link-events.ts";
import type { PeerAddress } from "../../src/transport/peer-stream.ts";
import { type LinkNews, PeerTransport } from "../../src/transport/peer-transport.ts";
import { cluster, incarnationOf, named } from "./link-town.ts";
import type { PeerHost, PeerWorld } from "./peer-world.ts";

/** A transport with an owner that keeps what it is told. */
export class TransportServer {
  readonly name: NodeName;
  readonly host: PeerHost;
  readonly address: PeerAddress;
  readonly transport: PeerTransport;
  readonly news: LinkNews[] = [];
  readonly life: LivenessEvent[] = [];
  /** What the next heartbeats carry. */
  vouched = new Uint8Array(0);
  syncAgeMs = millis(0);

  private constructor(name: NodeName, host: PeerHost, address: PeerAddress, limits: LinkLimits) {
    this.name = name;
    this.host = host;
    this.address = address;
    this.transport = new PeerTransport({
      name,
      incarnation: incarnationOf(name),
      cluster,
      clock: host.clock,
      random: host.random,
      dialler: host.dialler,
      limits,
      timing: defaultLivenessTiming,
      owner: {
        link: (news) => this.news.push(news.type === "frame" ? { ...news, payload: news.payload.slice() } : news),
        liveness: (event) => this.life.push(event),
        syncAgeMs: () => this.syncAgeMs,
        vouched: () => this.vouched,
      },
    });
  }

  static start(world: PeerWorld, name: string): Promise<TransportServer> {
    return TransportServer.startOn(world.host(name), name);
  }

  static async startOn(host: PeerHost, name: string, limits: Partial<LinkLimits> = {}): Promise<TransportServer> {
    let server: TransportServer | null = null;
    const address = await host.listen((stream) => server?.transport.accept(stream));
    server = new TransportServer(named(name), host, address, { ...defaultLinkLimits, ...limits });
    return server;
  }

  know(...others: TransportServer[]): void {
    for (const other of others) this.transport.addPeer(other.name, other.address);
  }

  send(to: TransportServer, frame: Partial<SentFrame>): SendOutcome {
    const whole = { lane: "append", kind: 1, payload: new Uint8Array(0), tag: 0, subject: null, ...frame } as const;
    return this.transport.send(to.name, whole);
  }

  frames(lane: SentFrame["lane"]): Extract<LinkNews, { type: "frame" }>[] {
    return this.news.filter((one) => one.type === "frame" && one.lane === lane) as Extract<
      LinkNews,
      { type: "frame" }
    >[];
  }

  /** What was told of lives, heartbeats apart, since it was asked last. */
  told(): string[] {
    return this.life
      .splice(0)
      .filter(({ type }) => type !== "heartbeat")
      .map((event) => ("peer" in event ? `${event.peer} ${event.type}` : event.type));
  }

  hasTold(line: string): boolean {
    return this.life.some((event) => ("peer" in event ? `${event.peer} ${event.type}` : event.type) === line);
  }
}

/** Servers that know each other and have their links. */
export async function linkedServers(world: PeerWorld, names: readonly string[]): Promise<TransportServer[]> {
  const servers: TransportServer[] = [];
  for (const name of names) servers.push(await TransportServer.start(world, name));
  for (const server of servers) server.know(...servers.filter((other) => other !== server));
  await world.until(() =>
    servers.every((server) =>
      servers.every(
        (other) => other === server || (server.transport.isLinked(other.name) && server.hasTold(`${other.name} alive`)),
      ),
    ),
  );
  return servers;
}
