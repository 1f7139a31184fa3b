import { Component, createRef, type JSX } from "preact";
import type { ChatModel } from "../chat-model.ts";
import type { OpenRoom } from "../open-room.ts";
import { reportError } from "../open-room.ts";
import type { OwnSend } from "../own-sends.ts";
import { failureOf, type Language, type Texts } from "../texts.ts";
import { dayName, isSameDay } from "../times.ts";
import type { Row } from "../timeline-window.ts";
import { visibleLine } from "../message-text.ts";
import { changeName, MessageRow } from "./message-row.tsx";
import { Foreign, MessageText } from "./message-text.tsx";
import { SendState } from "./send-state.tsx";

interface ListProps {
  readonly model: ChatModel;
  readonly open: OpenRoom;
  readonly texts: Texts;
  readonly language: Language;
}

/** Where the reader stood before a change: at the end, or with this row at this height. */
type Place = { readonly end: true } | { readonly end: false; readonly key: string; readonly top: number } | null;

/** So near to the end is at the end. */
const endPixels = 40;
/** More is loaded this far before it is needed. */
const aheadPixels = 800;
const groupMs = 5 * 60_000;

/**
 * The messages of the open room.
 *
 * 1. Whoever stands at the end stays there; whoever does not keeps the row they read at its height, whatever comes
 *    above or below.
 * 2. Rows are those of the window, which is bounded; what is on its way stands below the newest, in order of sending.
 */
export class MessageList extends Component<ListProps> {
  readonly #scroller = createRef<HTMLDivElement>();
  #resizing: ResizeObserver | null = null;

  override componentDidMount(): void {
    this.#toEnd();
    const scroller = this.#scroller.current!;
    this.#resizing = new ResizeObserver(() => {
      if (this.props.open.follows) this.#toEnd();
    });
    this.#resizing.observe(scroller);
    document.addEventListener("visibilitychange", this.#looked);
    addEventListener("focus", this.#looked);
    // The messages may have come before the list was drawn for the first time.
    this.#looked();
  }

  override componentWillUnmount(): void {
    this.#resizing?.disconnect();
    document.removeEventListener("visibilitychange", this.#looked);
    removeEventListener("focus", this.#looked);
  }

  override getSnapshotBeforeUpdate(): Place {
    const scroller = this.#scroller.current;
    if (scroller === null) return null;
    if (this.props.open.follows) return { end: true };
    const top = scroller.getBoundingClientRect().top;
    for (const row of scroller.querySelectorAll<HTMLElement>("[data-key]")) {
      const box = row.getBoundingClientRect();
      if (box.bottom > top) return { end: false, key: row.dataset["key"]!, top: box.top };
    }
    return null;
  }

  override componentDidUpdate(_props: ListProps, _state: object, place: Place): void {
    const scroller = this.#scroller.current!;
    if (place?.end === true || this.props.open.follows) this.#toEnd();
    else if (place !== null) {
      const row = scroller.querySelector(`[data-key="${place.key}"]`);
      if (row !== null) scroller.scrollTop += row.getBoundingClientRect().top - place.top;
    }
    this.#looked();
  }

  readonly #looked = (): void => {
    if (document.visibilityState === "visible" && this.props.open.follows) this.props.model.seen();
  };

  #toEnd(): void {
    const scroller = this.#scroller.current!;
    scroller.scrollTop = scroller.scrollHeight;
  }

  readonly #scrolled = (): void => {
    const { open } = this.props;
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller.current!;
    const below = scrollHeight - clientHeight - scrollTop;
    const follows = open.window.isAtHead && below <= endPixels;
    if (follows !== open.follows) {
      open.follows = follows;
      if (follows) open.newBelow = 0;
      this.forceUpdate();
    }
    if (below <= aheadPixels && !open.window.isAtHead) open.loadNewer().catch(reportError);
    else if (scrollTop <= aheadPixels && !open.window.isAtStart) open.loadOlder().catch(reportError);
  };

  /** Up and down lead from message to message; what can be done with one is then the next stop of the Tab key. */
  readonly #walked = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    const rows = [...this.#scroller.current!.querySelectorAll<HTMLElement>(".row")];
    const here = rows.findIndex((row) => row.contains(document.activeElement));
    const next = event.key === "ArrowUp" ? rows.at(here === -1 ? -1 : here - 1) : rows[here + 1];
    if (next === undefined || (here === 0 && event.key === "ArrowUp")) return;
    event.preventDefault();
    next.focus();
  };

  readonly #toNewest = (): void => {
    const { open } = this.props;
    if (open.window.isAtHead) {
      open.follows = true;
      open.newBelow = 0;
      this.forceUpdate();
    } else open.toNewest().catch(reportError);
  };

  override render(): JSX.Element {
    const { open, texts } = this.props;
    const { phase } = open;
    const waiting = this.props.model.sends.of(open.room.name);
    const byRef = new Map<number, OwnSend[]>();
    const atEnd: OwnSend[] = [];
    const shown = new Set(open.window.rows.map((row) => (row.type === "message" ? row.seq : 0)));
    for (const own of waiting) {
      const { ref, kind } = own.sent.content;
      if (ref === null || kind === null || !shown.has(ref)) atEnd.push(own);
      else byRef.set(ref, [...(byRef.get(ref) ?? []), own]);
    }
    const isEmpty =
      phase.name === "ready" && open.window.rows.length === 0 && open.window.isAtStart && open.loading === null;
    return (
      <div class="log-frame">
        <div
          class="log"
          ref={this.#scroller}
          role="log"
          aria-live="polite"
          aria-relevant="additions"
          aria-busy={phase.name === "loading" || open.loading !== null}
          aria-label={texts.messageTo(visibleLine(open.room.name))}
          tabIndex={0}
          onScroll={this.#scrolled}
          onKeyDown={this.#walked}
        >
          {open.wasReset && <p class="line reset">{texts.reset}</p>}
          {phase.name === "ready" && this.#top(isEmpty)}
          {this.#rows(byRef)}
          {open.window.isAtHead && atEnd.map((own) => this.#own(own))}
        </div>
        {(!open.follows || !open.window.isAtHead) && phase.name === "ready" && (
          <button type="button" class="to-newest" onClick={this.#toNewest}>
            ↓ {open.newBelow > 0 ? texts.newBelow(open.newBelow) : texts.toNewest}
          </button>
        )}
      </div>
    );
  }

  #top(isEmpty: boolean): JSX.Element | null {
    const { open, texts } = this.props;
    if (open.loading === "older") return <p class="line">{texts.loadingOlder}</p>;
    if (isEmpty && this.props.model.sends.of(open.room.name).length === 0) return <p class="line">{texts.emptyRoom}</p>;
    return open.window.isAtStart ? <p class="line">{texts.roomStart}</p> : null;
  }

  #rows(byRef: ReadonlyMap<number, readonly OwnSend[]>): JSX.Element[] {
    const { open, model, texts, language } = this.props;
    const readers = this.#readers();
    const elements: JSX.Element[] = [];
    let above: Extract<Row, { type: "message" }> | null = null;
    for (const row of open.window.rows) {
      if (row.type === "gap") {
        elements.push(this.#gap(row));
        above = null;
        continue;
      }
      const { message } = row;
      const newDay = above === null || !isSameDay(above.message.ts, message.ts);
      if (newDay) {
        elements.push(
          <p key={`d${row.seq}`} class="day">
            <span>{dayName(message.ts, language)}</span>
          </p>,
        );
      }
      const continues: boolean =
        !newDay &&
        above !== null &&
        above.message.from === message.from &&
        message.ts - above.message.ts < groupMs &&
        message.kind === "text" &&
        above.message.kind === "text";
      elements.push(
        <MessageRow
          key={row.key}
          rowKey={row.key}
          message={message}
          continues={continues}
          amendment={open.amendments.of(row.seq)}
          isComplete={open.amendments.isComplete(row.seq)}
          changes={byRef.get(row.seq) ?? null}
          readers={readers.get(row.seq) ?? ""}
          model={model}
          texts={texts}
          language={language}
        />,
      );
      above = row;
    }
    return elements;
  }

  /** By row: those whose mark stands at it, or after it with nothing between but what they wrote themselves or what is not shown. */
  #readers(): Map<number, string> {
    const { open } = this.props;
    const at = new Map<number, string>();
    for (const [user, upTo] of open.readUpTo) {
      const row = open.window.rows.findLast(
        (one) => one.type === "message" && one.seq <= upTo && one.message.from !== user,
      );
      if (row?.type !== "message") continue;
      const others = at.get(row.seq);
      at.set(row.seq, others === undefined ? user : `${others}, ${user}`);
    }
    return at;
  }

  #gap({ key, from, to, reason }: Extract<Row, { type: "gap" }>): JSX.Element {
    const { texts } = this.props;
    const count = to - from + 1;
    const words = gapWords(count, reason, texts);
    return (
      <p key={key} class="line gap" data-key={key}>
        {words} <small>{from === to ? `#${from}` : `#${from}–#${to}`}</small>
      </p>
    );
  }

  #own(own: OwnSend): JSX.Element {
    const { model, texts } = this.props;
    const { cid, content } = own.sent;
    return (
      <article key={`c${cid}`} class="row own pending" data-key={`c${cid}`} tabIndex={-1}>
        {content.ref === null ? (
          <MessageText body={content.body} />
        ) : (
          <div class="body">
            {changeName(own, texts)} #{content.ref} <Foreign text={content.body.slice(0, 200)} />
          </div>
        )}
        <footer>
          <SendState own={own} model={model} texts={texts} />
        </footer>
      </article>
    );
  }
}

function gapWords(count: number, reason: string, texts: Texts): string {
  switch (reason) {
    case "retention":
      return texts.gapRetention(count);
    case "deleted":
      return texts.gapDeleted(count);
    case "damaged":
      return texts.gapDamaged(count);
    case "removed":
      return texts.gapRemoved(count);
    case "not_kept":
      return texts.gapNotKept(count);
    default:
      return texts.gapOther(count, failureOf(texts, reason));
  }
}
