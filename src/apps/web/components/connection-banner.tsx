import type { JSX } from "preact";
import type { ChatModel } from "../chat-model.ts";
import { failureOf, type Texts } from "../texts.ts";
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
      const code = model.sends.wait?.code;
      const words = code === "storage_full" ? texts.diskFull : code === "no_quorum" ? texts.noQuorum : null;
      return words === null ? null : (
        <div class="banner waits" role="status" data-wait={code}>
          {words} {texts.waiting(waiting)}
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
      const seconds = state.name === "offline" ? Math.ceil((state.retryAt - Date.now()) / 1000) : 0;
      return (
        <div class={`banner ${state.name}`} data-connection={state.name}>
          <span role="status">
            {state.name === "idle" ? texts.starting : state.name === "connecting" ? texts.connecting : texts.offline}{" "}
            {waiting > 0 && texts.waiting(waiting)}
          </span>{" "}
          {state.name === "offline" && (
            // Every second another number: for eyes only.
            <span aria-hidden="true">{seconds > 0 ? texts.reconnectIn(seconds) : texts.reconnectNow}</span>
          )}
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
