import type { Effects, Timer } from '../../ipam/model/effects.ts';

/** Longest wait for others, in milliseconds: a burst of links is made in about that time. */
const PATIENCE_MS = 25;
/** Who has not arrived after this many milliseconds does not come: his call has failed on the way. */
const LOST_MS = 500;

/**
 * Lets those that are ready wait for those that soon will be, so that all go on together. Who comes while nobody is on his way
 * waits for nothing.
 */
export class BurstBarrier {
  /** When each of those that are on their way set out. */
  readonly #coming = new Map<string, number>();
  #waiting: (() => void)[] = [];
  #timer: Timer | undefined;
  readonly #effects: Effects;

  constructor(effects: Effects) {
    this.#effects = effects;
  }

  /** How many are on their way. */
  get size(): number {
    const lost = this.#effects.monotonic() - LOST_MS;
    for (const [name, since] of this.#coming) if (since < lost) this.#coming.delete(name);
    return this.#coming.size;
  }

  /** He is on his way, until he arrives or gives up. */
  expect(name: string): void {
    this.#coming.set(name, this.#effects.monotonic());
  }

  /** He is there, or does not come. */
  forget(name: string): void {
    if (!this.#coming.delete(name) || this.size > 0) return;
    // Others may arrive in the same turn of the event loop.
    void this.#effects.yieldTurn().then(() => {
      if (this.size === 0) this.#goOn();
    });
  }

  /** Resolves when nobody is on his way any more, or the first of those that wait has waited for long enough. */
  async all(): Promise<void> {
    // The last that arrives goes with those that have waited for him.
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
