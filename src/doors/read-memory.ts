/** Smaller reads cost less than giving them back. */
const givenBackBytesMin = 8 * 1024;

/**
 * Gives the memory of a read back to the system at once. A socket allocates up to 64 KiB for each read; left to the collector
 * they are hundreds of megabytes between two of its runs, and for V8, which adds them to what has grown since its last
 * collection of everything, a reason for the next: six to eight in a second under load (docs/benchmarks.md). So each read lives in
 * the memory of the one before.
 *
 * What is posted to a closed port arrives nowhere, and what is transferred with it is gone all the same (WHATWG HTML 9.4.4):
 * `ArrayBuffer.prototype.transfer`, which says it more plainly, is not in Node 20.
 */
export class ReadMemory {
  readonly #nowhere = closedPort();

  /** Nobody may look at the bytes any more. Those that are a part of something larger, or few, are left to the collector. */
  giveBack(bytes: Uint8Array): void {
    const { buffer } = bytes;
    if (bytes.byteLength < givenBackBytesMin || bytes.byteLength !== buffer.byteLength) return;
    if (buffer instanceof ArrayBuffer) this.#nowhere.postMessage(null, [buffer]);
  }
}

function closedPort() {
  const { port1 } = new MessageChannel();
  port1.close();
  return port1;
}
