import type { JSX } from "preact";
import type { ChatModel } from "../chat-model.ts";
import { isLasting, type OwnSend } from "../own-sends.ts";
import { failureOf, type Texts } from "../texts.ts";
import { Foreign } from "./message-text.tsx";

/** What is known of a message on its way, and what its sender can do about it. */
export function SendState({ own, model, texts }: { own: OwnSend; model: ChatModel; texts: Texts }): JSX.Element {
  const { sent } = own;
  const { state, outcome } = sent;
  switch (state) {
    case "queued":
    case "sending": {
      if (state === "queued" && !model.outbox.holds(sent)) {
        return (
          <span class="state saving" data-state="saving">
            {texts.stateSaving}
            <button type="button" class="link" onClick={() => sent.giveUp()}>
              {texts.giveUp}
            </button>
          </span>
        );
      }
      const wait = model.state.name === "online" ? sent.wait : null;
      const why = wait !== null && isLasting(wait) ? texts.waitsFor(failureOf(texts, wait.code)) : null;
      return (
        <span class={`state ${state}`} data-state={state} data-wait={why === null ? undefined : wait?.code}>
          {why !== null ? `◷ ${why}` : state === "queued" ? `◷ ${texts.stateQueued}` : `◌ ${texts.stateSending}`}
          <button type="button" class="link" onClick={() => sent.giveUp()}>
            {texts.giveUp}
          </button>
        </span>
      );
    }
    case "stored": {
      const seq = outcome?.state === "stored" ? outcome.stored.seq : null;
      return (
        <span class="state stored" data-state="stored">
          ✓ {texts.stateStored} {seq !== null && `#${seq}`}
        </span>
      );
    }
    case "refused": {
      const error = outcome?.state === "refused" ? outcome.error : null;
      return (
        <span class="state refused" data-state="refused">
          <span>
            ✗ {texts.stateRefused}: {error !== null && failureOf(texts, error.code)}{" "}
            {error !== null && error.code !== "aborted" && (
              <small>
                <Foreign text={error.message} />
              </small>
            )}
          </span>
          <button type="button" onClick={() => model.retry(own)}>
            {texts.retry}
          </button>
          <button type="button" class="link" onClick={() => model.dismiss(own)}>
            {texts.dismiss}
          </button>
        </span>
      );
    }
    case "unknown":
      return (
        <span class="state unknown" data-state="unknown">
          <span>
            ? {texts.stateUnknown}
            {own.asked?.answer === "pending" && ` (${texts.asking})`}
            {own.asked?.answer === "absent" && ` (${texts.askedAbsent(own.asked.head)})`}
            {own.asked?.answer === "failed" && ` (${texts.askedFailed})`}
          </span>
          <button
            type="button"
            onClick={() => {
              void model.ask(own);
            }}
          >
            {texts.askAgain}
          </button>
          <button type="button" class="link" onClick={() => model.dismiss(own)}>
            {texts.dismiss}
          </button>
        </span>
      );
    default:
      return state satisfies never;
  }
}
