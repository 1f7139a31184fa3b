import type { JSX } from "preact";
import { useEffect, useReducer, useState } from "preact/hooks";
import { type ChatModel, firstRoom } from "../chat-model.ts";
import { visibleLine } from "../message-text.ts";
import type { SignIn } from "../sign-in-memory.ts";
import { failureOf, type Language, type Texts } from "../texts.ts";
import { ConnectionBanner, ConnectionLamp } from "./connection-banner.tsx";
import { Foreign } from "./message-text.tsx";
import { RoomPane } from "./room-pane.tsx";
import { RoomSidebar } from "./room-sidebar.tsx";
import { SignInForm } from "./sign-in-form.tsx";

/** Reasons of an end that another name or token may mend. */
const mendable: ReadonlySet<string> = new Set(["unauthorized", "bad_request", "forbidden"]);

export function App(props: {
  model: ChatModel;
  texts: Texts;
  language: Language;
  onLanguage: () => void;
  onEnter: (signIn: SignIn) => void;
  /** Another token for the same user. */
  onToken: (token: string) => void;
  onSignOut: () => void;
}): JSX.Element {
  const { model, texts, language } = props;
  useModel(model);
  const [listOpen, setListOpen] = useState(false);

  const show = (place: string): void => {
    setListOpen(false);
    const hash = hashOf(place);
    if (location.hash === hash) model.show(place);
    else location.hash = hash;
  };
  useEffect(() => {
    const follow = (): void => {
      if (model.show(placeOf(location.hash))) return;
      // There can be no such place: the address goes back to what is shown.
      const shown = model.place ?? firstRoom;
      history.replaceState(null, "", hashOf(shown));
      model.show(shown);
    };
    follow();
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, [model]);

  const unread = model.rooms.list.reduce((sum, room) => sum + model.unreadIn(room), 0);
  const place = visibleLine(model.place ?? firstRoom);
  useEffect(() => {
    document.title = `${unread > 0 ? `(${unread}) ` : ""}${place.startsWith("@") ? place : `#${place}`} · Synod`;
  }, [unread, place]);

  const { state } = model;
  const refusal =
    state.name === "unauthorized" && !model.wasOnline
      ? "unauthorized"
      : state.name === "closed" && mendable.has(state.reason)
        ? state.reason
        : null;
  if (refusal !== null) {
    return (
      <SignInForm
        texts={texts}
        language={language}
        name={model.chat.user}
        wantsToken={refusal === "unauthorized"}
        refusal={refusal}
        onEnter={props.onEnter}
        onLanguage={props.onLanguage}
      />
    );
  }
  const signOut = (): void => {
    const { waiting } = model.sends;
    if (waiting === 0 || confirm(texts.signOutWaiting(waiting))) props.onSignOut();
  };
  return (
    <div class={listOpen ? "page list-open" : "page"}>
      <header class="top">
        <button
          type="button"
          class="list-button quiet"
          aria-expanded={listOpen}
          aria-label={listOpen ? texts.closeList : texts.openList}
          onClick={() => setListOpen(!listOpen)}
        >
          ☰{unread > 0 && !listOpen && <span class="unread">{unread > 999 ? "999+" : unread}</span>}
        </button>
        <strong class="brand">synod</strong>
        <ConnectionLamp model={model} texts={texts} />
        <span class="gap" />
        <Foreign class="me" text={model.chat.user} />
        <button type="button" class="quiet" aria-label={texts.languageLabel} onClick={props.onLanguage}>
          {texts.language}
        </button>
        <button type="button" class="quiet" onClick={signOut}>
          {texts.signOut}
        </button>
      </header>
      <ConnectionBanner model={model} texts={texts} onToken={props.onToken} onSignOut={props.onSignOut} />
      {model.notices.map(({ number, code, message }) => (
        <p key={number} class="banner notice" role="alert">
          <span>
            {failureOf(texts, code)}: <Foreign text={message} />
          </span>
          <button type="button" class="link" onClick={() => model.dismissNotice(number)}>
            {texts.dismiss}
          </button>
        </p>
      ))}
      <div class="columns">
        <RoomSidebar model={model} texts={texts} onShow={show} />
        {model.open !== null && (
          <RoomPane model={model} open={model.open} texts={texts} language={language} onLeft={() => show(firstRoom)} />
        )}
      </div>
    </div>
  );
}

const hashOf = (place: string): string => `#${encodeURIComponent(place)}`;

function placeOf(hash: string): string {
  try {
    const place = decodeURIComponent(hash.slice(1));
    return place === "" ? firstRoom : place;
  } catch (error) {
    // A hash that somebody wrote by hand.
    if (error instanceof URIError) return firstRoom;
    throw error;
  }
}

/** Draws again after changes, at most once a frame; and now and then while something on the page tells the time. */
function useModel(model: ChatModel): void {
  const [, draw] = useReducer((count: number, _: null) => count + 1, 0);
  useEffect(() => {
    let asked = false;
    const drawNow = (): void => {
      asked = false;
      draw(null);
    };
    const drawSoon = (): void => {
      if (asked) return;
      asked = true;
      // A page in the background gets no frames, and its title must still tell what is unread.
      if (document.visibilityState === "visible") requestAnimationFrame(drawNow);
      else setTimeout(drawNow, 100);
    };
    const stop = model.subscribe(drawSoon);
    // Seconds until the next try, and that something has waited for long, are told by no event.
    const timer = setInterval(() => {
      if (model.state.name === "offline" || model.sends.waiting > 0) drawSoon();
    }, 250);
    drawSoon();
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [model]);
}
