/**
 * How many turns are asked of the event loop at once. Measured on Node 20: one immediate at a time gives 1.2 million
 * turns a second, 64 at a time 17 million, more than 256 nothing further.
 */
const turnsAtOnce = 64;

/**
 * Calls `step` until it answers false. Between two calls every microtask and every `process.nextTick` that the first
 * one caused has run, and what those caused, however long the chain: Node empties both queues after each immediate.
 * So a step sees the world at rest, and nothing outside decides what comes in between. What Node settles from a thread of
 * its own (files, sockets, asynchronous zlib and crypto) is not waited for: nothing inside a simulated world may use it.
 * Rejects with what `step` throws.
 */
export function pump(step: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let ended = false;
    let waiting = 0;
    const turn = (): void => {
      // The immediates left over after the end find nothing to do.
      if (ended) return;
      try {
        ended = !step();
      } catch (error) {
        ended = true;
        reject(error instanceof Error ? error : new Error(String(error)));
        return;
      }
      if (ended) resolve();
      else if (--waiting === 0) ask();
    };
    const ask = (): void => {
      waiting = turnsAtOnce;
      for (let asked = 0; asked < turnsAtOnce; asked++) setImmediate(turn);
    };
    ask();
  });
}
