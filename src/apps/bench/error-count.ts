/** Counts what went wrong during a load and keeps the first cause, which is usually the one that explains the others. */
export class ErrorCount {
  count = 0;
  first: string | null = null;

  add(why: string): void {
    this.count += 1;
    this.first ??= why;
  }
}
