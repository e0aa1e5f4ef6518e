/**
 * Returns a number below 2^53. Equal texts with the same seed give equal numbers; two different
 * texts collide with a probability of 2^-53. It combines two multiplicative 32-bit hashes (mixing
 * after MurmurHash3).
 */
export function fingerprint(text: string, seed: number): number {
  let low = 0xdeadbeef ^ seed;
  let high = 0x41c6ce57 ^ seed;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, 0x9e3779b1);
    high = Math.imul(high ^ code, 0x5f356495);
  }
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  return (high >>> 11) * 2 ** 32 + (low >>> 0);
}

const SMALLEST = 1024;

/**
 * A set of texts in 16 to 32 bytes each. Two of n texts collide with a probability of n²/2^54
 * (1.4e-5 for 500,000), so a caller may use it only if a collision errs on the safe side.
 */
export class FingerprintSet {
  readonly #seed: number;
  #slots = new Float64Array(SMALLEST);
  #size = 0;

  constructor(seed = 0) {
    this.#seed = seed;
  }

  /** @returns whether the text was new */
  add(text: string): boolean {
    // 0 marks an empty slot.
    if (!this.#insert(fingerprint(text, this.#seed) + 1)) return false;
    this.#size += 1;
    if (this.#size * 2 > this.#slots.length) this.#grow();
    return true;
  }

  #insert(mark: number): boolean {
    const mask = this.#slots.length - 1;
    let at = (mark % 0x1_0000_0000) & mask;
    for (; this.#slots[at] !== 0; at = (at + 1) & mask) if (this.#slots[at] === mark) return false;
    this.#slots[at] = mark;
    return true;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Float64Array(old.length * 2);
    for (const mark of old) if (mark !== 0) this.#insert(mark);
  }
}
