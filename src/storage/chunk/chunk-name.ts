import type { GroupId } from "../../base/ids.ts";
import type { Day } from "../../base/units.ts";
import type { FileName } from "../disk.ts";
import type { ChunkMeta, ChunkNumber } from "./chunk-layout.ts";

/** Where chunks are: a folder for each day. */
export const historyFolder = "history";

/** What the name of a chunk file says. Nothing a client can choose is part of it. */
export interface ChunkName {
  readonly group: GroupId;
  readonly chunk: ChunkNumber;
  readonly day: Day;
  readonly generation: number;
}

/** `yyyy-mm-dd`. */
export function dayText(day: Day): string {
  const digits = String(day).padStart(8, "0");
  return `${digits.slice(0, 4)}-${digits.slice(4, 6)}-${digits.slice(6)}`;
}

export function chunkFileName(meta: Pick<ChunkMeta, "group" | "chunk" | "day" | "generation">): FileName {
  const group = String(meta.group).padStart(2, "0");
  const chunk = String(meta.chunk).padStart(6, "0");
  return `${historyFolder}/${dayText(meta.day)}/g${group}-c${chunk}-r${meta.generation}.chunk` as FileName;
}

const pattern = /^history\/(\d{4})-(\d{2})-(\d{2})\/g(\d{2,5})-c(\d{6,15})-r(\d{1,10})\.chunk$/;

/** Reads a file's name; null if no chunk is named so. Only the exact spelling counts: no second name for one chunk. */
export function parseChunkFileName(file: FileName): ChunkName | null {
  const match = pattern.exec(file);
  if (match === null) return null;
  const name = {
    day: Number(match[1]! + match[2]! + match[3]!) as Day,
    group: Number(match[4]) as GroupId,
    chunk: Number(match[5]) as ChunkNumber,
    generation: Number(match[6]),
  };
  return name.chunk > 0 && chunkFileName(name) === file ? name : null;
}
