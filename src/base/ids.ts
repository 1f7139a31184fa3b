import { broken } from "./assert.ts";
import type { Brand } from "./brand.ts";

/** The name of a user, checked at the door (protocol/names.ts); behind it, bytes that are compared and never parsed. */
export type UserName = Brand<string, "UserName">;
/** The name of a room, checked at the door. Direct rooms are named `@alice,bob`. */
export type RoomName = Brand<string, "RoomName">;
/** The sender's id of a message. Idempotency key: (authenticated user, room, cid). */
export type Cid = Brand<string, "Cid">;
/** The name of a server, as its operator calls it. */
export type NodeName = Brand<string, "NodeName">;
/** Random id of a cluster, made by its founder, in every file header and every greeting. 32 hex digits. */
export type ClusterId = Brand<string, "ClusterId">;
/** Random id of one life of one data directory: a wiped server comes back with another. 32 hex digits. */
export type Incarnation = Brand<string, "Incarnation">;
/** Opaque id of a room's history; changes whenever a `seq` may mean another message than before. */
export type Line = Brand<string, "Line">;

/** Place of a message in its room: 1, 2, 3 … without holes. 0 stands before the first. */
export type Seq = Brand<number, "Seq">;
/** Raft's term. Clients see it as `epoch`. */
export type Term = Brand<number, "Term">;
/** Place of an entry in its group's log: 1, 2, 3 … 0 stands before the first. */
export type LogIndex = Brand<number, "LogIndex">;
/** A consensus group. Topologies with one group use 0. */
export type GroupId = Brand<number, "GroupId">;
/** One of 4096 parts of all names. */
export type Slot = Brand<number, "Slot">;
/** A flush mark: a counter of what was handed to the journal. It covers votes too and never goes back. */
export type Mark = Brand<number, "Mark">;

function wholeNumber(value: number, what: string): number {
  if (!(Number.isSafeInteger(value) && value >= 0)) broken(`not ${what}: ${value}`);
  return value;
}

export const seq = (value: number): Seq => wholeNumber(value, "a seq") as Seq;
export const term = (value: number): Term => wholeNumber(value, "a term") as Term;
export const logIndex = (value: number): LogIndex => wholeNumber(value, "a log index") as LogIndex;

export function groupId(value: number): GroupId {
  if (wholeNumber(value, "a group") >= 65536) broken(`group out of range: ${value}`);
  return value as GroupId;
}

export function slot(value: number): Slot {
  if (wholeNumber(value, "a slot") >= 4096) broken(`slot out of range: ${value}`);
  return value as Slot;
}

/** The first room of every cluster; clients that name no room land here. */
export const lobby = "lobby" as RoomName;
