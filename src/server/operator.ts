import { unreachable } from "../base/assert.ts";
import { Fault } from "../base/error-codes.ts";
import type { RoomName, Seq, UserName } from "../base/ids.ts";
import { utf8 } from "../protocol/utf8.ts";
import { type Command, commandTypes, roles } from "../rooms/commands.ts";
import type { Server } from "./server.ts";

/** What an operator may have done. Each is put in order like a message, so that every server does the same. */
export type Operation =
  | { readonly type: "retention"; readonly room: RoomName; ageMs: number; messages: number; bytes: number }
  | { readonly type: "trim"; readonly room: RoomName; readonly first: Seq }
  | { readonly type: "delete"; readonly room: RoomName }
  | { readonly type: "kick" | "invite"; readonly room: RoomName; readonly user: UserName }
  | { readonly type: "role"; readonly room: RoomName; readonly user: UserName; readonly role: keyof typeof roles };

const nobody = new Uint8Array(0);

function commandOf(operation: Exclude<Operation, { type: "trim" | "delete" }>): Command {
  const room = utf8(operation.room);
  switch (operation.type) {
    case "retention": {
      const { ageMs, messages, bytes } = operation;
      return { type: commandTypes.retention, room, by: nobody, ageMs, messages, bytes };
    }
    case "kick":
      return { type: commandTypes.kick, room, user: utf8(operation.user), by: nobody };
    case "invite":
      return { type: commandTypes.invite, room, user: utf8(operation.user), by: nobody };
    case "role":
      return {
        type: commandTypes.role,
        room,
        user: utf8(operation.user),
        by: nobody,
        role: roles[operation.role],
      };
    default:
      return unreachable(operation);
  }
}

/** Has an operation done, in the name of the cluster. Settles once it is in order and durable; rejects with a Fault. */
export async function operate(server: Server, operation: Operation): Promise<void> {
  const room = server.state.room(operation.room);
  if (room?.exists !== true) throw new Fault("not_found", "there is no such room");
  if (operation.type === "trim") await server.trimmer.trim(room, operation.first);
  else if (operation.type === "delete") await server.trimmer.delete(room);
  else await server.requests.command(commandOf(operation));
}

/** Who is connected: by which door, in which rooms. At most `limit` of them. */
export function sessionList(server: Server, limit: number): object[] {
  const list: object[] = [];
  for (const session of server.connections.all) {
    if (list.length === limit) break;
    list.push({
      session: session.id,
      state: session.state,
      user: session.user,
      door: session.link.door,
      format: session.link.format,
      address: session.link.address,
      rooms: session.rooms(),
      queuedBytes: session.link.queuedBytes(),
      heardMsAgo: Math.round(server.clock.now() - session.heardAt),
    });
  }
  return list;
}
