import { Fault } from "../base/error-codes.ts";
import { decodeBinary, encodeBinaryFrames } from "../protocol/binary-codec.ts";
import { FrameSplitter } from "../protocol/frame-splitter.ts";
import { binaryGreeting } from "../protocol/schema.ts";
import type { ClientFrame, ServerFrame } from "../protocol/schema.ts";
import { ProtocolViolation } from "./ports.ts";
import type { Encoding, Unspeakable } from "./ports.ts";
import { limitsAfter, unwelcomedLimits } from "./server-frame-limits.ts";

/**
 * Frames as bytes, in binary messages or as a stream that begins with one byte of greeting both ways. Not part of the
 * entry, because it weighs as much as all the rest; give it to `connect` as an encoding where the dial asks for it.
 */
export function binaryEncoding(carrier: "messages" | "stream"): Encoding {
  return {
    opening: carrier === "stream" ? Uint8Array.of(binaryGreeting) : null,
    encode,
    decoder: () => {
      let limits = unwelcomedLimits;
      const splitter = new FrameSplitter(limits.frameBytesMax);
      let greeted = carrier === "messages";
      return {
        push(data) {
          const frames: ServerFrame[] = [];
          if (typeof data === "string") throw new ProtocolViolation("text where bytes were agreed");
          let bytes = data;
          if (!greeted && bytes.length > 0) {
            if (bytes[0] !== binaryGreeting) throw new ProtocolViolation("the server does not speak binary");
            greeted = true;
            bytes = bytes.subarray(1);
          }
          try {
            splitter.add(bytes);
            while (splitter.next()) {
              const frame = decodeBinary("server", splitter.bytes, splitter.start, splitter.end, limits);
              if (frame.t === "refused") {
                // A frame that only a newer server knows is ignored.
                if (frame.fault.code !== "unsupported") throw frame.fault;
                continue;
              }
              frames.push(frame);
              if (frame.t !== "welcome") continue;
              limits = limitsAfter([frame], limits);
              splitter.allow(limits.frameBytesMax);
            }
          } catch (cause) {
            if (cause instanceof Fault) throw new ProtocolViolation(cause.message, { cause });
            throw cause;
          }
          return frames;
        },
      };
    },
  };
}

function encode(frames: readonly ClientFrame[], unspeakable: Unspeakable): Uint8Array {
  try {
    return encodeBinaryFrames("client", frames);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const speakable = frames.filter((frame) => isSpeakable(frame, unspeakable));
    return encodeBinaryFrames("client", speakable);
  }
}

function isSpeakable(frame: ClientFrame, unspeakable: Unspeakable): boolean {
  try {
    encodeBinaryFrames("client", [frame]);
    return true;
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    unspeakable(frame, error.message);
    return false;
  }
}
