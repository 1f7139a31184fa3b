import type { Chat } from "../../client/client.ts";
import { ChatError } from "../../client/outcome.ts";
import type { RoomMessage } from "../../client/reader.ts";
import type { Room } from "../../client/room.ts";
import { connect } from "../../platform/node/connect.ts";
import { nodeDial } from "../../platform/node/node-dial.ts";
import { identityOf } from "./identity.ts";
import type { Target } from "./job.ts";
import { emptyBody, putDigits, bodyAt, numberDigits } from "./message-body.ts";
import { putSentAt } from "./load-clock.ts";

/** Joins of one client that are on their way at once. */
const joiningAtOnce = 32;
/** What the SDK keeps by itself; a load may need more. */
const outboxDefault = { messages: 4_096, bytes: 16 * 1024 * 1024 };

/** Where the SDK finds the server: over WebSocket where the generator's wire is that, else over TCP. */
export const sdkUrl = ({ wire, host }: Pick<Target, "wire" | "host">, port: number): string =>
  `${wire === "synod-websocket" ? "ws" : "tcp"}://${host.includes(":") ? `[${host}]` : host}:${port}`;

export interface SdkClientOptions {
  readonly url: string;
  /** Of the user, where names are believed. */
  readonly name: string;
  readonly rooms: readonly string[];
  /** What must find room in its outbox; `null`: it sends nothing. */
  readonly outbox: { readonly messages: number; readonly bytes: number } | null;
  /** Told after the opening: the SDK lost its link, which it would mend in silence, or a server complained. */
  readonly failed: (why: string) => void;
}

/** The shipped SDK as one client of a load: what `connect` makes in Node, with an outbox as large as the load needs. */
export class SdkClient {
  readonly chat: Chat;
  /** Joined, in the order of their names in the options. */
  readonly rooms: readonly Room[];
  private readonly heads: readonly number[];
  private readonly failed: (why: string) => void;
  private ending = false;

  constructor(
    chat: Chat,
    joined: readonly { readonly room: Room; readonly head: number }[],
    failed: SdkClientOptions["failed"],
  ) {
    this.chat = chat;
    this.rooms = joined.map(({ room }) => room);
    this.heads = joined.map(({ head }) => head);
    this.failed = (why) => {
      if (!this.ending) failed(why);
    };
    chat.on("state", (state) => {
      if (state.name === "offline" || state.name === "unauthorized" || state.name === "closed")
        this.failed(state.reason);
    });
    chat.on("error", ({ code, message }) => this.failed(`${code}: ${message}`));
  }

  /** Reads the first room by the SDK's own iteration, from where it stood when it was joined. A gap is an error. */
  read(taken: (message: RoomMessage) => void): void {
    const stream = this.rooms[0]!.messages({ after: this.heads[0]! });
    const reading = async (): Promise<void> => {
      for await (const item of stream) {
        if (item.gap === undefined) taken(item);
        else this.failed(`a gap from ${item.gap.from} to ${item.gap.to}: ${item.gap.reason}`);
      }
    };
    reading().catch((cause: unknown) => this.failed(String(cause)));
  }

  end(): void {
    this.ending = true;
    void this.chat.close();
  }
}

/** Opens a client and joins its rooms. Rejects with the reason when its first link fails, where the SDK would go on trying. */
export async function openSdkClient(
  target: Pick<Target, "wire" | "proof">,
  options: SdkClientOptions,
): Promise<SdkClient> {
  const { user, token } = identityOf(target.proof, options.name);
  const { outbox } = options;
  const chat = connect(options.url, {
    user,
    ...(token === null ? {} : { token: () => Promise.resolve(token) }),
    ...(target.wire === "synod-json" ? { dial: nodeDial() } : {}),
    outboxMessagesMax: Math.max(outboxDefault.messages, outbox?.messages ?? 0),
    outboxBytesMax: Math.max(outboxDefault.bytes, outbox?.bytes ?? 0),
  });
  let off = (): void => undefined;
  const lost = new Promise<never>((_, reject) => {
    off = chat.on("state", (state) => {
      if (state.name === "offline") reject(new Error(state.reason));
    });
  });
  try {
    return new SdkClient(chat, await Promise.race([joinAll(chat, options.rooms), lost]), options.failed);
  } catch (cause) {
    await chat.close();
    // As the generator's own connections say what a server refused.
    throw cause instanceof ChatError ? new Error(`${cause.code}: ${cause.message}`, { cause }) : cause;
  } finally {
    off();
  }
}

async function joinAll(chat: Chat, names: readonly string[]): Promise<{ room: Room; head: number }[]> {
  const joined: { room: Room; head: number }[] = [];
  for (let from = 0; from < names.length; from += joiningAtOnce) {
    const joining = names.slice(from, from + joiningAtOnce).map(async (name) => {
      const room = chat.room(name);
      return { room, head: (await room.join()).head };
    });
    joined.push(...(await Promise.all(joining)));
  }
  return joined;
}

/** Makes the texts of one publisher: what `message-body.ts` says stands in each. */
export class BodyText {
  private readonly bytes: Buffer;

  constructor(bodyBytes: number) {
    this.bytes = Buffer.from(emptyBody(bodyBytes));
  }

  of(number: number, sentAtMs: number): string {
    putSentAt(this.bytes, sentAtMs);
    putDigits(this.bytes, bodyAt.number, numberDigits, number);
    return this.bytes.toString("latin1");
  }
}

/** The number in a body. */
export const numberIn = (body: string): number => Number(body.slice(bodyAt.number, bodyAt.number + numberDigits));
