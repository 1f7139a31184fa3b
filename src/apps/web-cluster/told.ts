/**
 * What servers tell, as far as the page reads it: the events and the status of `/admin/v1/cluster/watch`, and the answer
 * of `/admin/v1/trace`. Their types are in src/server; that they fit these is looked at by a test.
 */
export interface ToldEvent {
  readonly number: number;
  readonly at: number;
  readonly level: "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface ToldServer {
  readonly node: string;
  readonly role: "voter" | "learner" | null;
  readonly isLeader: boolean;
  readonly isSelf: boolean;
  readonly state: "here" | "unknown" | "alive" | "suspected" | "dead";
  readonly link: string;
  readonly matched: number | null;
  readonly lagEntries: number | null;
  readonly backlog: number;
  readonly diskIsStuck: boolean;
  readonly loopLagMs: number;
}

export interface ToldStatus {
  readonly node: string;
  readonly at: number;
  readonly began?: number;
  readonly cluster: string;
  readonly topology: string;
  readonly ready: { readonly ok: boolean; readonly reason: string | null };
  readonly leader: string | null;
  readonly role: string;
  readonly term: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly pace: {
    readonly messagesPerSecond: number;
    readonly entriesPerSecond: number;
    readonly deliveriesPerSecond: number;
    readonly flushMs: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  };
  readonly servers: readonly ToldServer[];
}

export interface ToldTrace {
  readonly cid: string;
  readonly node: string;
  readonly searched: number;
  readonly messages: readonly {
    readonly room: string;
    readonly from: string;
    readonly state: "gathered" | "in-log" | "stored";
    readonly seq: number | null;
    readonly entry: number | null;
    readonly messagesInEntry: number | null;
    readonly steps: readonly {
      readonly step: "send" | "append" | "flush" | "commit" | "deliver";
      readonly at: number;
      readonly afterMs: number;
    }[];
  }[];
}
