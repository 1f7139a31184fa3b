import type { JSX } from "preact";
import { useEffect, useReducer, useState } from "preact/hooks";
import type { ClusterModel, Feed } from "../cluster-model.ts";
import type { Standing } from "../moments.ts";
import type { Language, Texts } from "../texts.ts";
import { Books } from "./books.tsx";
import { Links } from "./links.tsx";
import { ServerCard } from "./server-card.tsx";
import { TalkPane } from "./talk-pane.tsx";
import { TimelinePane } from "./timeline-pane.tsx";
import { TracePane } from "./trace-pane.tsx";

/** The lanes move, also while nothing happens. */
const drawEveryMs = 200;

export function App(props: {
  readonly model: ClusterModel;
  readonly feed: Feed;
  readonly texts: Texts;
  readonly language: Language;
  readonly onLanguage: () => void;
}): JSX.Element {
  const { model, feed, texts, language, onLanguage } = props;
  useModel(model);
  const [traced, setTraced] = useState<string | null>(null);
  const standings = model.standings();
  const newest = Math.max(0, ...model.servers.map((name) => model.statusOf(name)?.lastIndex ?? 0));
  const { act, enter } = feed;
  return (
    <div class="page">
      <header class="top">
        <strong class="brand">synod</strong>
        <h1>{act === null ? texts.title : texts.demoTitle}</h1>
        <Leader standings={standings} texts={texts} />
        <span class="gap" />
        <button type="button" class="quiet" aria-label={texts.languageLabel} onClick={onLanguage}>
          {texts.language}
        </button>
      </header>
      {model.link === "refused" && enter !== null && <TokenForm texts={texts} onEnter={enter} />}
      {model.link === "broken" && (
        <p class="banner" role="status">
          {act === null ? texts.broken : texts.demoEnded}
        </p>
      )}
      {model.books !== null && <Books books={model.books} texts={texts} />}
      <main>
        <div class="cards">
          {model.servers.map((name) => (
            <ServerCard
              key={name}
              model={model}
              feed={feed}
              texts={texts}
              name={name}
              newest={newest}
              standing={standings.get(name) ?? { role: "unknown", term: 0 }}
            />
          ))}
        </div>
        {act !== null && <Links model={model} texts={texts} act={act} />}
        <div class="columns">
          <TimelinePane model={model} texts={texts} language={language} />
          <div class="side">
            <TracePane feed={feed} texts={texts} cid={traced} onTrace={setTraced} />
            {act !== null && <TalkPane model={model} texts={texts} traced={traced} onTrace={setTraced} />}
          </div>
        </div>
      </main>
    </div>
  );
}

function Leader(props: { readonly standings: ReadonlyMap<string, Standing>; readonly texts: Texts }): JSX.Element {
  const { standings, texts } = props;
  const leaders = [...standings].filter(([, { role }]) => role === "leader");
  // One that does not know yet that it was replaced has an older term.
  leaders.sort(([, one], [, other]) => other.term - one.term);
  const [newest] = leaders;
  return (
    <span class={newest === undefined ? "leader warn" : "leader"} data-leader={newest?.[0] ?? ""}>
      {newest === undefined ? texts.nobodyLeads : texts.leads(newest[0], newest[1].term)}
    </span>
  );
}

function TokenForm(props: { readonly texts: Texts; readonly onEnter: (token: string) => void }): JSX.Element {
  const { texts, onEnter } = props;
  const [token, setToken] = useState("");
  const submit = (event: Event): void => {
    event.preventDefault();
    if (token !== "") onEnter(token);
  };
  return (
    <form class="banner" onSubmit={submit}>
      <label>
        {texts.tokenHelp}
        <input
          type="password"
          name="token"
          autocomplete="off"
          value={token}
          onInput={({ currentTarget }) => setToken(currentTarget.value)}
        />
      </label>
      <button type="submit">{texts.enter}</button>
    </form>
  );
}

/** Draws again after changes, at most once a frame, and while the lanes move. */
function useModel(model: ClusterModel): void {
  const [, draw] = useReducer((count: number, _: null) => count + 1, 0);
  useEffect(() => {
    let asked = false;
    const drawSoon = (): void => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        draw(null);
      });
    };
    const stop = model.subscribe(drawSoon);
    const timer = setInterval(() => {
      if (!model.isStopped) drawSoon();
    }, drawEveryMs);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [model]);
}
