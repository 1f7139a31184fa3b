import { Component, type JSX } from "preact";
import type { Message } from "../../../protocol/schema.ts";
import type { Amendment } from "../amendments.ts";
import type { ChatModel } from "../chat-model.ts";
import type { OwnSend } from "../own-sends.ts";
import type { Language, Texts } from "../texts.ts";
import { clockTime } from "../times.ts";
import { Foreign, MessageText } from "./message-text.tsx";
import { SendState } from "./send-state.tsx";

interface RowProps {
  readonly message: Message;
  readonly rowKey: string;
  /** Same sender as the row above, shortly after it. */
  readonly continues: boolean;
  readonly amendment: Amendment | null;
  readonly isComplete: boolean;
  /** Edits, deletions and reactions of this page that are on their way; a new array whenever there are any. */
  readonly changes: readonly OwnSend[] | null;
  /** Who has read up to here and not further, as text. */
  readonly readers: string;
  readonly model: ChatModel;
  readonly texts: Texts;
  readonly language: Language;
}

const thumb = "👍";

/** One message as the room has it. It is drawn again only when something about it is different. */
export class MessageRow extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => next[name] !== this.props[name]);
  }

  override render(): JSX.Element {
    const { message, rowKey, continues, amendment, isComplete, changes, readers, model, texts, language } = this.props;
    const own = message.from === model.chat.user;
    const deleted = amendment !== null && amendment.deletedBy !== null;
    return (
      <article
        class={`row${own ? " own" : ""}${continues ? " continues" : ""}`}
        data-key={rowKey}
        data-seq={message.seq}
        tabIndex={-1}
      >
        {!continues && (
          <header>
            <Foreign class="from" text={message.from} />
            <time dateTime={new Date(message.ts).toISOString()}>{clockTime(message.ts, language)}</time>
            {message.kind !== "text" && <Foreign class="kind" text={message.kind} />}
          </header>
        )}
        {deleted ? (
          <div class="body gone">
            {amendment.deletedBy === message.from ? texts.deletedMark : texts.deletedBy(amendment.deletedBy ?? "")}
          </div>
        ) : (
          <MessageText body={amendment?.body ?? message.body} />
        )}
        <footer>
          {(amendment?.body ?? null) !== null && !deleted && <span class="edited">{texts.editedMark}</span>}
          {!isComplete && <span class="edited">{texts.mayHaveChanged}</span>}
          {!deleted && this.#reactions()}
          {readers !== "" && (
            <span class="readers">
              <Foreign text={texts.readBy(readers)} />
            </span>
          )}
          <span class="place" data-state={own ? "stored" : undefined}>
            {own && <span title={texts.stateStored}>✓ {texts.stateStored} </span>}#{message.seq}
          </span>
        </footer>
        {changes?.map((change) => this.#change(change))}
        {!deleted && this.#tools(own, amendment?.body ?? message.body)}
      </article>
    );
  }

  #reactions(): JSX.Element[] {
    const { amendment, model, texts } = this.props;
    return (amendment?.reactions ?? []).slice(0, 12).map(({ symbol, users }) => {
      const mine = users.includes(model.chat.user);
      return (
        <button
          key={symbol}
          type="button"
          class={`reaction${mine ? " mine" : ""}`}
          aria-pressed={mine}
          title={texts.reacted(symbol, users.slice(0, 10).join(", "))}
          onClick={() => this.#react(symbol, mine)}
        >
          <Foreign text={symbol} /> {users.length}
        </button>
      );
    });
  }

  #react(symbol: string, mine: boolean): void {
    const { message, model } = this.props;
    if (model.open !== null)
      model.send(model.open.room, symbol, { kind: mine ? "unreact" : "react", ref: message.seq! });
  }

  #tools(own: boolean, body: string): JSX.Element {
    const { message, amendment, model, texts } = this.props;
    const seq = message.seq!;
    const thanked = amendment?.reactions.some(
      ({ symbol, users }) => symbol === thumb && users.includes(model.chat.user),
    );
    return (
      <div class="tools">
        {thanked !== true && (
          <button type="button" aria-label={texts.react} title={texts.react} onClick={() => this.#react(thumb, false)}>
            {thumb}
          </button>
        )}
        {own && message.kind === "text" && (
          <button type="button" onClick={() => model.edit(seq, body)}>
            {texts.edit}
          </button>
        )}
        {own && (
          <button
            type="button"
            onClick={() => {
              if (model.open !== null && confirm(texts.removeAsk(seq)))
                model.send(model.open.room, "", { kind: "delete", ref: seq });
            }}
          >
            {texts.remove}
          </button>
        )}
      </div>
    );
  }

  #change(change: OwnSend): JSX.Element {
    const { model, texts } = this.props;
    return (
      <div key={change.sent.cid} class="change">
        <span>{changeName(change, texts)}</span>
        {change.sent.content.kind !== "delete" && (
          <Foreign class="what" text={change.sent.content.body.slice(0, 200)} />
        )}
        <SendState own={change} model={model} texts={texts} />
      </div>
    );
  }
}

/** What a message of this page does to another one, in a word. */
export function changeName(change: OwnSend, texts: Texts): string {
  switch (change.sent.content.kind) {
    case "edit":
      return texts.changeEdit;
    case "delete":
      return texts.changeDelete;
    default:
      return texts.changeReact;
  }
}
