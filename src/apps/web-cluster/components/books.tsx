import type { JSX } from "preact";
import type { Books as BooksOf } from "../cluster-model.ts";
import type { Texts } from "../texts.ts";

/** What was acknowledged is stored and delivered: counted three times over, from three sides. */
export function Books({ books, texts }: { readonly books: BooksOf; readonly texts: Texts }): JSX.Element {
  const { acknowledged, stored, delivered, lost, twice, disordered, differ, onTheirWay, slowestMs, verified } = books;
  const isEqual = acknowledged === stored && stored === delivered;
  const isWrong = lost + twice + disordered + differ > 0;
  const state = isWrong ? "wrong" : isEqual ? "equal" : "open";
  const sign = isEqual ? "=" : "…";
  return (
    <section class={`books ${state}`} data-books={state} title={texts.booksHint}>
      <p class="sum">
        <Number label={texts.acknowledged} value={acknowledged} />
        <b aria-hidden="true">{sign}</b>
        <Number label={texts.stored} value={stored} />
        <b aria-hidden="true">{sign}</b>
        <Number label={texts.deliveredAll} value={delivered} />
      </p>
      <p class="notes">
        <span class={isWrong ? "bad" : ""}>
          {lost + twice + disordered === 0 ? texts.nothingWrong : texts.wrong(lost, twice, disordered)}
        </span>
        <span class={onTheirWay > 2 ? "warn" : ""}>{texts.onTheirWay(onTheirWay)}</span>
        {slowestMs !== null && <span class={slowestMs > 1_000 ? "warn" : ""}>{texts.slowest(slowestMs)}</span>}
        {differ > 0 && <span class="bad">{texts.differ}</span>}
        {verified !== null && differ === 0 && <span>{texts.verified(verified.servers, verified.upto)}</span>}
      </p>
    </section>
  );
}

function Number({ label, value }: { readonly label: string; readonly value: number }): JSX.Element {
  return (
    <span class="number">
      <strong>{value.toLocaleString()}</strong>
      <small>{label}</small>
    </span>
  );
}
