/** Longest wait for others, in milliseconds: a burst of links is made in about that time. */
const PATIENCE_MS = 25;

/**
 * Lets those that are ready wait for those that soon will be, so that all go on together. Who comes while nobody is on his way
 * waits for nothing.
 */
export class Gathering {
  #coming = 0;
  #waiting: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** Whoever does this work is on his way. */
  async comesAfter<T>(work: Promise<T>): Promise<T> {
    this.#coming++;
    try {
      return await work;
    } finally {
      this.#coming--;
      // He himself is not ready before the end of this turn of the event loop.
      if (this.#coming === 0) setImmediate(() => this.#goOn());
    }
  }

  /** Resolves when nobody is on his way any more, or the first of those that wait has waited for long enough. */
  async all(): Promise<void> {
    if (this.#coming === 0) return;
    this.#timer ??= setTimeout(() => this.#goOn(), PATIENCE_MS);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #goOn(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
