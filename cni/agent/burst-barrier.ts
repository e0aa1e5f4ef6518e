import type { Effects, Timer } from '../../ipam/model/effects.ts';

/**
 * Longest wait for the rest of a burst, in milliseconds. The kernel creates the links of a burst in
 * about that time.
 */
const PATIENCE_MS = 25;
/** The barrier counts an ADD that is not ready after this many milliseconds as failed. */
const LOST_MS = 500;

/**
 * Holds the ready ADDs of a burst until the others are ready too, so that their ports share one
 * transaction. A lone ADD does not wait.
 */
export class BurstBarrier {
  /** Start of each ADD under way, in milliseconds of the monotonic clock. */
  readonly #coming = new Map<string, number>();
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;
  readonly #effects: Effects;

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  /** Number of ADDs under way. Drops those older than {@link LOST_MS}. */
  get size(): number {
    const lost = this.#effects.monotonic() - LOST_MS;
    for (const [name, since] of this.#coming) if (since < lost) this.#coming.delete(name);
    return this.#coming.size;
  }

  /** Records that an ADD has started. The barrier counts it until {@link forget}. */
  expect(name: string): void {
    this.#coming.set(name, this.#effects.monotonic());
  }

  /** Records that the ADD is ready, or has failed. */
  forget(name: string): void {
    if (!this.#coming.delete(name) || this.size > 0) return;
    // Other ADDs may start in the same turn of the event loop.
    void this.#effects.yieldTurn().then(() => {
      if (this.size === 0) this.#goOn();
    });
  }

  /**
   * Resolves when no ADD is under way any more, or when the first waiting ADD has waited for
   * {@link PATIENCE_MS}.
   */
  async all(): Promise<void> {
    // The last ADD to become ready joins the ADDs that wait for it.
    if (this.size === 0 && this.#waiting.length === 0) return;
    this.#timer ??= this.#effects.schedule(PATIENCE_MS, () => this.#goOn());
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #goOn(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
