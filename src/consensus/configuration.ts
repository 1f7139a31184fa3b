import { assert } from "../base/assert.ts";
import type { ReplicaId } from "./replica.ts";

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
  const { voters, outgoing, learners, learnersNext, autoLeave } = configuration;
  for (const list of [voters, outgoing, learners, learnersNext]) {
    for (let at = 1; at < list.length; at++) assert(list[at - 1]! < list[at]!, "a list of replicas is not sorted");
  }
  assert(membersOf(configuration).length <= membersMax, "too many replicas in one group");
  assert(!learners.some((learner) => isVoter(configuration, learner)), "a voter can't be a learner too");
  assert(
    learnersNext.every((learner) => outgoing.includes(learner) && !voters.includes(learner)),
    "only a voter of before waits to become a learner",
  );
  assert(outgoing.length > 0 || (learnersNext.length === 0 && !autoLeave), "only a joint configuration can be left");
  return configuration;
}

const format = 1;
const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * The payload of a configuration entry: `u8 format, u8 autoLeave`, then voters, outgoing, learners, learnersNext, each
 * `u8 count` and as many times `u8 length, UTF-8`.
 */
export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const { voters, outgoing, learners, learnersNext, autoLeave } = checked(configuration);
  const bytes: number[] = [format, autoLeave ? 1 : 0];
  for (const list of [voters, outgoing, learners, learnersNext]) {
    bytes.push(list.length);
    for (const replica of list) {
      const name = utf8.encode(replica);
      assert(name.length <= 255, `the name of a replica is too long: ${replica}`);
      bytes.push(name.length, ...name);
    }
  }
  return Uint8Array.from(bytes);
}

/** Null when the bytes are of an unknown format or not well formed: whoever reads them has to stop there. */
export function decodeConfiguration(bytes: Uint8Array): Configuration | null {
  if (bytes[0] !== format || bytes.length < 6) return null;
  const lists: ReplicaId[][] = [];
  let at = 2;
  for (let list = 0; list < 4; list++) {
    const count = bytes[at++];
    if (count === undefined || count > membersMax) return null;
    const names: ReplicaId[] = [];
    for (let i = 0; i < count; i++) {
      const length = bytes[at++];
      if (length === undefined || at + length > bytes.length) return null;
      names.push(fromUtf8.decode(bytes.subarray(at, at + length)) as ReplicaId);
      at += length;
    }
    lists.push(names);
  }
  if (at !== bytes.length) return null;
  const [voters, outgoing, learners, learnersNext] = lists;
  return checked({
    voters: voters!,
    outgoing: outgoing!,
    learners: learners!,
    learnersNext: learnersNext!,
    autoLeave: bytes[1] === 1,
  });
}
