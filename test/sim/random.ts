/**
 * A stream of random numbers from a seed (splitmix32). Every actor of the simulation draws from a
 * stream of its own, made with {@link fork}. So an actor that is left out of a story changes no
 * choice of the others, and a failing story stays the same while it is shortened.
 */
export class Random {
  readonly #seed: number;
  #state: number;

  constructor(seed: number) {
    this.#seed = mix(seed);
    this.#state = this.#seed;
  }

  /** Returns the stream of that name. The same name gives the same stream, whatever was drawn. */
  fork(name: string): Random {
    let hash = this.#seed;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    return new Random(hash);
  }

  /** Returns a number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    return mix(this.#state) / 2 ** 32;
  }

  /** Returns a number in [least, most). */
  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** Returns an integer from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** @param probability 0 to 1 */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** @throws RangeError for an empty list */
  pick<T>(items: readonly T[]): T {
    const [item] = items.slice(this.below(items.length));
    if (item === undefined) throw new RangeError('pick: expected a list with at least one item');
    return item;
  }

  /**
   * Picks a key with a probability in proportion to its weight.
   * @throws RangeError when no weight is above 0
   */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    const entries = Object.entries(weights) as [K, number][];
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [key, weight] of entries) {
      left -= weight;
      if (left < 0) return key;
    }
    throw new RangeError('weighted: expected a weight above 0');
  }
}

/** The finalizer of MurmurHash3, as an unsigned number of 32 bits. */
function mix(value: number): number {
  let z = value | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}
