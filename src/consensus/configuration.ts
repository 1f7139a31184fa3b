import { assert } from "../base/assert.ts";
import { FieldReader, FieldWriter } from "../base/field-bytes.ts";
import { putReplica, replicaBytesMax, type ReplicaId, replicaIn } from "./replica.ts";

/**
 * Who belongs to a group. While voters change by more than one at once the configuration is joint: `outgoing` are the
 * voters of before, and what is decided needs a majority of both (Raft thesis 4.3).
 *
 * 1. a replica is voter or learner, not both; a voter of before that becomes a learner waits in `learnersNext`
 * 2. `outgoing` and `learnersNext` are empty unless the configuration is joint; `autoLeave` only then
 * 3. every list is sorted and names nobody twice, so equal configurations have equal bytes
 */
export interface Configuration {
  readonly voters: readonly ReplicaId[];
  readonly outgoing: readonly ReplicaId[];
  readonly learners: readonly ReplicaId[];
  readonly learnersNext: readonly ReplicaId[];
  /** The leader leaves the joint configuration by itself as soon as it is committed. */
  readonly autoLeave: boolean;
}

/** Replicas of one group, all kinds together. What is more is a mistake of whoever asks. */
export const membersMax = 31;

/** Nobody: what a server knows before it was told or has received a log. */
export const nobody: Configuration = { voters: [], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

/** A configuration of voters, as a founder begins. */
export function configurationOf(voters: readonly ReplicaId[], learners: readonly ReplicaId[] = []): Configuration {
  return checked({ ...nobody, voters: [...voters].sort(byText), learners: [...learners].sort(byText) });
}

export function isJoint(configuration: Configuration): boolean {
  return configuration.outgoing.length > 0;
}

/** Whether its vote counts, in either half. */
export function isVoter(configuration: Configuration, replica: ReplicaId): boolean {
  return configuration.voters.includes(replica) || configuration.outgoing.includes(replica);
}

export function isMember(configuration: Configuration, replica: ReplicaId): boolean {
  return isVoter(configuration, replica) || configuration.learners.includes(replica);
}

/** Everybody who gets the log, sorted, each once. */
export function membersOf(configuration: Configuration): ReplicaId[] {
  const { voters, outgoing, learners, learnersNext } = configuration;
  return [...new Set([...voters, ...outgoing, ...learners, ...learnersNext])].sort(byText);
}

export function byText(left: ReplicaId, right: ReplicaId): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** Asserts the invariants and answers the same object. */
export function checked(configuration: Configuration): Configuration {
  const flaw = flawOf(configuration);
  assert(flaw === null, flaw ?? "");
  return configuration;
}

function flawOf(configuration: Configuration): string | null {
  const { voters, outgoing, learners, learnersNext, autoLeave } = configuration;
  for (const list of [voters, outgoing, learners, learnersNext]) {
    for (let at = 1; at < list.length; at++) if (list[at - 1]! >= list[at]!) return "a list of replicas is not sorted";
  }
  if (membersOf(configuration).length > membersMax) return "too many replicas in one group";
  if (learners.some((learner) => isVoter(configuration, learner))) return "a voter can't be a learner too";
  if (!learnersNext.every((learner) => outgoing.includes(learner) && !voters.includes(learner))) {
    return "only a voter of before waits to become a learner";
  }
  if (outgoing.length === 0 && (learnersNext.length > 0 || autoLeave)) return "only a joint configuration can be left";
  return null;
}

const format = 1;

/** No configuration takes more: the format, autoLeave, four counts, and each member in two lists at most. */
export const configurationBytesMax = 6 + 2 * membersMax * (1 + replicaBytesMax);

/**
 * The payload of a configuration entry: `u8 format, u8 autoLeave`, then voters, outgoing, learners, learnersNext, each
 * `u8 count` and as many times `u8 length, ASCII`.
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, outgoing, learners, learnersNext, autoLeave } = checked(configuration);
  const out = new FieldWriter(configurationBytesMax);
  out.u8(format);
  out.flag(autoLeave);
  for (const list of [voters, outgoing, learners, learnersNext]) {
    out.u8(list.length);
    for (const replica of list) putReplica(out, replica);
  }
  return out.done().slice();
}

/** Null when the bytes are of an unknown format or not well formed: whoever reads them has to stop there. */
export function decodeConfiguration(bytes: Uint8Array): Configuration | null {
  const input = new FieldReader(bytes);
  if (input.u8() !== format) return null;
  const autoLeave = input.flag();
  const list = (): ReplicaId[] => {
    const count = input.u8();
    if (count > membersMax) input.fail();
    return Array.from({ length: input.failed ? 0 : count }, () => replicaIn(input));
  };
  const configuration = { voters: list(), outgoing: list(), learners: list(), learnersNext: list(), autoLeave };
  return input.isWhole && flawOf(configuration) === null ? configuration : null;
}
