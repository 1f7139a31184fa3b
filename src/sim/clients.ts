import type { RoomName } from "../base/ids.ts";
import { DirectReader } from "./direct-reader.ts";
import type { SimHost } from "./host.ts";
import type { Network } from "./network.ts";
import type { Oracle } from "./oracle.ts";
import type { RunMarks } from "./run-marks.ts";
import type { Scenario } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import { type Person, SdkClient } from "./sdk-client.ts";
import { serverPort } from "./sim-server.ts";

export interface ClientSlot {
  readonly host: SimHost;
  readonly client: SdkClient;
  readonly direct: DirectReader;
}

export interface ClientsOptions {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly scenario: Scenario;
  readonly oracle: Oracle;
  readonly marks: RunMarks;
  /** Called before anything that speaks of what a room keeps is passed on. */
  readonly beforeNews: () => void;
}

/** The clients of a run, each the shipped SDK on a host of its own, and what they read without asking for it. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #people: ReadonlyMap<string, Person>;
  readonly #slots: ClientSlot[] = [];

  constructor(options: ClientsOptions) {
    this.#options = options;
    const { users } = options.scenario.workload;
    this.#people = new Map(users.map((user) => [user, { user, sent: new Set<string>(), marked: new Map() }]));
    if (this.#people.size < users.length) options.marks.count("two devices of one user");
  }

  /** Everybody, each once, however many devices they have. */
  get users(): Iterable<string> {
    return this.#people.keys();
  }

  get count(): number {
    return this.#slots.length;
  }

  at(index: number): ClientSlot {
    return this.#slots[index]!;
  }

  /** Makes all of them, and rooms before anybody talks there. Call once. */
  start(): void {
    const { scheduler, scenario } = this.#options;
    const { users, rooms } = scenario.workload;
    for (const index of users.keys()) this.#slots.push(this.#made(index, scheduler.host(`client${index}`)));
    for (const room of rooms as readonly RoomName[]) {
      if (!room.startsWith("@")) this.#slots[0]!.client.join(room).catch(() => undefined);
    }
  }

  /** Its process is gone, and begins anew with nothing in its hands; `told` is called in between. */
  crash(index: number, told: () => void): void {
    const { host, direct } = this.#slots[index]!;
    host.crash("killed");
    told();
    direct.end({ complete: false });
    host.start();
    this.#slots[index] = this.#made(index, host);
    this.#options.marks.count("client crashed");
  }

  reconnect(): void {
    for (const { client } of this.#slots) client.reconnect();
  }

  /** Direct rooms of which a client has not been given everything without asking for it. */
  owedDirectly(): string[] {
    const { rooms } = this.#options.scenario.workload;
    return this.#slots.flatMap(({ client, direct }, index) =>
      rooms
        .filter((room) => room.startsWith("@") && room.slice(1).split(",").includes(client.user))
        .filter((room) => !direct.hasAll(room))
        .map((room) => `client ${index} lacks direct messages of ${room}`),
    );
  }

  /** `complete`: each was given everything that is owed to it. */
  endDirect(options: { readonly complete: boolean }): void {
    for (const { direct } of this.#slots) direct.end(options);
  }

  kill(): void {
    for (const { host } of this.#slots) host.crash("killed");
  }

  #made(index: number, host: SimHost): ClientSlot {
    const { network, scenario, oracle, marks, beforeNews } = this.#options;
    const { workload, operatorPlan, random, servers } = scenario;
    const person = this.#people.get(workload.users[index]!)!;
    const client = new SdkClient({
      person,
      host,
      network,
      servers: servers.map((name) => ({ host: name, port: serverPort })),
      random: random.clients,
      isBinary: random.clients.whole(2) === 0,
      privateRooms: operatorPlan.privateRooms,
      marks,
      // Several servers ask one another before they answer this.
      askHeadMs: servers.length === 1 ? 500 : 2_000,
      beforeNews,
    });
    const direct = new DirectReader({
      chat: client.chat,
      name: `client ${index}.${host.life}`,
      oracle,
      marks,
      marked: person.marked,
    });
    return { host, client, direct };
  }
}
