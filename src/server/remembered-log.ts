import { type Term, term as termOf } from "../base/ids.ts";
import { day } from "../base/units.ts";
import { type ReplicaId, replicaId } from "../consensus/replica.ts";
import type { GroupState } from "../rooms/group-state.ts";
import type { OpenedJournal } from "../storage/journal/open.ts";
import type { RememberedLog } from "../topology/engine.ts";
import { calendar } from "./calendar.ts";
import type { Ground } from "./ground.ts";
import type { LogClock } from "./log-clock.ts";

/** What the engine goes on from: as much of the log as is here, also what the state holds already. */
export function rememberedLog(
  { node, owner, joined = false }: Ground,
  state: GroupState,
  mine: ReturnType<OpenedJournal["groups"]["get"]>,
  logClock: LogClock,
): RememberedLog {
  const all = mine?.entries ?? [];
  const committed = state.appliedIndex;
  const { configuration } = state;
  const first = all[0];
  // Of older entries the first one's term is known, so the log begins behind it; unless who belongs to the group there is
  // known to nobody any more.
  const isOlder = first !== undefined && first.index <= committed && (configuration?.index ?? 0) <= first.index;
  const base = isOlder ? first : { index: committed, term: state.appliedTerm };
  const entries = all.filter(({ index }) => index > base.index);
  const last = entries.at(-1);
  const vote = mine?.vote ?? null;
  const term = Math.max(state.appliedTerm, vote?.term ?? 0, last?.term ?? 0) as Term;
  const ts = logClock.stamp();
  const firstDay = state.lastDay > 0 ? state.lastDay : day(calendar(state.timeZone).dayOf(ts));
  return {
    term,
    votedFor: vote?.term === term ? votedFor(vote.votedFor, replicaId(node, owner.incarnation)) : null,
    baseIndex: base.index,
    baseTerm: termOf(base.term),
    entries,
    committed,
    configuration,
    isJoiner: joined,
    ts,
    day: last?.day ?? firstDay,
    damaged: [],
  };
}

/** A server that was alone wrote its bare name. */
function votedFor(written: string, self: ReplicaId): ReplicaId | null {
  if (written === "") return null;
  return written.includes("#") ? (written as ReplicaId) : self;
}
