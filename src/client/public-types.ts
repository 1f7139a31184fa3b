/** The types that programs name: what `synod/client` gives and takes, in Node and in a browser. */
export type { Chat, ChatOptions, CloseOptions, Membership } from "./client.ts";
export type { ChatEvents, ChatState, Presence, RoomNews } from "./events.ts";
export type { ChatError, SendRefused, SendUnknown, SendWait, Stored } from "./outcome.ts";
export type { Dial, OutboxStore } from "./ports.ts";
export type { Gap, RoomMessage, TimelineItem } from "./reader.ts";
export type {
  Found,
  HistoryOptions,
  HistoryPage,
  MembersPage,
  MessagesOptions,
  RequestOptions,
  Room,
  SendOptions,
} from "./room.ts";
export type { SentContent, SentMessage, SentState } from "./sent-message.ts";
