import type { JSX } from "preact";
import type { ChatModel } from "../chat-model.ts";
import { partnerOf } from "../joined-rooms.ts";
import { type OpenRoom, reportError } from "../open-room.ts";
import { failureOf, type Language, type Texts } from "../texts.ts";
import { Composer } from "./composer.tsx";
import { MessageList } from "./message-list.tsx";
import { Foreign } from "./message-text.tsx";

/** The open room: its name, who is there, its messages, and where to write. */
export function RoomPane(props: {
  model: ChatModel;
  open: OpenRoom;
  texts: Texts;
  language: Language;
  onLeft: () => void;
}): JSX.Element {
  const { model, open, texts, language } = props;
  const { name } = open.room;
  const partner = partnerOf(name, model.chat.user);
  const place = partner === null ? `#${name}` : `@${partner}`;
  const isMember = model.rooms.get(name) !== undefined;
  const join = (): void => {
    model.join(name).catch(reportError);
  };
  const leave = (): void => {
    if (confirm(texts.leaveAsk(name))) model.leave(open.room).then((left) => left && props.onLeft(), reportError);
  };
  return (
    <section class="room">
      <header class="room-head">
        <h1>
          <Foreign text={place} />
        </h1>
        {open.phase.name !== "absent" && <HereNow open={open} texts={texts} />}
        {partner === null && isMember && (
          <button type="button" class="quiet" onClick={leave}>
            {texts.leave}
          </button>
        )}
      </header>
      {open.phase.name === "failed" && (
        <p class="banner closed" role="alert">
          <span>
            {texts.loadFailed}: {failureOf(texts, open.phase.code)}
          </span>
          <button
            type="button"
            onClick={() => {
              open.start().catch(reportError);
            }}
          >
            {texts.tryAgain}
          </button>
        </p>
      )}
      {partner === null && !isMember && model.rooms.known && open.phase.name === "ready" && (
        <p class="banner">
          <span>{texts.notMember}</span>
          <button type="button" onClick={join}>
            {texts.joinButton}
          </button>
        </p>
      )}
      {open.phase.name === "loading" && <p class="line">{texts.loading}</p>}
      {open.phase.name === "absent" && (
        <p class="line">
          {partner === null ? texts.absentRoom : texts.emptyDirect}{" "}
          {partner === null && (
            <button type="button" onClick={join}>
              {texts.createRoom}
            </button>
          )}
        </p>
      )}
      <MessageList key={name} model={model} open={open} texts={texts} language={language} />
      <p class="typing" aria-live="polite">
        {typingWords(open, texts)}
      </p>
      <Composer key={`compose ${name}`} model={model} open={open} texts={texts} place={place} />
    </section>
  );
}

function typingWords({ typists }: OpenRoom, texts: Texts): JSX.Element | null {
  if (typists.length === 0) return null;
  const names = typists.slice(0, 3).join(", ");
  return <Foreign text={typists.length === 1 ? texts.typing(names) : texts.typingMany(names)} />;
}

function HereNow({ open, texts }: { open: OpenRoom; texts: Texts }): JSX.Element {
  const { presence } = open;
  if (presence === null) {
    return (
      <span class="here unknown" title={texts.hereUnknown}>
        {texts.hereNow}: ?
      </span>
    );
  }
  const { users } = presence;
  if (users === undefined) return <span class="here">{texts.hereCount(presence.count ?? 0)}</span>;
  return (
    <details class="here">
      <summary>{texts.hereCount(users.length)}</summary>
      <ul aria-label={texts.hereNow}>
        {users.map((user) => (
          <li key={user}>
            <Foreign text={user} />
          </li>
        ))}
      </ul>
    </details>
  );
}
