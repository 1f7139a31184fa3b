import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";

/** Whether a request is answered from what is stored, so that the answer may be large. */
export function mayBeLarge({ t }: ClientFrame): boolean {
  return t === "hist" || t === "lookup" || t === "rooms" || t === "members";
}

/** About how many bytes an answer takes when it is written. */
export function answerBytes(answer: ServerFrame): number {
  if (answer.t !== "ok") return 0;
  switch (answer.of) {
    case "hist":
      return answer.items.reduce((bytes, { body }) => bytes + body.length + 128, 0);
    case "rooms":
      return answer.rooms.length * 192;
    case "members":
      return answer.members.length * 64;
    default:
      return 256;
  }
}
