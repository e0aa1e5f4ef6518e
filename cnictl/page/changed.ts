/** What changed since it was last asked for: some things by name, or all. */
export class Changed {
  #names = new Set<string>();
  #isAll = true;

  add(name: string): void {
    this.#names.add(name);
  }

  all(): void {
    this.#isAll = true;
  }

  /**
   * Takes what changed, for a request. Where it fails, the caller says {@link all}.
   * @param most more names than these count as all
   * @returns undefined: all
   */
  take(most: number): readonly string[] | undefined {
    const names = [...this.#names];
    const isAll = this.#isAll || names.length > most;
    this.#names = new Set();
    this.#isAll = false;
    return isAll ? undefined : names;
  }
}
