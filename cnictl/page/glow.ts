/** How long something that changed is marked, in milliseconds. */
const LASTS_MS = 1_600;
const isStill = (): boolean => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** What has just changed, by key, for a mark that fades. */
export class Glow {
  readonly #since = new Map<string, number>();
  readonly #redraw: () => void;

  constructor(redraw: () => void) {
    this.#redraw = redraw;
  }

  add(key: string): void {
    this.#since.set(key, performance.now());
    this.#redraw();
  }

  /** From 1 to 0. Without motion it is there, or not. */
  of(key: string): number {
    const since = this.#since.get(key);
    if (since === undefined) return 0;
    const left = 1 - (performance.now() - since) / LASTS_MS;
    if (left > 0) return isStill() ? 1 : left;
    this.#since.delete(key);
    return 0;
  }

  /** To be called behind each painting: paints again while something fades. */
  goOn(): void {
    for (const key of this.#since.keys()) this.of(key);
    if (this.#since.size > 0) window.setTimeout(this.#redraw, isStill() ? LASTS_MS : 60);
  }
}
