import type { RoomName } from "../../base/ids.ts";
import type { Chat } from "../../client/client.ts";
import type { Room } from "../../client/room.ts";
import type { ChatView } from "./chat-view.ts";
import { visibleText } from "./visible-text.ts";

/**
 * What is asked of the server for somebody who typed it, and how the answer is shown. Each rejects with the `ChatError`
 * of its request, and has shown nothing then.
 */

export async function listRooms(chat: Chat, view: ChatView, isShown: (room: RoomName) => boolean): Promise<void> {
  const rooms = await chat.rooms();
  if (rooms.length === 0) view.note("you belong to no room");
  for (const { room, head, unread } of rooms) view.membership(room, head, isShown(room) ? null : unread);
}

export async function who(room: Room, view: ChatView): Promise<void> {
  const { users, count } = await room.presence();
  view.note(users === undefined ? `${count ?? 0} people are here` : `here: ${users.map(visibleText).join(", ")}`);
}

export async function listMembers(room: Room, view: ChatView): Promise<void> {
  const { members, count } = await room.members();
  const names = members.map(({ user, role }) => (role === "member" ? user : `${user} (${role})`));
  const others = count > members.length ? `, and ${count - members.length} more` : "";
  view.note(`members of ${view.labelOf(room.name)}: ${names.join(", ")}${others}`);
}

export async function invite(room: Room, user: string, view: ChatView): Promise<void> {
  await room.invite(user);
  view.note(`${user} is a member of ${view.labelOf(room.name)}`);
}

export async function remove(room: Room, user: string, view: ChatView): Promise<void> {
  await room.remove(user);
  view.note(`${user} is no member of ${view.labelOf(room.name)} any more`);
}

export async function showHistory(room: Room, limit: number, view: ChatView): Promise<void> {
  const { items, first, more } = await room.history({ limit });
  const oldest = first === 1 ? "which is all" : `older than ${first} is not kept`;
  const what = items.length === 0 ? "no messages" : `last ${items.length}${more ? "" : `, ${oldest}`}`;
  view.heading(`${view.labelOf(room.name)}: ${what}`);
  for (const item of items) view.message({ ...item, room: room.name }, { showSeq: true });
  view.heading("now");
}
