import type { Oracle } from "./oracle.ts";
import type { SimClient, SubscriptionSink } from "./sim-client.ts";
import type { SubscriptionId } from "./subscriptions.ts";

interface CatchUp {
  readonly id: SubscriptionId;
  readonly room: string;
  readonly end: () => void;
  position: number;
  /** The last head that was called caught up; -1 before the first. */
  caughtUp: number;
}

/**
 * What is owed to readers in the end: subscriptions from the very beginning, each of which has to be called complete and
 * to reach what was acknowledged.
 */
export class CatchUps {
  readonly #oracle: Oracle;
  #all: CatchUp[] = [];

  constructor(oracle: Oracle) {
    this.#oracle = oracle;
  }

  /** Begins one, that the oracle knows as `id`; everything it is given goes to `sink`. */
  begin(reader: {
    readonly id: SubscriptionId;
    readonly room: string;
    readonly client: SimClient;
    readonly sink: SubscriptionSink;
  }): void {
    const { id, room, client, sink } = reader;
    const catchUp: CatchUp = { id, room, position: 0, caughtUp: -1, end: () => subscription.end() };
    const subscription = client.subscribe(
      { room, after: 0 },
      {
        ...sink,
        message: (message) => {
          catchUp.position = Math.max(catchUp.position, message.seq);
          sink.message(message);
        },
        gap: (gap) => {
          catchUp.position = Math.max(catchUp.position, gap.to);
          sink.gap(gap);
        },
        caughtUp: (seq) => {
          catchUp.caughtUp = Math.max(catchUp.caughtUp, seq);
          sink.caughtUp(seq);
        },
      },
    );
    this.#all.push(catchUp);
  }

  /** Whether there are any, and all have what is owed to them. */
  get areDone(): boolean {
    return this.#all.length > 0 && this.#all.every((one) => this.#isDone(one));
  }

  /** Those that have not, for people. */
  unfinished(): string[] {
    return this.#all
      .filter((one) => !this.#isDone(one))
      .map(
        ({ room, position, caughtUp, id }) =>
          `reader ${String(id)} of ${room} is at ${position} of ${this.#oracle.acknowledgedFloor(room)} (caught up at ${caughtUp})`,
      );
  }

  /** Tells the oracle that they are over, whether or not they reached the end, and ends them. */
  end(): void {
    for (const { id, end } of this.#all) {
      end();
      this.#oracle.finishedReading(id);
    }
    this.#all = [];
  }

  #isDone({ room, position, caughtUp }: CatchUp): boolean {
    return caughtUp >= 0 && position >= Math.max(caughtUp, this.#oracle.acknowledgedFloor(room));
  }
}
