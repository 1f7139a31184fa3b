/** One event of a stream: its name, and what its data says. */
export interface StreamEvent {
  readonly name: string;
  readonly data: unknown;
}

/** A server said no, and will say so again. */
export class StreamRefused extends Error {
  override readonly name = "StreamRefused";
  readonly status: number;

  constructor(status: number) {
    super(`refused with ${status}`);
    this.status = status;
  }
}

/**
 * Reads a stream of server-sent events until it ends. Not by `EventSource`: that shows no token. Rejects with
 * `StreamRefused`, or with whatever `fetch` says of a server that is not there.
 */
export async function readEvents(
  path: string,
  options: {
    readonly token: string | null;
    readonly signal: AbortSignal;
    readonly onEvent: (event: StreamEvent) => void;
  },
): Promise<void> {
  const { token, signal, onEvent } = options;
  const headers = { accept: "text/event-stream", ...(token === null ? {} : { authorization: `Bearer ${token}` }) };
  const response = await fetch(path, { headers, signal, cache: "no-store" });
  if (!response.ok || response.body === null) throw new StreamRefused(response.status);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = `${text}${value}`.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1] ?? "message";
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) onEvent({ name, data: JSON.parse(data) });
    }
  }
}
