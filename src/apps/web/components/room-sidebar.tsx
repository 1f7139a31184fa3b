import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ChatModel } from "../chat-model.ts";
import type { JoinedRoom } from "../joined-rooms.ts";
import { visibleLine } from "../message-text.ts";
import { reportError } from "../open-room.ts";
import type { Texts } from "../texts.ts";
import { Foreign } from "./message-text.tsx";

/** The rooms and people one talks to, with what is unread, and how to reach others. */
export function RoomSidebar(props: { model: ChatModel; texts: Texts; onShow: (place: string) => void }): JSX.Element {
  const { model, texts, onShow } = props;
  const list = model.rooms.list;
  const join = (name: string): void => {
    const plain = name.replace(/^#/, "").normalize("NFC");
    model.join(plain).then((joined) => joined && onShow(plain), reportError);
  };
  return (
    <nav class="sidebar" aria-label={texts.openList}>
      <section>
        <h2>{texts.rooms}</h2>
        <ul>{list.filter((room) => room.with === null).map((room) => roomLink(room, props))}</ul>
        <NameForm label={texts.joinRoom} button={texts.joinButton} mark="#" maxLength={128} onName={join} />
      </section>
      <section>
        <h2>{texts.direct}</h2>
        <ul>{list.filter((room) => room.with !== null).map((room) => roomLink(room, props))}</ul>
        <NameForm
          label={texts.startDirect}
          button={texts.startButton}
          mark="@"
          maxLength={60}
          onName={(name) => onShow(`@${name.replace(/^@/, "").normalize("NFC")}`)}
        />
      </section>
    </nav>
  );
}

function roomLink(
  room: JoinedRoom,
  { model, texts, onShow }: { model: ChatModel; texts: Texts; onShow: (place: string) => void },
): JSX.Element {
  const isOpen = model.open?.room.name === room.name;
  const unread = model.unreadIn(room);
  const place = room.with === null ? room.name : `@${room.with}`;
  return (
    <li key={room.name}>
      <a
        href={`#${encodeURIComponent(place)}`}
        class={isOpen ? "current" : undefined}
        aria-current={isOpen ? "page" : undefined}
        data-room={room.name}
        onClick={(event) => {
          event.preventDefault();
          onShow(place);
        }}
      >
        <span class="sigil">{room.with === null ? "#" : "@"}</span>
        <Foreign class="name" text={room.with ?? room.name} />
        {unread > 0 && (
          <span class="unread" aria-label={texts.unread(unread)}>
            {unread > 999 ? "999+" : unread}
          </span>
        )}
      </a>
    </li>
  );
}

function NameForm(props: {
  label: string;
  button: string;
  mark: string;
  maxLength: number;
  onName: (name: string) => void;
}): JSX.Element {
  const [name, setName] = useState("");
  return (
    <form
      class="name-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim() === "") return;
        props.onName(name.trim());
        setName("");
      }}
    >
      <span aria-hidden="true">{props.mark}</span>
      <input
        aria-label={props.label}
        placeholder={props.label}
        maxLength={props.maxLength}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        value={name}
        title={visibleLine(props.label)}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" disabled={name.trim() === ""}>
        {props.button}
      </button>
    </form>
  );
}
