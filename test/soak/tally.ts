/** Counts events by subject and outcome. */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();

  count(what: string, how: string): void {
    const hows = this.#counts.get(what) ?? new Map<string, number>();
    this.#counts.set(what, hows);
    hows.set(how, (hows.get(how) ?? 0) + 1);
  }

  of(what: string, how: string): number {
    return this.#counts.get(what)?.get(how) ?? 0;
  }

  /** Returns one line per subject, with the most frequent outcome first. */
  lines(): string[] {
    return [...this.#counts].map(([what, hows]) => {
      const told = [...hows].sort(([, a], [, b]) => b - a).map(([how, n]) => `${n} ${how}`);
      return `${what}: ${told.join(', ')}`;
    });
  }
}
