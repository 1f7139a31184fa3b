import type { JSX } from "preact";
import type { ClusterModel, Feed } from "../cluster-model.ts";
import type { Role, Standing } from "../moments.ts";
import type { Texts } from "../texts.ts";
import type { ToldServer } from "../told.ts";
import { Spark } from "./spark.tsx";

/** One server: what it is doing, how far its log is, how fast its disk; and in the demonstration, what breaks it. */
export function ServerCard(props: {
  readonly model: ClusterModel;
  readonly feed: Feed;
  readonly texts: Texts;
  readonly name: string;
  readonly standing: Standing;
  /** The newest entry that any server has. */
  readonly newest: number;
}): JSX.Element {
  const { model, feed, texts, name, standing, newest } = props;
  const { role } = standing;
  const process = model.processes.get(name) ?? null;
  const isAway = role === "down" || role === "paused";
  const status = model.statusOf(name);
  const seen = seenOf(model, name);
  // A new leader knows nothing of those it has not heard yet.
  const matched = seen === null || seen.matched === 0 ? null : seen.matched;
  const index = status?.lastIndex ?? matched;
  const lag = lagOf({ seen, isAway, index, newest });
  return (
    <article class={`card ${role}`} data-server={name} data-role={role}>
      <header>
        <h2>{name}</h2>
        <span class="badge">{badge(texts, role, process?.state === "starting" && role !== "leader", seen)}</span>
        {standing.term > 0 && <span class="soft">{texts.term(standing.term)}</span>}
        <span class="gap" />
        {process !== null && process.pid !== null && <small class="soft">{texts.processOf(process.pid)}</small>}
      </header>
      <dl>
        <dt>{texts.log}</dt>
        <dd>
          {index === null ? "–" : index.toLocaleString()}
          <progress max={1} value={index === null || newest === 0 ? 0 : Math.min(1, bar(newest, lag))} />
          <small class={lag !== null && lag > 0 ? "warn" : "soft"} title={texts.behind}>
            {lag === null ? "" : texts.lag(lag)}
          </small>
        </dd>
        {status !== null && (
          <>
            <dt title={texts.flushHint}>{texts.flush}</dt>
            <dd title={texts.flushHint}>
              {status.pace.flushMs === null || isAway ? (
                <span class="soft">{texts.noFlush}</span>
              ) : (
                <>
                  <span class={status.pace.flushMs.p50 > 100 ? "warn" : ""}>{ms(status.pace.flushMs.p50)}</span>
                  <small class="soft">p99 {ms(status.pace.flushMs.p99)}</small>
                </>
              )}
            </dd>
            <dt>{texts.pace}</dt>
            <dd title={texts.throughput}>
              {isAway ? "–" : rate(status.pace.messagesPerSecond)}
              <small class="soft">{texts.perSecond}</small>
              <Spark values={model.paces(name, 60)} />
              <small class="soft">
                {texts.delivered} {isAway ? "–" : rate(status.pace.deliveriesPerSecond)}
                {texts.perSecond}
              </small>
            </dd>
          </>
        )}
        {status === null && seen !== null && (
          <>
            <dt>{texts.backlog}</dt>
            <dd>
              {seen.backlog.toLocaleString()} B{seen.diskIsStuck && <small class="warn">{texts.stuckDisk}</small>}
            </dd>
          </>
        )}
      </dl>
      {process !== null && feed.act !== null && <Handles name={name} process={process} texts={texts} act={feed.act} />}
    </article>
  );
}

function Handles(props: {
  readonly name: string;
  readonly process: { readonly state: string; readonly slowMs: number };
  readonly texts: Texts;
  readonly act: (act: object) => void;
}): JSX.Element {
  const { name, process, texts, act } = props;
  const isRunning = process.state !== "stopped";
  const isPaused = process.state === "paused";
  const isSlow = process.slowMs > 0;
  const handle = (what: string): void => act({ do: what, server: name });
  return (
    <footer>
      {isRunning ? (
        <button type="button" class="bad" title={texts.killHint} onClick={() => handle("kill")}>
          {texts.kill}
        </button>
      ) : (
        <button type="button" class="primary" onClick={() => handle("restart")}>
          {texts.restart}
        </button>
      )}
      <button
        type="button"
        disabled={!isRunning}
        aria-pressed={isPaused}
        title={texts.freezeHint}
        onClick={() => handle(isPaused ? "resume" : "pause")}
      >
        {isPaused ? texts.thaw : texts.freeze}
      </button>
      <button
        type="button"
        disabled={!isRunning}
        aria-pressed={isSlow}
        title={texts.slowHint}
        onClick={() => handle(isSlow ? "quicken" : "slow")}
      >
        {isSlow ? texts.quicken : texts.slow}
      </button>
    </footer>
  );
}

/** What the servers that are listened to say of this one: the leader first, who knows most. */
function seenOf(model: ClusterModel, name: string): ToldServer | null {
  const told = model.servers.flatMap((server) => model.statusOf(server) ?? []);
  told.sort((one, other) => Number(other.leader === other.node) - Number(one.leader === one.node));
  for (const { servers } of told) {
    const seen = servers.find(({ node }) => node === name);
    if (seen !== undefined) return seen;
  }
  return null;
}

function badge(texts: Texts, role: Role, isStarting: boolean, seen: ToldServer | null): string {
  if (isStarting) return texts.starting;
  return role === "follower" && seen?.role === "learner" ? texts.learner : texts.roles[role];
}

/**
 * What the leader says of those it hears: words of several servers are of different moments. Of one that it does not hear:
 * how far the others have come since its last word.
 */
function lagOf(known: {
  readonly seen: ToldServer | null;
  readonly isAway: boolean;
  readonly index: number | null;
  readonly newest: number;
}): number | null {
  const { seen, isAway, index, newest } = known;
  if (seen?.isLeader === true && !isAway) return 0;
  const isHeard = seen !== null && seen.lagEntries !== null && seen.matched !== 0;
  if (isHeard && !isAway) return seen.lagEntries;
  return index === null ? null : Math.max(0, newest - index);
}

/** A log that lacks a hundred entries is half as long as one that lacks none: what counts is how far it is behind. */
const bar = (newest: number, lag: number | null): number => (newest === 0 ? 0 : 1 / (1 + (lag ?? newest) / 100));

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const rate = (value: number): string => (value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString());
