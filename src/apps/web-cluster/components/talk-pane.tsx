import type { JSX } from "preact";
import type { ClusterModel } from "../cluster-model.ts";
import type { Texts } from "../texts.ts";

/** What the two people say, as one of them is given it. */
export function TalkPane(props: {
  readonly model: ClusterModel;
  readonly texts: Texts;
  readonly traced: string | null;
  readonly onTrace: (cid: string) => void;
}): JSX.Element {
  const { model, texts, traced, onTrace } = props;
  return (
    <section class="pane talk" aria-label={texts.talk}>
      <header>
        <h2>{texts.talk}</h2>
        <span class="gap" />
        {[...model.people].map(([person, server]) => (
          <small key={person} class={server === null ? "warn" : "soft"}>
            {person} {server === null ? texts.noServer : texts.via(server)}
          </small>
        ))}
      </header>
      <p class="soft">
        <small>{texts.talkHint}</small>
      </p>
      <ol>
        {model.lines.toReversed().map(({ seq, from, cid, body }) => (
          <li key={seq} class={cid === traced ? "current" : ""}>
            <button type="button" data-cid={cid} onClick={() => onTrace(cid)}>
              <small class="soft">{seq}</small>
              <b class={from}>{from}</b>
              <span>{body}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
