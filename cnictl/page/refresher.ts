/** Shortest pause between two refreshes, in milliseconds. */
const PAUSE_MS = 300;

/**
 * Runs a refresh whenever something asks for it: never two at once, and never so often that the
 * page or the server would do nothing else.
 */
export class Refresher {
  readonly #run: () => Promise<void>;
  #isWanted = false;
  #isBusy = false;
  #timer: number | undefined;

  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  want(): void {
    this.#isWanted = true;
    if (!this.#isBusy) void this.#go();
  }

  stop(): void {
    this.#isWanted = false;
    window.clearTimeout(this.#timer);
  }

  async #go(): Promise<void> {
    this.#isBusy = true;
    this.#isWanted = false;
    const start = performance.now();
    await this.#run();
    const pause = Math.max(PAUSE_MS, 2 * (performance.now() - start));
    this.#timer = window.setTimeout(() => {
      this.#isBusy = false;
      if (this.#isWanted) void this.#go();
    }, pause);
  }
}
