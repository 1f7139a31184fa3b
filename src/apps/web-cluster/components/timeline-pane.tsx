import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ClusterModel } from "../cluster-model.ts";
import { plainText, sentenceOf } from "../moment-text.ts";
import type { Moment } from "../moments.ts";
import type { Language, Texts } from "../texts.ts";

const windowMs = 30_000;
/** Of the drawing; it is stretched to the width there is. */
const width = 1_000;
/** Moments that are listed around the one that is looked at. */
const listed = 60;
/** Stretches wide enough for the number of their term. */
const labelledMin = 40;

/** Who led when, what happened, and the time that is looked at: now, or any moment that it is stopped at. */
export function TimelinePane(props: {
  readonly model: ClusterModel;
  readonly texts: Texts;
  readonly language: Language;
}): JSX.Element {
  const { model, texts, language } = props;
  const { stoppedAt, isStopped } = model;
  return (
    <section class="pane timeline" aria-label={texts.timeline}>
      <header>
        <h2>{texts.timeline}</h2>
        <span class={isStopped ? "warn" : "soft"} data-view={isStopped ? "stopped" : "live"}>
          {isStopped && stoppedAt !== null ? texts.stoppedAt(timeText(stoppedAt.at, language)) : texts.live}
        </span>
        <span class="gap" />
        <button type="button" aria-label={texts.back} title={texts.back} onClick={() => model.step(-1)}>
          ◀
        </button>
        <button
          type="button"
          class={isStopped ? "primary" : ""}
          aria-pressed={isStopped}
          onClick={() => (isStopped ? model.goOn() : model.stop())}
        >
          {isStopped ? texts.goOn : texts.stop}
        </button>
        <button
          type="button"
          disabled={!isStopped}
          aria-label={texts.forward}
          title={texts.forward}
          onClick={() => model.step(1)}
        >
          ▶
        </button>
      </header>
      <Lanes model={model} texts={texts} />
      <MomentList model={model} texts={texts} language={language} />
    </section>
  );
}

function Lanes({ model, texts }: { readonly model: ClusterModel; readonly texts: Texts }): JSX.Element {
  const { time } = model;
  // What is looked at stands a little before the right end when there is something behind it.
  const to = model.isStopped ? time + windowMs / 10 : time;
  const from = to - windowMs;
  const x = (at: number): number => ((at - from) / windowMs) * width;
  const stretches = model.moments.stretches(from, to);
  const acts = model.moments.list.filter(({ kind, at }) => kind === "act" && at >= from && at <= to);
  return (
    <div class="lanes">
      {model.servers.map((name) => (
        <div key={name} class="lane">
          <span>{name}</span>
          <svg viewBox={`0 0 ${width} 22`} preserveAspectRatio="none" role="img" aria-label={name}>
            {(stretches.get(name) ?? []).map((stretch) => (
              <rect
                key={stretch.from}
                class={stretch.role}
                x={x(stretch.from)}
                y={stretch.role === "leader" ? 2 : 6}
                width={Math.max(1.5, x(stretch.to) - x(stretch.from))}
                height={stretch.role === "leader" ? 18 : 10}
              />
            ))}
            {acts.map(({ key, at }) => (
              <line key={key} class="act" x1={x(at)} x2={x(at)} y1="0" y2="22" />
            ))}
            {model.isStopped && <line class="cursor" x1={x(time)} x2={x(time)} y1="0" y2="22" />}
          </svg>
          <div class="labels" aria-hidden="true">
            {(stretches.get(name) ?? [])
              .filter(({ role, from: start, to: end }) => role === "leader" && x(end) - x(start) > labelledMin)
              .map(({ from: start, term }) => (
                <small key={start} style={{ left: `${(x(start) / width) * 100}%` }}>
                  {texts.term(term)}
                </small>
              ))}
          </div>
        </div>
      ))}
      <div class="axis soft" aria-hidden="true">
        {[30, 20, 10].map((seconds) => (
          <small key={seconds}>{texts.seconds(seconds)}</small>
        ))}
        <small>{model.isStopped ? "" : texts.live}</small>
      </div>
    </div>
  );
}

function MomentList(props: {
  readonly model: ClusterModel;
  readonly texts: Texts;
  readonly language: Language;
}): JSX.Element {
  const { model, texts, language } = props;
  const { list } = model.moments;
  const { place } = model;
  const end = Math.min(list.length, model.isStopped ? place + listed / 2 : place);
  const shown = list.slice(Math.max(0, end - listed), end).reverse();
  const current = model.isStopped ? (model.stoppedAt?.key ?? null) : null;
  const currentRow = useRef<HTMLLIElement>(null);
  useEffect(() => currentRow.current?.scrollIntoView({ block: "nearest" }), [current]);
  if (shown.length === 0) return <p class="soft empty">{texts.noEvents}</p>;
  return (
    <ol class="moments" aria-label={texts.events}>
      {shown.map((moment) => (
        <li
          key={moment.key}
          ref={moment.key === current ? currentRow : null}
          class={`${moment.kind} ${moment.level}${moment.key === current ? " current" : ""}`}
          data-event={moment.event}
          aria-current={moment.key === current}
        >
          <button type="button" onClick={() => model.look(moment.key)}>
            <time>{timeText(moment.at, language)}</time>
            <MomentText moment={moment} texts={texts} />
          </button>
        </li>
      ))}
    </ol>
  );
}

function MomentText({ moment, texts }: { readonly moment: Moment; readonly texts: Texts }): JSX.Element {
  const sentence = sentenceOf(moment, texts);
  if (sentence !== null) return <span>{sentence}</span>;
  return (
    <span>
      {moment.server} <code>{plainText(moment)}</code>
    </span>
  );
}

function timeText(at: number, language: Language): string {
  const date = new Date(at);
  const clock = date.toLocaleTimeString(language === "zh" ? "zh-CN" : "en-GB", { hour12: false });
  return `${clock}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
