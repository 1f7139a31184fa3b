import { AssertionFailure } from "../../base/assert.ts";
import type { Mark } from "../../base/ids.ts";
import type { Journal, JournalStats } from "./journal.ts";

/** What a damaged journal is until the loss is accepted: everything that would write stops the program. */
export class UnusableJournal implements Journal {
  readonly flushed = 0 as Mark;
  readonly appended = 0 as Mark;
  readonly busy = false;
  readonly stagedBytes = 0;

  appendEntry(): never {
    throw refusal();
  }

  appendVote(): never {
    throw refusal();
  }

  flushNow(): never {
    throw refusal();
  }

  release(): never {
    throw refusal();
  }

  keepReleased(): never {
    throw refusal();
  }

  useReserve(): never {
    throw refusal();
  }

  baseOf(): never {
    throw refusal();
  }

  read(): never {
    throw refusal();
  }

  chainAt(): null {
    return null;
  }

  stats(): JournalStats {
    return {
      segments: 0,
      spareSegments: 0,
      bytes: 0,
      batches: 0,
      bytesWritten: 0,
      marks: 0,
      rolls: 0,
      stagedBytes: 0,
      waitsForSpace: false,
      backgroundFault: null,
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function refusal(): AssertionFailure {
  return new AssertionFailure("the journal is damaged and the loss was not accepted");
}
