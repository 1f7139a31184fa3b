import { entryTypes } from "../base/entry.ts";
import type { ErrorCode } from "../base/error-codes.ts";
import type { LogIndex, NodeName, Term } from "../base/ids.ts";
import { areCommands } from "../rooms/commands.ts";
import { TakenStreams } from "./forwarded-batches.ts";
import type { BatchNumber } from "./peer-frames.ts";
import { faultOfRefusal } from "./refusal-fault.ts";
import type { StampedEntries } from "./stamped-entries.ts";

/** What becomes of a batch goes back to the server that sent it. */
export interface TakenBatchAnswers {
  /** It is the entry `index` of `term`, which another may still replace. */
  accepted(to: NodeName, batch: BatchNumber, index: LogIndex, term: Term): void;
  /** Neither it nor any behind it in the stream are in the log. */
  refused(to: NodeName, batch: BatchNumber, code: ErrorCode): void;
}

/** The leader's end of batches that other servers have gathered: each becomes an entry in its turn, or is refused. */
export class TakenBatches {
  readonly #entries: StampedEntries;
  readonly #answers: TakenBatchAnswers;
  readonly #streams = new TakenStreams();

  constructor(entries: StampedEntries, answers: TakenBatchAnswers) {
    this.#entries = entries;
    this.#answers = answers;
  }

  /** The commands of another server, which takes this one for the leader. They are copied. */
  take(from: NodeName, batch: BatchNumber, commands: Uint8Array, refusal: ErrorCode | null): void {
    const isWhole = commands.length > 0 && areCommands(commands, 0, commands.length);
    const why = refusal ?? (isWhole ? null : "bad_request");
    if (!this.#streams.isNext(from, batch)) this.#refuse(from, batch, "no_quorum");
    else if (why !== null) this.#refuse(from, batch, why);
    else {
      this.#entries.propose(entryTypes.commands, commands.slice(), {
        batch: null,
        appended: (index, term) => this.#answers.accepted(from, batch, index, term),
        refused: (reason) => this.#refuse(from, batch, faultOfRefusal(reason).code),
      });
    }
  }

  /** What was on its way to this server is lost: streams begin anew. */
  linkLost(peer: NodeName): void {
    this.#streams.forget(peer);
  }

  #refuse(from: NodeName, batch: BatchNumber, code: ErrorCode): void {
    this.#streams.refused(from, batch);
    this.#answers.refused(from, batch, code);
  }
}
