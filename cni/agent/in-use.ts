/** Something that several callers use, and that is closed once it is retired and none uses it. */
export class InUse {
  readonly #close: () => void;
  #uses = 0;
  #isRetired = false;

  constructor(close: () => void) {
    this.#close = close;
  }

  /** Begins a use, and returns what ends it. */
  begin(): () => void {
    this.#uses++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      this.#uses--;
      this.#closeUnused();
    };
  }

  /** Closes it when the last use ends: at once if there is none. */
  retire(): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#closeUnused();
  }

  #closeUnused(): void {
    if (this.#isRetired && this.#uses === 0) this.#close();
  }
}
