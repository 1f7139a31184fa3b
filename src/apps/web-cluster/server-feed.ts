import type { ClusterModel, Feed } from "./cluster-model.ts";
import { readEvents, StreamRefused } from "./event-reader.ts";
import type { ToldEvent, ToldStatus, ToldTrace } from "./told.ts";

const againMs = 1_000;

/** What one server tells its operators: the stream that `synod cluster watch` shows. */
export class ServerFeed implements Feed {
  readonly act = null;
  #token: string | null = null;
  #model: ClusterModel | null = null;
  #last = 0;
  #began = 0;

  start(model: ClusterModel): void {
    this.#model = model;
    this.#read(model).catch((cause: unknown) => {
      model.link = "refused";
      model.changed();
      if (!(cause instanceof StreamRefused)) throw cause;
    });
  }

  readonly enter = (token: string): void => {
    this.#token = token;
    if (this.#model !== null) this.start(this.#model);
  };

  async trace(cid: string): Promise<readonly { readonly node: string; readonly trace: ToldTrace | null }[]> {
    const headers: Record<string, string> = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` };
    const response = await fetch(`admin/v1/trace/${encodeURIComponent(cid)}`, { headers, cache: "no-store" });
    const trace = response.ok ? ((await response.json()) as ToldTrace) : null;
    return [{ node: trace?.node ?? this.#model?.moments.own ?? "?", trace }];
  }

  async #read(model: ClusterModel): Promise<void> {
    model.link = "opening";
    for (;;) {
      try {
        await readEvents(`admin/v1/cluster/watch?after=${this.#last}&began=${this.#began}`, {
          token: this.#token,
          signal: new AbortController().signal,
          onEvent: ({ name, data }) => this.#take(model, name, data),
        });
      } catch (cause) {
        if (cause instanceof StreamRefused) throw cause;
      }
      model.link = "broken";
      model.changed();
      await new Promise((resolve) => {
        setTimeout(resolve, againMs);
      });
    }
  }

  #take(model: ClusterModel, name: string, data: unknown): void {
    model.link = "open";
    if (name === "status") {
      const status = data as ToldStatus;
      this.#began = status.began ?? 0;
      model.moments.own = status.node;
      model.clockIs(status.at);
      model.status(status.node, status);
    } else if (name === "told") {
      const { number, at, level, event, fields } = data as ToldEvent;
      this.#last = number;
      model.moments.add({ at, level, event, fields, kind: "told", server: model.moments.own ?? "" });
    }
    model.changed();
  }
}
