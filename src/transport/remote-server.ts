import type { Brand } from "../base/brand.ts";
import type { FieldReader } from "../base/field-bytes.ts";
import type { ClusterId, Incarnation, NodeName } from "../base/ids.ts";

/** Random id of one life of one process: a server that was started again has another. 32 hex digits. */
export type RunId = Brand<string, "RunId">;

/** Who a server says it is, after it has proven that it knows the cluster's secret. */
export interface RemoteServer {
  readonly name: NodeName;
  /** The life of its data directory. */
  readonly incarnation: Incarnation;
  /** The life of its process. */
  readonly run: RunId;
  /** Null while it belongs to none: an empty directory that waits to be admitted. */
  readonly cluster: ClusterId | null;
}

/** What may be the name of a server; the same words as in the configuration. */
export function isServerName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/.test(text);
}

export function serverNameIn(input: FieldReader): NodeName {
  const text = input.ascii();
  if (!isServerName(text)) input.fail();
  return text as NodeName;
}
