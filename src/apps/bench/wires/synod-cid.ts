import { randomBytes } from "node:crypto";
import { clientDigits, numberDigits } from "../message-body.ts";

/** Ids of one connection's messages: all of one length, so that they can be patched where they stand. */
export const cidOf = (prefix: string, number: number): string =>
  `${prefix}${String(number).padStart(numberDigits, "0")}`;
/** Unlike that of any other connection, also of another run, because a cid is for ever; and always of one length. */
export const cidPrefix = (client: number): string =>
  `${randomBytes(9).toString("hex")}-${String(client).padStart(clientDigits, "0")}-`;
