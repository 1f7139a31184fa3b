import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ChatModel } from "../chat-model.ts";
import { visibleLine } from "../message-text.ts";
import { type OpenRoom, reportError } from "../open-room.ts";
import type { Texts } from "../texts.ts";

/** So soon after an input method is done, an Enter was meant for it. */
const composedMs = 50;

/** Where messages are written, and changed. Mounted anew for every room. */
export function Composer(props: { model: ChatModel; open: OpenRoom; texts: Texts; place: string }): JSX.Element {
  const { model, open, texts } = props;
  const { editing } = model;
  const room = open.room;
  const field = useRef<HTMLTextAreaElement>(null);
  const composedAt = useRef(-composedMs);
  const [text, setText] = useState(model.drafts.get(room.name) ?? "");

  const keep = (written: string): void => {
    setText(written);
    if (written === "") model.drafts.delete(room.name);
    else if (editing === null) model.drafts.set(room.name, written);
  };
  // A message to change takes the place of the draft, which comes back afterwards.
  useLayoutEffect(() => {
    setText(editing === null ? (model.drafts.get(room.name) ?? "") : editing.body);
    field.current?.focus();
  }, [editing, room.name]);

  const submit = (): void => {
    if (text.trim() === "") return;
    if (editing !== null) {
      if (text !== editing.body) model.send(room, text, { kind: "edit", ref: editing.seq });
      model.cancelEdit();
      return;
    }
    keep("");
    open.follows = true;
    open.newBelow = 0;
    model.send(room, text);
    open.toNewest().catch(reportError);
  };

  const onKey = (event: KeyboardEvent): void => {
    // Enter also chooses among characters while an input method is at work; some browsers report that Enter just after.
    if (event.isComposing || performance.now() - composedAt.current < composedMs) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if (event.key === "Escape" && editing !== null) {
      model.cancelEdit();
    }
  };

  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {editing !== null && (
        <p class="editing">
          {texts.editing(editing.seq)}
          <button type="button" class="link" onClick={() => model.cancelEdit()}>
            {texts.cancel}
          </button>
        </p>
      )}
      <textarea
        ref={field}
        rows={1}
        dir="auto"
        aria-label={texts.messageTo(visibleLine(props.place))}
        placeholder={texts.messageTo(visibleLine(props.place))}
        title={texts.sendHint}
        enterkeyhint="send"
        value={text}
        onInput={(event) => {
          keep(event.currentTarget.value);
          if (event.currentTarget.value !== "") model.typing();
        }}
        onKeyDown={onKey}
        onCompositionEnd={() => {
          composedAt.current = performance.now();
        }}
      />
      <button type="submit" class="primary" disabled={text.trim() === ""}>
        {texts.send}
      </button>
    </form>
  );
}
