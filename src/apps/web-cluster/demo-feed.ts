import type { Books, ClusterModel, Feed, Line, ProcessState } from "./cluster-model.ts";
import { readEvents } from "./event-reader.ts";
import type { ToldEvent, ToldStatus, ToldTrace } from "./told.ts";

const againMs = 500;

/** What the demonstration tells: what all its servers tell their operators, and what it does and counts itself. */
export class DemoFeed implements Feed {
  readonly enter = null;
  #model: ClusterModel | null = null;

  start(model: ClusterModel): void {
    this.#model = model;
    void this.#read(model);
  }

  readonly act = (act: object): void => {
    const headers = { "content-type": "application/json" };
    fetch("demo/v1/act", { method: "POST", headers, body: JSON.stringify(act) }).catch(() => {
      // The demonstration has ended; the stream says so too.
      if (this.#model !== null) this.#broken(this.#model);
    });
  };

  async trace(cid: string): Promise<readonly { readonly node: string; readonly trace: ToldTrace | null }[]> {
    const response = await fetch(`demo/v1/trace/${encodeURIComponent(cid)}`, { cache: "no-store" });
    if (!response.ok) return [];
    const { servers } = (await response.json()) as { readonly servers: readonly (ToldTrace | Unanswered)[] };
    return servers.map((trace) => ({ node: trace.node, trace: trace.messages === null ? null : trace }));
  }

  async #read(model: ClusterModel): Promise<never> {
    for (;;) {
      try {
        await readEvents("demo/v1/stream", {
          token: null,
          signal: new AbortController().signal,
          onEvent: ({ name, data }) => this.#take(model, name, data as Record<string, unknown>),
        });
      } catch (cause) {
        if (!(cause instanceof Error)) throw cause;
      }
      this.#broken(model);
      await new Promise((resolve) => {
        setTimeout(resolve, againMs);
      });
    }
  }

  #broken(model: ClusterModel): void {
    model.link = "broken";
    model.changed();
  }

  #take(model: ClusterModel, name: string, told: Record<string, unknown>): void {
    model.link = "open";
    const server = typeof told["server"] === "string" ? told["server"] : "";
    const at = Number(told["at"] ?? 0);
    switch (name) {
      case "servers":
        model.clear();
        for (const one of told["servers"] as (ProcessState & { readonly name: string })[])
          model.processes.set(one.name, one);
        break;
      case "status": {
        const status = told["status"] as ToldStatus;
        model.clockIs(status.at);
        model.status(server, status);
        break;
      }
      case "told": {
        const { at: toldAt, level, event, fields } = told["event"] as ToldEvent;
        model.moments.add({ at: toldAt, level, event, fields, kind: "told", server });
        break;
      }
      case "process": {
        const { state, pid, slowMs } = told as unknown as ProcessState;
        model.processes.set(server, { state, pid, slowMs });
        // That its disk became slow is told as what somebody did.
        if (told["hasMoved"] !== true) break;
        model.moments.add({
          at,
          level: "info",
          event: `process.${state}`,
          fields: { state, pid },
          kind: "process",
          server,
        });
        break;
      }
      case "act": {
        const { type: _type, at: _at, server: _server, do: what, ...fields } = told;
        model.moments.add({ at, level: "warn", event: `act.${String(what)}`, fields, kind: "act", server });
        break;
      }
      case "links":
        model.cut = told["cut"] as readonly (readonly [string, string])[];
        break;
      case "count":
        model.clockIs(at);
        model.books = told as unknown as Books;
        break;
      case "said":
        model.said(told as unknown as Line);
        break;
      case "person":
        model.people.set(String(told["person"]), (told["server"] as string | null) ?? null);
        break;
      default:
        break;
    }
    model.changed();
  }
}

/** A server that does not answer. */
interface Unanswered {
  readonly node: string;
  readonly messages: null;
}
