import type { JSX } from "preact";
import type { ClusterModel } from "../cluster-model.ts";
import type { Texts } from "../texts.ts";

/** The link of each pair of servers, to be cut and mended. */
export function Links(props: {
  readonly model: ClusterModel;
  readonly texts: Texts;
  readonly act: (act: object) => void;
}): JSX.Element {
  const { model, texts, act } = props;
  const names = model.servers;
  const pairs = names.flatMap((server, at) => names.slice(at + 1).map((other) => ({ server, other })));
  return (
    <p class="links">
      <span class="soft">{texts.links}</span>
      {pairs.map(({ server, other }) => {
        const isCut = model.cut.some((pair) => pair.includes(server) && pair.includes(other));
        return (
          <button
            key={`${server} ${other}`}
            type="button"
            aria-pressed={isCut}
            title={texts.linkHint}
            onClick={() => act({ do: isCut ? "mend" : "cut", server, other })}
          >
            {isCut ? texts.mendLink(server, other) : texts.cutLink(server, other)}
          </button>
        );
      })}
      <button type="button" class="primary" onClick={() => act({ do: "heal" })}>
        {texts.heal}
      </button>
    </p>
  );
}
