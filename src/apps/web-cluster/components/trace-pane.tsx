import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Feed } from "../cluster-model.ts";
import type { Texts } from "../texts.ts";
import type { ToldTrace } from "../told.ts";

type Traces = Awaited<ReturnType<Feed["trace"]>>;
const stepNames = ["send", "append", "flush", "commit", "deliver"] as const;

/** "Where is my message?": by its id, on each server that is asked. */
export function TracePane(props: {
  readonly feed: Feed;
  readonly texts: Texts;
  readonly cid: string | null;
  readonly onTrace: (cid: string) => void;
}): JSX.Element {
  const { feed, texts, cid, onTrace } = props;
  const [typed, setTyped] = useState("");
  const [traces, setTraces] = useState<Traces>([]);
  useEffect(() => {
    if (cid === null) return undefined;
    setTyped(cid);
    let isOver = false;
    const show = (found: Traces): void => {
      if (!isOver) setTraces(found);
    };
    feed.trace(cid).then(show, () => show([]));
    return () => {
      isOver = true;
    };
  }, [feed, cid]);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (typed.trim() !== "") onTrace(typed.trim());
  };
  return (
    <section class="pane trace" aria-label={texts.trace}>
      <header>
        <h2>{texts.trace}</h2>
      </header>
      <form onSubmit={submit}>
        <input
          name="cid"
          value={typed}
          placeholder={texts.traceHint}
          aria-label={texts.traceHint}
          autocomplete="off"
          spellcheck={false}
          onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        />
        <button type="submit">{texts.find}</button>
      </form>
      {cid !== null && traces.length > 0 && (
        <table>
          <thead>
            <tr>
              <th />
              {stepNames.map((step) => (
                <th key={step}>{texts.steps[step]}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {traces.map(({ node, trace }) => (
              <TraceRow key={node} node={node} trace={trace} first={firstOf(traces)} texts={texts} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function TraceRow(props: {
  readonly node: string;
  readonly trace: ToldTrace | null;
  readonly first: number;
  readonly texts: Texts;
}): JSX.Element {
  const { node, trace, first, texts } = props;
  const message = trace?.messages[0];
  if (message === undefined || message.steps.length === 0) {
    const why = trace === null ? texts.noAnswer : message === undefined ? texts.notKnown : texts.notKept;
    return (
      <tr>
        <th scope="row">{node}</th>
        <td colSpan={5} class="soft">
          {message !== undefined && message.state !== "stored" ? texts.waits[message.state] : why}
        </td>
      </tr>
    );
  }
  return (
    <tr>
      <th scope="row">{node}</th>
      {stepNames.map((name) => {
        const step = message.steps.find((one) => one.step === name);
        return <td key={name}>{step === undefined ? "–" : `+${(step.at - first).toFixed(1)} ms`}</td>;
      })}
    </tr>
  );
}

/** When the message was first heard of, by anybody; the clocks of servers may differ. */
function firstOf(traces: Traces): number {
  return Math.min(...traces.flatMap(({ trace }) => trace?.messages[0]?.steps.map((step) => step.at) ?? []));
}
