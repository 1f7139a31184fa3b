import type { Server } from "./server.ts";

/** Messages and bytes read for one room, and rooms looked at, after a start. */
const itemsMax = 64;
const bytesMax = 64 * 1024;
const roomsMax = 1_024;

/**
 * Fills the recent rings after a start, newest first: the rooms that were talked in last come first, and in each the
 * newest messages. Meanwhile the server serves; a room that is asked for before its turn is read from its chunks.
 */
export async function fillRings(server: Server): Promise<void> {
  const rooms = [...server.state.rooms()].filter((room) => room.head >= room.first);
  rooms.sort((a, b) => b.lastTs - a.lastTs);
  for (const room of rooms.slice(0, roomsMax)) {
    if (server.memory.ringBytes > server.limits.ringBytesMax / 2 || !server.isRunning) return;
    const live = server.memory.live(room);
    const before = live.memoryFirst - 1;
    if (live.ring.savePoint - before >= itemsMax || before < room.first) continue;
    const wanted = { from: room.first, to: before, direction: "down", itemsMax, bytesMax } as const;
    const records = await server.history.page(room, wanted);
    // While the page was read the room may have got new messages, but what lies before those in memory is the same.
    if (live.memoryFirst - 1 === before) server.memory.adopt(live, before, records);
  }
}
