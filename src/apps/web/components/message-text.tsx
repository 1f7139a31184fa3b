import type { JSX } from "preact";
import { partsOf, visibleLine } from "../message-text.ts";

/** The text of a message, with a direction of its own so that it cannot turn what stands around it. */
export function MessageText({ body }: { body: string }): JSX.Element {
  return (
    <div class="body" dir="auto">
      {partsOf(body).map((part, place) => {
        switch (part.type) {
          case "text":
            return part.text;
          case "link":
            return (
              <a key={place} href={part.href} target="_blank" rel="noopener noreferrer nofollow">
                {part.text}
              </a>
            );
          case "mark":
            return (
              <span key={place} class="mark" dir="ltr">
                {part.text}
              </span>
            );
          default:
            return part satisfies never;
        }
      })}
    </div>
  );
}

/** A name, a reason or another short text of a stranger, on one line. */
export function Foreign({ text, class: name }: { text: string; class?: string }): JSX.Element {
  return <bdi class={name}>{visibleLine(text)}</bdi>;
}
