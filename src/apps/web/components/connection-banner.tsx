import type { JSX } from "preact";
import type { ChatModel } from "../chat-model.ts";
import { failureOf, type Texts, waitOf } from "../texts.ts";
import { TokenForm } from "./token-form.tsx";

/** The link to the server, as it is: nothing while it stands, and the server stores what is sent. */
export function ConnectionBanner(props: {
  model: ChatModel;
  texts: Texts;
  onToken: (token: string) => void;
  onSignOut: () => void;
}): JSX.Element | null {
  const { model, texts } = props;
  const { state } = model;
  const { waiting } = model.sends;
  switch (state.name) {
    case "online": {
      const { wait } = model.sends;
      return wait === null ? null : (
        <div class="banner waits" data-wait={wait.code}>
          <span role="status">
            {waitOf(texts, wait.code)} {texts.waiting(waiting)}
          </span>{" "}
          <NextTry at={wait.retryAt} texts={texts} />
        </div>
      );
    }
    case "unauthorized":
      return (
        <div class="banner unauthorized" data-connection="unauthorized">
          <TokenForm texts={texts} onToken={props.onToken} />
          <button type="button" class="link" onClick={props.onSignOut}>
            {texts.signOut}
          </button>
        </div>
      );
    case "closed":
      return (
        <div class="banner closed" role="alert" data-connection="closed">
          <span>
            {texts.ended}: {failureOf(texts, state.reason)}
          </span>
          <button type="button" onClick={() => location.reload()}>
            {texts.again}
          </button>
          <button type="button" class="link" onClick={props.onSignOut}>
            {texts.signOut}
          </button>
        </div>
      );
    case "idle":
    case "connecting":
    case "offline": {
      return (
        <div class={`banner ${state.name}`} data-connection={state.name}>
          <span role="status">
            {state.name === "idle" ? texts.starting : state.name === "connecting" ? texts.connecting : texts.offline}{" "}
            {waiting > 0 && texts.waiting(waiting)}
          </span>{" "}
          {state.name === "offline" && <NextTry at={state.retryAt} texts={texts} />}
          {state.name === "offline" && (
            <button type="button" onClick={() => model.chat.reconnect()}>
              {texts.tryNow}
            </button>
          )}
        </div>
      );
    }
    default:
      return state satisfies never;
  }
}

/** When it is tried next. Every second another number: for eyes only. */
function NextTry({ at, texts }: { at: number; texts: Texts }): JSX.Element {
  const seconds = Math.ceil((at - Date.now()) / 1000);
  return <span aria-hidden="true">{seconds > 0 ? texts.reconnectIn(seconds) : texts.reconnectNow}</span>;
}

/** The same in two words, always on the page. */
export function ConnectionLamp({ model, texts }: { model: ChatModel; texts: Texts }): JSX.Element {
  const { state } = model;
  const words =
    state.name === "online"
      ? texts.online(state.node)
      : state.name === "idle"
        ? texts.starting
        : state.name === "connecting"
          ? texts.connecting
          : state.name === "offline"
            ? texts.offline
            : texts.ended;
  return (
    <span class={`lamp ${state.name}`} data-lamp={state.name}>
      <bdi>{words}</bdi>
    </span>
  );
}
