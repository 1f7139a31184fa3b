import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import { jsonReader } from "./json-encoding.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Encoding } from "./ports.ts";
import { limitsAfter, unwelcomedLimits } from "./server-frame-limits.ts";

/** Frames as JSON, one a line, over a stream that cuts them anywhere. Not part of the entry: no browser has streams. */
export function jsonLinesEncoding(): Encoding {
  const add = jsonReader();
  return {
    opening: null,
    encode: (frames: readonly ClientFrame[]) => {
      let text = "";
      for (const frame of frames) text += `${JSON.stringify(frame)}\n`;
      return text;
    },
    decoder: () => {
      const utf8 = new TextDecoder();
      let pending = "";
      let limits = unwelcomedLimits;
      return {
        push(data) {
          const into: ServerFrame[] = [];
          let searchFrom = pending.length;
          pending += typeof data === "string" ? data : utf8.decode(data, { stream: true });
          let start = 0;
          for (;;) {
            const end = pending.indexOf("\n", searchFrom);
            if (end === -1) break;
            if (end > start) add(pending.slice(start, end), into);
            start = end + 1;
            searchFrom = start;
          }
          pending = pending.slice(start);
          limits = limitsAfter(into, limits);
          // Text kept while its end has not come: a page of history with every character escaped fits.
          if (pending.length > limits.frameBytesMax) throw new ProtocolViolation("a line without an end");
          return into;
        },
      };
    },
  };
}
