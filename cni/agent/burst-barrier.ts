import type { Effects, Timer } from '../../ipam/model/effects.ts';

/** Longest wait for the rest of a burst, in milliseconds: the kernel makes its links in about that time. */
const PATIENCE_MS = 25;
/** After this many milliseconds an ADD that has not arrived counts as failed on its way. */
const LOST_MS = 500;

/**
 * Holds the ADDs of a burst that are ready until the others are ready too, so that their ports go into one transaction. A lone
 * ADD does not wait.
 */
export class BurstBarrier {
  /** Start of each ADD that is under way, in milliseconds of the monotonic clock. */
  readonly #coming = new Map<string, number>();
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;
  readonly #effects: Effects;

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  /** How many ADDs are under way. */
  get size(): number {
    const lost = this.#effects.monotonic() - LOST_MS;
    for (const [name, since] of this.#coming) if (since < lost) this.#coming.delete(name);
    return this.#coming.size;
  }

  /** An ADD has started; the barrier counts it until {@link forget}. */
  expect(name: string): void {
    this.#coming.set(name, this.#effects.monotonic());
  }

  /** The ADD is ready, or has failed. */
  forget(name: string): void {
    if (!this.#coming.delete(name) || this.size > 0) return;
    // Others may arrive in the same turn of the event loop.
    void this.#effects.yieldTurn().then(() => {
      if (this.size === 0) this.#goOn();
    });
  }

  /** Resolves when no ADD is under way any more, or when the first that waits has waited for {@link PATIENCE_MS}. */
  async all(): Promise<void> {
    // The last ADD that arrives goes with those that have waited for it.
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
